"""How many players one generator can be, by the sockets that it may open, and what is said before a flood
that has more.

A player who waits has a connection to the matchmaker, one who plays a UDP socket besides; connections are
kept for a minute. All players share at most a hundred connections to the meta service.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from launchday import startup
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import draw_population

SOCKETS_A_PLAYER = 2
SHARED_CONNECTIONS = 100
OTHER_DESCRIPTORS = 80  # estimated with room: files, the event bus, the counters of services
OTHER_PORTS = 2_000  # of the services' own connections among each other, on the same machine
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def players_that_fit(descriptors: int) -> int:
    """Return how many players a generator can be at once that may have so many descriptors."""
    room = descriptors - OTHER_DESCRIPTORS
    return max(
        min(room // (SOCKETS_A_PLAYER + 1), SHARED_CONNECTIONS),
        (room - SHARED_CONNECTIONS) // SOCKETS_A_PLAYER,
        0,
    )


def descriptors_needed(players: int) -> int:
    """Return how many descriptors a generator needs for so many players at once."""
    return OTHER_DESCRIPTORS + SOCKETS_A_PLAYER * players + min(players, SHARED_CONNECTIONS)


def players_by_ports() -> int:
    """Return how many players a generator can be at once by the local ports of this machine."""
    try:
        first, last = (int(word) for word in LOCAL_PORTS.read_text().split())
    except (OSError, ValueError):
        first, last = 32_768, 60_999  # Linux's default
    return max(last - first + 1 - OTHER_PORTS, 0)


def why_not_enough(
    scenario: Scenario, descriptors: int | None = None, *, players: int | None = None
) -> str | None:
    """Say, in one line, that a scenario may have more players at once than fit; None where all fit.

    Args:
        scenario: whose players are counted.
        descriptors: that the generator may have open; None: this process's.
        players: of one part of the scenario; None: all of them.
    """
    players = scenario.players.count if players is None else players
    allowed = startup.descriptors().soft if descriptors is None else descriptors
    if players > (fit := players_that_fit(allowed)):
        return (
            f"{scenario.name} has {players:,} players, and this process may have {allowed:,} descriptors, "
            f"which are good for {fit:,} at once: raise the hard limit "
            f"(ulimit -Hn {descriptors_needed(players)}), or take fewer"
        )
    if players > (fit := players_by_ports()):
        return (
            f"{scenario.name} has {players:,} players, and this machine has local ports for {fit:,} at once: "
            "widen net.ipv4.ip_local_port_range, or take fewer"
        )
    return None


def may_fit(scenario: Scenario, descriptors: int | None = None, *, part: Part | None = None) -> bool:
    """Whether a scenario can fit because not all of its players are there at once; see `why_not_enough`."""
    allowed = startup.descriptors().soft if descriptors is None else descriptors
    return least_at_once(scenario, part) <= min(players_that_fit(allowed), players_by_ports())


def least_at_once(scenario: Scenario, part: Part | None = None) -> int:
    """Return how many players, of a part or in all, are there at once at the least, however fast matches are
    found.

    Whoever comes stays for the shortest match, or until their patience is over.
    """
    stays_s = min(scenario.behaviours.patience_s, *(mode.duration_s for mode in scenario.modes.values()))
    whole = draw_population(scenario)
    arrives_s = np.sort((whole if part is None else part.players(whole)).arrives_s)
    here = np.searchsorted(arrives_s, arrives_s + stays_s) - np.arange(len(arrives_s))
    return int(here.max(initial=0))
