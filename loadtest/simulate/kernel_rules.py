"""The real matching kernel, as the simulator calls it: the only module here that knows its shape.

What it takes of the rules is one row a mode, so that a run of two modes needs no other compiled code than a run of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import Arrays, BackfillRequests, MatchArrays, no_backfill_requests
from matchmaker.matching.kernel import form_matches
from matchmaker.matching.limits import Limits, limits_of
from matchmaker.rules.rules import Rules


class RuleTable(NamedTuple):
    """The rules of all modes, as the kernel's Limits want them, and no running match that wants players.

    Attributes:
        numbers: float64[K, 6]: teams, team size, roam_s, horizon_s, thin, backfill.
        wait_s, value: float64[K, 4, S], the steps by which limits widen.
    """

    numbers: NDArray[np.float64]
    wait_s: NDArray[np.float64]
    value: NDArray[np.float64]
    openings: BackfillRequests


def rule_table(rules: Sequence[Rules]) -> RuleTable:
    """The table of some rules, in the order of the modes."""
    limits = [limits_of(each, 0.0) for each in rules]
    width = max(each.wait_s.shape[1] for each in limits)
    wait_s, value = np.full((len(limits), 4, width), np.inf), np.zeros((len(limits), 4, width))
    for mode, each in enumerate(limits):
        wait_s[mode, :, : each.wait_s.shape[1]] = each.wait_s
        value[mode, :, : each.value.shape[1]] = each.value
    numbers = [
        (
            each.teams,
            each.team_size,
            each.region_expansion_s,
            each.fully_relaxed_s,
            each.max_low_population_factor,
            each.backfill,
        )
        for each in limits
    ]
    return RuleTable(np.array(numbers, np.float64), wait_s, value, no_backfill_requests(1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def run_kernel(
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
    limits = Limits(
        now_s,
        int(rules[0]),
        int(rules[1]),
        rules[2],
        rules[3],
        rules[4],
        int(rules[5]),
        table.wait_s[mode],
        table.value[mode],
    )
    count = match_of.shape[0]
    seating = MatchArrays(match_of, np.full(count, -1, np.int32), np.zeros(count, np.int32), region_of)
    tickets = Arrays(latency_ms, skill, enqueued_s, group, ticket_id, size, platform)
    return int(form_matches(tickets, groups, limits, table.openings, seating))
