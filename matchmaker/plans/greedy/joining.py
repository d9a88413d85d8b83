"""A ticket that joins a match: in which team, and whether that breaks a rule."""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.desk import (
    JOINS,
    SEED_JOINS,
    Desk,
    draft_of,
    effort_of,
    level_of,
    plan_of,
    tickets_of,
)
from matchmaker.plans.greedy.judging import NO_REGIONS, regions_left
from matchmaker.plans.greedy.state import LEVEL, level_with, may_meet, passes_guards, seat, unseat
from matchmaker.plans.layout import TEAM


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def join(desk: Desk, row: int, name: int, role: int, deferred: bool) -> bool:
    """Seat a ticket in the team with the most open seats, or in the next such one, if it breaks no rule."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    level = level_of(desk)
    effort = effort_of(desk)
    if not may_meet(desk, row):
        return False
    own = np.int64(level[row])
    new = level_with(desk, own)
    if draft.mask[0, new] & tickets.mask[row, 0, new] == NO_REGIONS:
        return False
    if draft.guards.shape[0] and not passes_guards(desk, row, new):
        return False
    size, eligible = tickets.size[row], tickets.eligible[row, new] & plan.lists[name].teams
    best, second = np.int64(-1), np.int64(-1)
    best_open, second_open = np.int64(0), np.int64(0)
    for copy in range(plan.kind.shape[0]):
        if not (eligible >> np.uint64(plan.kind[copy])) & np.uint64(1):
            continue
        seats = np.int64(min(np.int64(plan.most[new, copy]), draft.ceiling[copy]) - draft.players[copy])
        if seats < size or (role >= 0 and not _lacks(desk, role, copy, new)):
            continue
        if best < 0 or _comes_first(desk, new, copy, seats, best, best_open):
            second, second_open = best, best_open
            best, best_open = np.int64(copy), seats
        elif second < 0 or _comes_first(desk, new, copy, seats, second, second_open):
            second, second_open = np.int64(copy), seats
    for turn in range(2):
        team = best if turn == 0 else second
        if team < 0:
            return False
        effort.spent[JOINS] += 1
        effort.spent[SEED_JOINS] += 1
        seat(desk, row, own, team)
        if _sizes_fit(desk) and (regions_left(desk, np.bool_(False), deferred) != NO_REGIONS):
            return True
        unseat(desk)
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _comes_first(desk: Desk, level: int, copy: int, seats: int, other: int, other_seats: int) -> bool:
    """Whether a copy is filled before another one: if it has not the least number yet, by its open
    seats, then by the lower sum.
    """
    plan = plan_of(desk)
    draft = draft_of(desk)
    short = draft.players[copy] < plan.fewest[level, copy]
    if short != (draft.players[other] < plan.fewest[level, other]):
        return bool(short)
    if seats != other_seats:
        return seats > other_seats
    if plan.balance < 0:
        return False
    return bool(draft.total[copy, plan.balance] < draft.total[other, plan.balance])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _sizes_fit(desk: Desk) -> bool:
    """Whether no copy has more players than it may at the match's level, which a younger ticket lowers."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    if plan.most.shape[0] > 1:
        for copy in range(plan.kind.shape[0]):
            if draft.players[copy] > plan.most[draft.at[LEVEL], copy]:
                return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def wants(desk: Desk, name: int, role: int) -> bool:
    """Whether a list has seats to fill."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    level = draft.at[LEVEL]
    for copy in range(plan.kind.shape[0]):
        if not (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            continue
        if draft.players[copy] >= min(np.int64(plan.most[level, copy]), draft.ceiling[copy]):
            continue
        if role < 0 or _lacks(desk, role, copy, level):
            return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _lacks(desk: Desk, role: int, copy: int, level: int) -> bool:
    """Whether a copy (or all teams together) has fewer of a role than it needs."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    if plan.atoms[role].second < 0:
        return False
    row = copy if plan.atoms[role].shape == TEAM else plan.kind.shape[0]
    return bool(draft.total[row, plan.atoms[role].column] < plan.number[level, plan.atoms[role].second])
