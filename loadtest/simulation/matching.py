"""The real matching kernel, as the simulator calls it: the only module here that knows its shape.

What it takes of the rules is one row a mode, so that a run of two modes needs no other compiled code than a run of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching import Limits, Tickets, form_matches
from matchmaker.rules import Rules

PARTIES = False  # the kernel seats single players: each member of a party has a ticket of his own


class RuleTable(NamedTuple):
    """The rules of all modes, as the kernel's Limits want them: float64[K, 5]."""

    numbers: NDArray[np.float64]


def rule_table(rules: Sequence[Rules]) -> RuleTable:
    """The table of some rules, in the order of the modes."""
    rows = [
        (each.players, each.min_players, each.fill_s, each.roam_s, each.max_latency_ms) for each in rules
    ]
    return RuleTable(np.array(rows, np.float64))


@njit(cache=True, nogil=True)
def form(
    table: RuleTable,
    mode: int,
    now_s: float,
    groups: int,
    latency_ms: NDArray[np.float32],
    skill: NDArray[np.float32],
    enqueued_s: NDArray[np.float64],
    group: NDArray[np.int32],
    ticket_id: NDArray[np.int64],
    size: NDArray[np.int32],
    platform: NDArray[np.int32],
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
) -> int:
    """Form matches of one mode's tickets; fills ``match_of`` (-1 before) and ``region_of``, and returns how many."""
    rules = table.numbers[mode]
    limits = Limits(now_s, int(rules[0]), int(rules[1]), rules[2], rules[3], rules[4])
    tickets = Tickets(latency_ms, skill, enqueued_s, group, ticket_id)
    return int(form_matches(tickets, groups, limits, match_of, region_of))
