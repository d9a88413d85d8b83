"""The greedy: around each seed, oldest first, seats are filled from the plan's lists; a ticket that breaks a
rule when it joins does not join.

A seed is a ticket that came, came back or widened since it was last tried (or a running match): a match that
is possible now and was not before holds one. What work a cycle may cost is bounded; the seeds that it did not
get to are tried first in the next.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.plans.greedy.cells import build_lists
from matchmaker.plans.greedy.desk import (
    JOINS,
    LOOKS,
    SEED_JOINS,
    SEED_LOOKS,
    Bits,
    Desk,
    Draft,
    Effort,
    Found,
    Pass,
    Running,
    effort_of,
    found_of,
    how_of,
    level_of,
    lists_of,
    plan_of,
    put_down,
    running_of,
    tickets_of,
)
from matchmaker.plans.greedy.filling import AS_OLD, DEFERRED, DOWNWARD, PLAIN, UPWARD, begin_with, fill
from matchmaker.plans.greedy.judging import NO_REGIONS
from matchmaker.plans.greedy.links import leave
from matchmaker.plans.greedy.settling import nearest_region, settle
from matchmaker.plans.greedy.state import DEPTH, LOADED, clear
from matchmaker.plans.greedy.supply import are_enough, fewest_needed, is_spent, scarcest_list
from matchmaker.plans.layout import DEFERRABLE, NONE, Plan, TicketColumns
from matchmaker.rules.flexmatch.evaluate import Candidate
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.table import Table

# Seeds above which only tickets of the list that every match needs and that has least are tried as such.
MANY_SEEDS = 256


@njit(cache=True, nogil=True)
def go_through(
    plan: Plan,
    tickets: TicketColumns,
    level: NDArray[np.int32],
    by_age: NDArray[np.int64],
    there: NDArray[np.bool_],
    seeds: NDArray[np.int64],
    running: Running,
    how: Pass,
    effort: Effort,
    draft: Draft,
    program: Program,
    table: Table,
    match: Candidate,
    found: Found,
    formed: int,
) -> int:
    """One pass over the seeds; returns how many matches there are now.

    Args:
        level: int32[T], each ticket's level.
        by_age: rows, oldest first, of the tickets there were at the beginning of the cycle.
        there: bool[T], who may be taken; those taken are not there afterwards.
        seeds: rows in the order in which they are tried; -1 - b: the running match b.
        formed: matches so far.
    """
    lists = build_lists(plan, tickets, level, by_age, there, how.at_home, how.aged)
    desk = put_down(
        Desk(plan, tickets, lists, draft, level, there, running, how, effort, found, program, table, match)
    )
    needed = fewest_needed(desk, how.full)
    deferrable = np.bool_(False)
    for rule in range(plan.rules.shape[0]):
        deferrable = deferrable or plan.rules[rule].stage == DEFERRABLE
    scarce = np.int64(-1)
    if how.thorough and seeds.shape[0] > MANY_SEEDS:
        scarce = scarcest_list(desk, needed)
    for seed in seeds:
        if seed >= 0 and (not there[seed] or lists.cell[seed] < 0):
            continue
        if seed >= 0 and scarce >= 0 and lists.place[scarce, seed] < 0:
            continue
        if effort.spent[LOOKS] >= effort.most[LOOKS] or effort.spent[JOINS] >= effort.most[JOINS]:
            if seed >= 0:
                found.untried[seed] = True
            continue
        cell = np.int64(lists.cell[seed]) if seed >= 0 else np.int64(_cell_of(desk, -1 - seed))
        if cell < 0:
            continue
        if seed >= 0 and not are_enough(desk, cell, needed):
            continue
        regions = _try_all(desk, seed, cell, deferrable)
        if regions != NO_REGIONS:
            found.running_of[formed] = NONE if seed >= 0 else -1 - seed
            found.region_of[formed] = nearest_region(desk, regions)
            for place in range(draft.at[LOADED], draft.at[DEPTH]):
                row = np.int64(draft.ticket[place])
                found.match_of[row], found.team_of[row] = formed, draft.team[place]
                leave(desk, row)
            formed += 1
        clear(desk)
    return formed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _try_all(desk: Desk, seed: int, cell: int, deferrable: bool) -> Bits:
    """Try the ways around one seed, one after the other; returns the regions of the match, which is in the
    draft then.
    """
    plan = plan_of(desk)
    level = level_of(desk)
    effort = effort_of(desk)
    how = how_of(desk)
    windows = False
    for name in range(plan.lists.shape[0]):
        windows = windows or (plan.lists[name].window >= 0 and not how.aged)
    effort.spent[SEED_LOOKS], effort.spent[SEED_JOINS] = 0, 0
    first = DEFERRED if deferrable and how.deferred and seed >= 0 else PLAIN
    for turn in range(5):
        way = first if turn == 0 else turn if turn != first else PLAIN
        if turn > 0 and not how.thorough and not (turn == DEFERRED and first == DEFERRED):
            continue
        if way == DEFERRED and (not deferrable or seed < 0):
            continue
        if way == AS_OLD and (seed < 0 or level[seed] == 0):
            continue
        if way in (UPWARD, DOWNWARD) and (not windows or seed < 0):
            continue
        if way == PLAIN and turn > 0 and first == PLAIN:
            continue
        clear(desk)
        if not begin_with(desk, seed, cell):
            _end_running(desk, seed)
            return NO_REGIONS
        regions = NO_REGIONS
        if fill(desk, seed, cell, way):
            regions = settle(desk, how.full)
        if regions != NO_REGIONS:
            _end_running(desk, seed)
            return regions
        if is_spent(desk):
            break
    _end_running(desk, seed)
    return NO_REGIONS


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _end_running(desk: Desk, seed: int) -> None:
    running = running_of(desk)
    found = found_of(desk)
    if seed < 0:
        for place in range(running.barred_first[-1 - seed], running.barred_last[-1 - seed]):
            found.barred[running.barred[place]] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _cell_of(desk: Desk, index: int) -> int:
    """The cell of a running match's players: of their bucket, and of its region where cells have one."""
    tickets = tickets_of(desk)
    lists = lists_of(desk)
    running = running_of(desk)
    bucket = tickets.bucket[running.first[index]]
    key = bucket * lists.width[0] + (running.region[index] if lists.width[0] > 1 else 0)
    if (
        bucket < 0
        or key < 0
        or key >= lists.number.shape[0]
        or running.region[index] < 0 < lists.width[0] - 1
    ):
        return NONE
    return int(lists.number[key])
