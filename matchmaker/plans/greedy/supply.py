"""How many players a match needs of each list, and how many there are."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.plans.greedy.desk import SEED_JOINS, SEED_LOOKS, Desk, effort_of, lists_of, plan_of
from matchmaker.plans.layout import TEAM


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def is_spent(desk: Desk) -> bool:
    """Whether the work around the seed at hand is used up."""
    effort = effort_of(desk)
    return bool(
        effort.spent[SEED_LOOKS] >= effort.most[SEED_LOOKS]
        or effort.spent[SEED_JOINS] >= effort.most[SEED_JOINS]
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def supply_of(desk: Desk, name: int, cell: int, level: int) -> float:
    """The players of a list who wait in a cell, for each seat that the list fills."""
    plan = plan_of(desk)
    seats = 0
    for copy in range(plan.kind.shape[0]):
        if (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            seats += plan.most[level, copy]
    return float(lists_of(desk).waiting[name, cell] / max(seats, 1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def fewest_needed(desk: Desk, full: bool) -> NDArray[np.int64]:
    """int64[N]: players without whom no match can be, a list."""
    plan = plan_of(desk)
    needed = np.zeros(plan.lists.shape[0], np.int64)
    for name in range(needed.shape[0]):
        role = plan.lists[name].role
        for level in range(plan.wait_s.shape[0]):
            players = np.int64(0)
            for copy in range(plan.kind.shape[0]):
                if (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
                    players += plan.most[level, copy] if full else plan.fewest[level, copy]
            if role >= 0:
                players = np.int64(max(0.0, np.ceil(plan.number[level, plan.atoms[role].second] - 1e-6)))
                if plan.atoms[role].shape == TEAM:
                    copies = np.int64(0)
                    for copy in range(plan.kind.shape[0]):
                        copies += np.int64(
                            (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1)
                        )
                    players *= copies
            needed[name] = players if level == 0 else min(needed[name], players)
    return needed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def scarcest_list(desk: Desk, needed: NDArray[np.int64]) -> int:
    """The list that has the fewest players for what a match needs of it, if others have twice that; or -1."""
    lists = lists_of(desk)
    found, least, most = -1, np.inf, 0.0
    for name in range(needed.shape[0]):
        if needed[name] > 0:
            supply = lists.waiting[name].sum() / needed[name]
            most = max(most, supply)
            if supply < least:
                found, least = name, supply
    return found if 2.0 * least < most else -1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def are_enough(desk: Desk, cell: int, needed: NDArray[np.int64]) -> bool:
    """Whether enough are there in a cell for a match."""
    lists = lists_of(desk)
    for name in range(needed.shape[0]):  # noqa: SIM110 - this is compiled
        if lists.waiting[name, cell] < needed[name]:
            return False
    return True
