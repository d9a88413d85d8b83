"""The page that looks up a player: which server has him checked out, with which fence, and whether his changes are stored."""

from __future__ import annotations

import time
from typing import Any

from nicegui import ui

from dedicated_server.fleet.console.backend_client import BackendClient
from dedicated_server.fleet.console.layout import card, current_session, empty, page
from launchday.settings import Settings


def install(settings: Settings) -> None:
    """Add the page."""
    sources = BackendClient(settings)

    @ui.page("/players", title="Players · launchday")
    def players() -> None:
        who = current_session(settings)
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
                    player = await sources.player(wanted)
                except LookupError as error:
                    empty("person_off", str(error))
                    return
                _show(player)

        with page(who, "/players"), card("Player", "his check-out, and whether what he changed is stored"):
            with ui.element("div").classes("ld-filters"):
                player_id = ui.input("Player id").props('outlined dense data-testid="player-id"')
                player_id.on("keydown.enter", look_up)
                ui.button("Look up", on_click=look_up).props('unelevated no-caps data-testid="look-up"')
            found = ui.element("div").props('data-testid="player"')
            with found:
                empty("person_search", "Whom are you looking for?")


def _show(player: dict[str, Any]) -> None:
    lease = player["lease"]
    held = lease["state"] == "held" and lease["until"] > time.time()
    rows = {
        "Name": player["display_name"],
        "Level": player["level"],
        "Checked out": f"by {lease['server']}, for {lease['until'] - time.time():.0f} s more"
        if held
        else "no",
        "Match": lease["match_id"] or "–",
        "Fence": lease["fence"] or "–",
        "Loadout": f"{player['skin']}, version {player['version']}",
        "Stored": "no, it waits to be written" if player["dirty"] else "yes",
    }
    with ui.element("div").classes("ld-facts"):
        for name, value in rows.items():
            ui.label(name)
            ui.label(str(value))
