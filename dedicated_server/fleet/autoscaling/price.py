"""The price of warm servers: what idle servers cost, against how long players wait where there are too few.

The formulas are exact for a buffer of fixed size under Poisson arrivals where each match takes a server and
each server taken is replaced: ``load`` = matches per second × start-up seconds are then on the way, and a
match waits when the whole buffer is on the way. Source: the (S − 1, S) stock rule with back orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """A buffer under a load.

    Attributes:
        idle_servers: Ready servers, on average.
        waiting: share of matches that wait for a server, 0 to 1.
        wait_s: seconds that a match waits, on average over all matches.
        idle_server_s_per_match: server-seconds of idling for each match.
        waiting_player_s_per_match: player-seconds of waiting for each match.
    """

    idle_servers: float
    waiting: float
    wait_s: float
    idle_server_s_per_match: float
    waiting_player_s_per_match: float


def price(buffer: int, matches_per_s: float, startup_s: float, players_per_match: float) -> Price:
    """Price a buffer of ``buffer`` servers whose start takes ``startup_s``."""
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
