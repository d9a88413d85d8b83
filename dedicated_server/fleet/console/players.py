"""The page that looks up a player: who has checked them out, with which fence, and what is stored."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from dedicated_server.fleet.console.backend_client import BackendClient
from dedicated_server.fleet.console.layout import card, current_session, empty, page
from launchday.clock import Clock
from launchday.settings import Settings


def install(settings: Settings, clock: Clock) -> None:
    """Add the page."""
    backend = BackendClient(settings, clock)

    @ui.page("/players", title="Players · launchday")
    def players() -> None:
        who = current_session(settings, clock)
        if who is None:
            return

        async def look_up() -> None:
            wanted = (player_id.value or "").strip()
            found.clear()
            with found:
                if not (wanted.isascii() and wanted.isdigit() and 0 < len(wanted) < 20):
                    empty("tag", "A player's id is a whole number.")
                    return
                try:
                    player = await backend.player(wanted)
                except LookupError as error:
                    empty("person_off", str(error))
                    return
                _show(player, clock.wall())

        with page(who, "/players"), card("Player", "their check-out, and whether their changes are stored"):
            with ui.element("div").classes("ld-filters"):
                player_id = ui.input("Player id").props('outlined dense data-testid="player-id"')
                player_id.on("keydown.enter", look_up)
                ui.button("Look up", on_click=look_up).props('unelevated no-caps data-testid="look-up"')
            found = ui.element("div").props('data-testid="player"')
            with found:
                empty("person_search", "Enter a player's id.")


def _show(player: dict[str, Any], now: float) -> None:
    lease = player["lease"]
    held = lease["state"] == "held" and lease["until"] > now
    rows = {
        "Name": player["display_name"],
        "Level": player["level"],
        "Checked out": f"by {lease['server']}, for {lease['until'] - now:.0f} s more" if held else "no",
        "Match": lease["match_id"] or "–",
        "Fence": lease["fence"] or "–",
        "Loadout": f"{player['skin']}, version {player['version']}",
        "Stored": "no, it waits to be written" if player["pending"] else "yes",
    }
    with ui.element("div").classes("ld-facts"):
        for name, value in rows.items():
            ui.label(name)
            ui.label(str(value))
