"""The colours of the pages: one for each thing, on whatever page it is drawn.

Servers have the colours that the fleet's console gives them. Colours of text and grid are missing on purpose:
the page sets them, because only it knows day from night.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from loadtest.players.player_records import PlayerState

# Okabe and Ito's palette: distinct for the colour-blind, and legible on white and on near-black.
BLUE, ORANGE, GREEN, RED, PINK, SKY, GOLD, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#b8a800",
    "#8a8f98",
)
VIOLET, SAND, BROWN, SLATE = "#8556d6", "#b5a28f", "#a0522d", "#5b6170"

# Things without a colour of their own take these in turn, such as the servers of a chart.
BY_NUMBER = (SKY, ORANGE, GREEN, PINK, GOLD, BLUE, VIOLET, SAND)

IN_A_MATCH = "#4a86f7"  # players and servers
EVERYBODY = BLUE  # all players together, where parts of them are shown as well
OBJECTIVE = RED  # the line of an objective or of a budget
FAULT = RED
P50, P95 = BLUE, ORANGE
FLOODED, SIMULATED = BLUE, ORANGE
COST = PINK

PLAYERS: Mapping[PlayerState, str] = {
    PlayerState.LOGGING_IN: GOLD,
    PlayerState.SHOPPING: ORANGE,
    PlayerState.THINKING: SAND,
    PlayerState.QUEUED: VIOLET,
    PlayerState.CONNECTING: PINK,
    PlayerState.PLAYING: IN_A_MATCH,
    PlayerState.WATCHING: "#a3c4f3",  # still in it
    PlayerState.DONE: GREY,
    PlayerState.CANCELLED: BROWN,
    PlayerState.UNMATCHED: "#7d5a10",
    PlayerState.STOPPED: SLATE,
    PlayerState.LOST: RED,
}

SERVERS: Mapping[str, str] = {  # Agones' names, from those in a match to those that are gone
    "Allocated": IN_A_MATCH,
    "Reserved": PINK,
    "Ready": "#22a873",
    "RequestReady": "#7d5a10",
    "Scheduled": "#a8750f",
    "Starting": "#d99a1c",
    "Creating": "#e9bd5f",
    "PortAllocation": "#f3d9a0",
    "Shutdown": GREY,
    "Error": BROWN,
    "Unhealthy": RED,
}

QUEUES: Mapping[str, str] = {
    "tickets searching": VIOLET,
    "write-behind rows": SKY,
    "events not yet applied": ORANGE,
}

STAGES: Mapping[str, str] = {  # of a tick, in its order
    "drain": SKY,
    "open": ORANGE,
    "acknowledge": GREEN,
    "simulate": PINK,
    "interest": GOLD,
    "encode": BLUE,
    "seal": VIOLET,
    "send": SAND,
    "tick": GREY,
}

SKILL_BANDS = ("#d9c7f3", "#b394e3", "#8b5fd0", "#6a3cb5")  # from the weakest to the strongest

DIRECTIONS: Mapping[str, str] = {"received": SKY, "sent": ORANGE}

# The regions that a backend has by default stand beside each other most often.
REGIONS: Mapping[str, str] = {"west-europe": SKY, "east-us": ORANGE, "southeast-asia": GREEN}
_MORE_REGIONS = (PINK, GOLD, VIOLET, SAND, BROWN, "#7fb069", "#c94f7c", SKY, ORANGE, GREEN)


def region_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each region: the same wherever it is drawn, and none twice while colours remain.

    Args:
        names: of the regions; give all that a page may show, so that all its charts agree.
    """
    wanted = {*names}
    found = {name: colour for name, colour in REGIONS.items() if name in wanted}
    for name in sorted(wanted - {*found}):
        first = zlib.crc32(name.encode())
        turns = [_MORE_REGIONS[(first + step) % len(_MORE_REGIONS)] for step in range(len(_MORE_REGIONS))]
        free = [colour for colour in turns if colour not in found.values()]
        found[name] = (free or turns)[0]
    return found


def colour_of_server(name: str, regions: Mapping[str, str], number: int) -> str:
    """The colour of a game server on a chart: that of its region, with whose name ours begin their own.

    Args:
        name: of the server.
        regions: colours, of :func:`region_colours`.
        number: of the server on its chart, for one whose region is not known.
    """
    known = [region for region in regions if name.startswith(f"{region}-")]
    return regions[max(known, key=len)] if known else BY_NUMBER[number % len(BY_NUMBER)]


def colour_of(name: str, known: Mapping[str, str]) -> str:
    """The colour of a thing by its name; one of BY_NUMBER, always the same, where it has none of its own."""
    return known.get(name) or BY_NUMBER[zlib.crc32(name.encode()) % len(BY_NUMBER)]
