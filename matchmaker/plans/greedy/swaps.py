"""Fairness mended afterwards: tickets of two teams change places while the teams' means come nearer."""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.desk import Desk, draft_of, level_of, plan_of, tickets_of
from matchmaker.plans.greedy.state import DEPTH, LEVEL, seat, unseat

SWAPS_A_TEAM = 8  # more have brought nothing in any rule set that was measured


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def mend_by_swaps(desk: Desk) -> None:
    """Swap tickets of one size between the teams with the highest and the lowest mean, as long as these come
    nearer; then build the match anew.
    """
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    level = level_of(desk)
    copies, column, depth = plan.kind.shape[0], plan.balance, draft.at[DEPTH]
    total = draft.total[:copies, column].copy()
    team = draft.team[:depth].copy()
    ticket = draft.ticket[:depth].copy()
    swapped = False
    for _ in range(SWAPS_A_TEAM * copies):
        high, low = -1, -1
        for copy in range(copies):
            if draft.players[copy] == 0:
                continue
            mean = total[copy] / draft.players[copy]
            if high < 0 or mean > total[high] / draft.players[high]:
                high = copy
            if low < 0 or mean < total[low] / draft.players[low]:
                low = copy
        if high < 0 or high == low:
            break
        best_high, best_low, best = (
            -1,
            -1,
            _gap(total[high], draft.players[high], total[low], draft.players[low]),
        )
        for one in range(depth):
            if team[one] != high:
                continue
            row = ticket[one]
            for two in range(depth):
                other = ticket[two]
                if team[two] != low or tickets.size[row] != tickets.size[other]:
                    continue
                if plan.kind[high] != plan.kind[low] and not _may_change(
                    desk, row, other, draft.at[LEVEL], high, low
                ):
                    continue
                moved = (tickets.value[row, column] - tickets.value[other, column]) * tickets.size[row]
                gap = _gap(total[high] - moved, draft.players[high], total[low] + moved, draft.players[low])
                if gap < best - 1e-9 and not (
                    copies > 2
                    and _passes_by(total[high], draft.players[high], total[low], draft.players[low], moved)
                ):
                    best_high, best_low, best = one, two, gap
        if best_high < 0:
            break
        row, other = ticket[best_high], ticket[best_low]
        moved = (tickets.value[row, column] - tickets.value[other, column]) * tickets.size[row]
        total[high], total[low] = total[high] - moved, total[low] + moved
        team[best_high], team[best_low] = low, high
        swapped = True
    if swapped:
        while draft.at[DEPTH] > 0:
            unseat(desk)
        for place in range(depth):
            seat(desk, ticket[place], np.int64(level[ticket[place]]), np.int64(team[place]))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _gap(one: float, players: int, other: float, others: int) -> float:
    return abs(one / players - other / others)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _passes_by(high: float, players: int, low: float, others: int, moved: float) -> bool:
    """Whether a team comes out beyond where the other was, perhaps farther from a third one, though the two
    are nearer: teams of different sizes may.
    """
    return bool(
        (high - moved) / players < low / others - 1e-9 or (low + moved) / others > high / players + 1e-9
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _may_change(desk: Desk, one: int, other: int, level: int, high: int, low: int) -> bool:
    """Whether each of two tickets may be in the other's team."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    return bool(
        (tickets.eligible[one, level] >> np.uint64(plan.kind[low])) & np.uint64(1)
        and (tickets.eligible[other, level] >> np.uint64(plan.kind[high])) & np.uint64(1)
    )
