"""Warm or cold, priced: what idle servers cost against what players wait for servers that are not there.

Exact for a buffer of fixed size under Poisson arrivals, every match taking a server and every server taken being replaced: with ``load`` =
matches × start-up seconds on the way, a match waits when the buffer is on the way altogether (the (S − 1, S) rule with back orders).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """A buffer under a load.

    Attributes:
        idle_servers: Ready servers on average.
        waiting: share of matches that wait for a server.
        wait_s: seconds a match waits for one, on average over all matches.
        idle_server_s_per_match: server-seconds paid for idling, a match.
        waiting_player_s_per_match: player-seconds waited, a match.
    """

    idle_servers: float
    waiting: float
    wait_s: float
    idle_server_s_per_match: float
    waiting_player_s_per_match: float


def price(buffer: int, matches_per_s: float, startup_s: float, players_per_match: float) -> Price:
    """Price a buffer of so many servers."""
    load = matches_per_s * startup_s
    if matches_per_s <= 0:
        return Price(float(buffer), float(buffer == 0), startup_s if buffer == 0 else 0.0, 0.0, 0.0)
    # On the way: Poisson(load). Idle = E[(buffer − N)+], back orders = E[(N − buffer)+].
    probability, below, idle = math.exp(-load), 0.0, 0.0
    for count in range(buffer):
        below += probability
        idle += (buffer - count) * probability
        probability *= load / (count + 1)
    backorders = max(0.0, load - buffer + idle)
    wait_s = backorders / matches_per_s  # Little
    return Price(idle, max(0.0, 1.0 - below), wait_s, idle / matches_per_s, wait_s * players_per_match)
