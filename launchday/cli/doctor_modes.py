"""The modes that ``launchday doctor`` finds: those that ship and those of LAUNCHDAY_MODES."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from launchday.cli.inputs import CommandError, read_modes
from launchday.settings import Settings
from launchday.terminal import table


def modes_in_force(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """What there is to play, by the cards; or a line for each mistake in them."""
    try:
        cards = read_modes(settings)
    except CommandError as error:
        return [], list(error.lines)
    return [
        {
            "mode": card.name,
            "folder": str(card.folder),
            "players_min": settings.match_min_players if card.sized_by_settings else card.players_min,
            "players_full": settings.match_players if card.sized_by_settings else card.players_full,
            "teams": card.teams,
            "match_s": settings.match_s_of(card.name, card.match_s),
        }
        for card in cards.values()
    ], []


def modes_table(modes: list[dict[str, Any]]) -> Table:
    """The table that doctor prints."""
    rows = table("mode", "players", "teams", "at most", "folder", title="Modes")
    for each in modes:
        rows.add_row(
            each["mode"],
            f"{each['players_min']} to {each['players_full']}",
            str(each["teams"] or "each alone"),
            f"{each['match_s']:g} s",
            each["folder"],
        )
    return rows
