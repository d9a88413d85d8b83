"""What was gathered, judged as a whole; and where it is played."""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.desk import (
    JOINS,
    SEED_JOINS,
    Bits,
    Desk,
    draft_of,
    effort_of,
    plan_of,
    tickets_of,
)
from matchmaker.plans.greedy.judging import NO_REGIONS, regions_left
from matchmaker.plans.greedy.state import DEPTH, LEVEL, LOADED, unseat
from matchmaker.plans.greedy.swaps import mend_by_swaps
from matchmaker.plans.layout import NONE

MENDED_AGAIN = 16  # tickets up to which fairness is mended anew after each that is taken back


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def settle(desk: Desk, full: bool) -> Bits:
    """The regions of what was gathered, if it is a match; else of what it was before the last tickets joined,
    until it is one.
    """
    plan = plan_of(desk)
    draft = draft_of(desk)
    effort = effort_of(desk)
    mendable = plan.balance >= 0 and not plan.large and draft.at[LOADED] == 0
    first = True
    loaded = draft.at[LOADED]
    while draft.at[DEPTH] > loaded:
        now = draft.at[LEVEL]
        players, fewest, suits = 0, 0, True
        for copy in range(plan.kind.shape[0]):
            own = draft.players[copy]
            players, fewest = players + own, fewest + plan.fewest[now, copy]
            least = plan.most[now, copy] if full else plan.fewest[now, copy]
            suits = suits and own >= least and own <= plan.most[now, copy]
        if suits:
            if first and plan.large and plan.balance >= 0 and loaded == 0:
                mend_by_swaps(desk)
            regions = regions_left(desk, np.bool_(True), np.bool_(False))
            if regions == NO_REGIONS and mendable and (first or draft.at[DEPTH] <= MENDED_AGAIN):
                mend_by_swaps(desk)
                regions = regions_left(desk, np.bool_(True), np.bool_(False))
            if regions != NO_REGIONS:
                return regions
            first = False
        if full or (players <= fewest and loaded == 0):
            return NO_REGIONS
        effort.spent[JOINS] += 1
        effort.spent[SEED_JOINS] += 1
        unseat(desk)
    return NO_REGIONS


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def nearest_region(desk: Desk, regions: Bits) -> int:
    """Where the match's mean round trip is least among the regions that are left; -1 where none is measured
    by all.
    """
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    best, least = NONE, np.inf
    for region in range(tickets.latency_ms.shape[1]):
        if not (regions >> np.uint64(region)) & np.uint64(1):
            continue
        cost = 0.0
        for place in range(draft.at[DEPTH]):
            row = draft.ticket[place]
            cost += np.float64(tickets.latency_ms[row, region]) * tickets.size[row]
        if cost < least:
            best, least = region, cost
    return best
