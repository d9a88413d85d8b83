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
    Desk,
    Draft,
    Effort,
    Found,
    Pass,
    Running,
    draft_of,
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
from matchmaker.plans.greedy.judging import NO_REGIONS, regions_left
from matchmaker.plans.greedy.links import find_value, last_there, leave, next_there
from matchmaker.plans.greedy.state import (
    DEPTH,
    GROUP,
    LEVEL,
    LOADED,
    PLATFORM,
    clear,
    level_with,
    may_meet,
    passes_guards,
    seat,
    unseat,
)
from matchmaker.plans.greedy.swaps import mend_by_swaps
from matchmaker.plans.layout import (
    BACKWARD,
    DEFERRABLE,
    FARTHEST,
    FORWARD,
    NEAREST,
    NONE,
    TEAM,
    Plan,
    TicketColumns,
)
from matchmaker.rules.flexmatch.evaluate import Candidate
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.table import Table

UNMATCHED = -1

# Ways to try around one seed.
PLAIN, AS_OLD, UPWARD, DOWNWARD, DEFERRED = range(5)


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
    lists = build_lists(plan, tickets, by_age, there, how.at_home, how.aged)
    desk = put_down(
        Desk(plan, tickets, lists, draft, level, there, running, how, effort, found, program, table, match)
    )
    needed = _fewest_needed(desk, how.full)
    deferrable = np.bool_(False)
    for rule in range(plan.rules.shape[0]):
        deferrable = deferrable or plan.rules[rule].stage == DEFERRABLE
    for seed in seeds:
        if seed >= 0 and (not there[seed] or lists.cell[seed] < 0):
            continue
        if effort.spent[LOOKS] >= effort.most[LOOKS] or effort.spent[JOINS] >= effort.most[JOINS]:
            if seed >= 0:
                found.untried[seed] = True
            continue
        cell = np.int64(lists.cell[seed]) if seed >= 0 else np.int64(_cell_of(desk, -1 - seed))
        if cell < 0:
            continue
        if seed >= 0 and not _enough(desk, cell, needed):
            continue
        regions = _try_all(desk, seed, cell, deferrable)
        if regions != NO_REGIONS:
            found.running_of[formed] = NONE if seed >= 0 else -1 - seed
            found.region_of[formed] = _nearest(desk, regions)
            for place in range(draft.at[LOADED], draft.at[DEPTH]):
                row = np.int64(draft.ticket[place])
                found.match_of[row], found.team_of[row] = formed, draft.team[place]
                leave(desk, row)
            formed += 1
        clear(desk)
    return formed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _try_all(desk: Desk, seed: int, cell: int, deferrable: bool) -> np.uint64:
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
        if not _begin(desk, seed, cell):
            _end_running(desk, seed)
            return NO_REGIONS
        _fill(desk, seed, cell, way)
        regions = _settle(desk, how.full, way == DEFERRED)
        if regions != NO_REGIONS:
            _end_running(desk, seed)
            return regions
        if (
            effort.spent[SEED_LOOKS] >= effort.most[SEED_LOOKS]
            or effort.spent[SEED_JOINS] >= effort.most[SEED_JOINS]
        ):
            break
    _end_running(desk, seed)
    return NO_REGIONS


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _begin(desk: Desk, seed: int, cell: int) -> bool:
    """Seat the seed, or who plays in the running match already."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    lists = lists_of(desk)
    level = level_of(desk)
    running = running_of(desk)
    found = found_of(desk)
    copies = plan.kind.shape[0]
    if seed >= 0:
        draft.ceiling[:] = 1 << 40
        draft.at[GROUP], draft.at[PLATFORM] = tickets.group[seed], tickets.platform[seed]
        own = np.int64(level[seed])
        if not passes_guards(desk, seed, own):
            return False
        chosen, scarcest = np.int64(-1), np.inf
        for copy in range(copies):
            kind = np.uint64(plan.kind[copy])
            if not (tickets.eligible[seed, level[seed]] >> kind) & np.uint64(1):
                continue
            if tickets.size[seed] > plan.most[level[seed], copy]:
                continue
            supply = np.inf
            for name in range(plan.lists.shape[0]):
                if plan.lists[name].role < 0 and (plan.lists[name].teams >> kind) & np.uint64(1):
                    supply = lists.waiting[name, cell] / max(_seats(desk, own, plan.lists[name].teams), 1)
            if chosen < 0 or supply < scarcest:
                chosen, scarcest = copy, supply
        if chosen < 0:
            return False
        seat(desk, seed, own, chosen)
        draft.at[LOADED] = 0
        return True
    index = -1 - seed
    draft.at[GROUP], draft.at[PLATFORM] = running.group[index], running.platform[index]
    for row in range(np.int64(running.first[index]), np.int64(running.last[index])):
        seat(desk, row, np.int64(level[row]), np.int64(running.team[row]))
    if running.region[index] >= 0:
        draft.mask[0] &= np.uint64(1) << np.uint64(running.region[index])
    for copy in range(copies):
        draft.ceiling[copy] = draft.players[copy] + running.room[index, copy]
    draft.at[LOADED] = draft.at[DEPTH]
    for place in range(running.barred_first[index], running.barred_last[index]):
        found.barred[running.barred[place]] = index + 1
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _end_running(desk: Desk, seed: int) -> None:
    running = running_of(desk)
    found = found_of(desk)
    if seed < 0:
        for place in range(running.barred_first[-1 - seed], running.barred_last[-1 - seed]):
            found.barred[running.barred[place]] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _fill(desk: Desk, seed: int, cell: int, way: int) -> None:
    """Fill the seats: roles with a least number first, then list after list, the scarcest first."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    lists = lists_of(desk)
    names = plan.lists.shape[0]
    done = np.uint64(0)
    for _ in range(names):
        chosen, scarcest = np.int64(-1), np.inf
        for name in range(names):
            if (done >> np.uint64(name)) & np.uint64(1):
                continue
            supply = lists.waiting[name, cell] / max(_seats(desk, draft.at[LEVEL], plan.lists[name].teams), 1)
            if plan.lists[name].role >= 0:
                supply -= 1e12  # before all that fill whatever is free
            if chosen < 0 or supply < scarcest:
                chosen, scarcest = name, supply
        done |= np.uint64(1) << np.uint64(chosen)
        _walk(desk, seed, cell, chosen, way)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _walk(desk: Desk, seed: int, cell: int, name: int, way: int) -> None:
    """Walk one list from the target outwards and seat who may join, until its seats are taken."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    lists = lists_of(desk)
    level = level_of(desk)
    effort = effort_of(desk)
    found = found_of(desk)
    how = how_of(desk)
    begin, end = np.int64(lists.begin[name, cell]), np.int64(lists.end[name, cell])
    role, axis = np.int64(plan.lists[name].role), np.int64(plan.lists[name].axis)
    if begin == end or not _wants(desk, name, role):
        return
    walk = FORWARD if how.aged or axis < 0 else plan.lists[name].walk
    target, own, reach = np.nan, np.nan, np.inf
    if axis >= 0:
        own = tickets.value[seed, axis] if seed >= 0 else _of_all_players(desk, axis)
        target = own
        if plan.lists[name].target_column >= 0:
            asked = _mean_of(desk, plan.lists[name].target_teams, plan.lists[name].target_column)
            if not np.isnan(asked):
                target = asked
        if plan.lists[name].window >= 0:
            reach = plan.lists[name].reach * _widest(desk, plan.lists[name].window, draft.at[LEVEL])
            reach += 1e-9 * (1.0 + abs(reach))
    least = level[seed] if way == AS_OLD else 0
    up_open, down_open = walk != BACKWARD and way != DOWNWARD, walk != FORWARD and way != UPWARD
    high, low = begin, end - 1
    if walk == NEAREST:
        high = find_value(desk, begin, end, target)
        low = high - 1
    while True:
        if up_open:
            high = next_there(desk, high, end)
            up_open = high < end
        if down_open:
            low = last_there(desk, low, begin)
            down_open = low >= begin
        if not (up_open or down_open) or (walk == FARTHEST and high > low):
            return
        up = up_open
        if up_open and down_open:
            above, below = abs(lists.value[high] - target), abs(lists.value[low] - target)
            up = above >= below if walk == FARTHEST else above <= below
        if up:
            row = np.int64(lists.ticket[high])
            high += 1
        else:
            row = np.int64(lists.ticket[low])
            low -= 1
        effort.spent[LOOKS] += 1
        effort.spent[SEED_LOOKS] += 1
        apart = tickets.value[row, axis] - own if reach < np.inf else 0.0
        if abs(apart) > reach:
            # All that come after it on this side are farther still.
            if not how.aged and walk != FARTHEST:
                if up and apart > 0:
                    up_open = False
                elif not up and apart < 0:
                    down_open = False
        elif not draft.seated[row] and level[row] >= least and (seed >= 0 or found.barred[row] != -seed):
            joined = _join(desk, row, name, role, way == DEFERRED)
            if joined and not _wants(desk, name, role):
                return
        if (
            effort.spent[SEED_LOOKS] >= effort.most[SEED_LOOKS]
            or effort.spent[SEED_JOINS] >= effort.most[SEED_JOINS]
        ):
            return


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _join(desk: Desk, row: int, name: int, role: int, deferred: bool) -> bool:
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
        seats = min(np.int64(plan.most[new, copy]), draft.ceiling[copy]) - draft.players[copy]
        if seats < size or (role >= 0 and not _lacks(desk, role, copy, new)):
            continue
        if best < 0 or _comes_first(desk, copy, seats, best, best_open):
            second, second_open = best, best_open
            best, best_open = copy, seats
        elif second < 0 or _comes_first(desk, copy, seats, second, second_open):
            second, second_open = copy, seats
    for turn in range(2):
        copy = best if turn == 0 else second
        if copy < 0:
            return False
        effort.spent[JOINS] += 1
        effort.spent[SEED_JOINS] += 1
        seat(desk, row, own, copy)
        if _sizes_fit(desk) and (regions_left(desk, np.bool_(False), deferred) != NO_REGIONS):
            return True
        unseat(desk)
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _comes_first(desk: Desk, copy: int, seats: int, other: int, other_seats: int) -> bool:
    """Whether a copy is filled before another one: by its open seats, then by the lower sum."""
    plan = plan_of(desk)
    draft = draft_of(desk)
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
def _wants(desk: Desk, name: int, role: int) -> bool:
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


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _settle(desk: Desk, full: bool, deferred: bool) -> np.uint64:
    """The regions of what was gathered, if it is a match; else of what it was before the last tickets joined,
    until it is one.
    """
    plan = plan_of(desk)
    draft = draft_of(desk)
    effort = effort_of(desk)
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
            if first and plan.balance >= 0 and loaded == 0 and (deferred or plan.large):
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
def _nearest(desk: Desk, regions: np.uint64) -> int:
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


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _seats(desk: Desk, level: int, teams: np.uint64) -> int:
    plan = plan_of(desk)
    seats = 0
    for copy in range(plan.kind.shape[0]):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            seats += plan.most[level, copy]
    return seats


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _fewest_needed(desk: Desk, full: bool) -> NDArray[np.int64]:
    """int64[N]: players without whom no match can be, a list."""
    plan = plan_of(desk)
    needed = np.zeros(plan.lists.shape[0], np.int64)
    for name in range(needed.shape[0]):
        role = plan.lists[name].role
        for level in range(plan.wait_s.shape[0]):
            players = 0
            for copy in range(plan.kind.shape[0]):
                if (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
                    players += plan.most[level, copy] if full else plan.fewest[level, copy]
            if role >= 0:
                players = np.int64(max(0.0, np.ceil(plan.number[level, plan.atoms[role].second] - 1e-6)))
                if plan.atoms[role].shape == TEAM:
                    copies = 0
                    for copy in range(plan.kind.shape[0]):
                        copies += np.int64(
                            (plan.lists[name].teams >> np.uint64(plan.kind[copy])) & np.uint64(1)
                        )
                    players *= copies
            needed[name] = players if level == 0 else min(needed[name], players)
    return needed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _enough(desk: Desk, cell: int, needed: NDArray[np.int64]) -> bool:
    """Whether enough are there in a cell for a match."""
    lists = lists_of(desk)
    for name in range(needed.shape[0]):  # noqa: SIM110 - this is compiled
        if lists.waiting[name, cell] < needed[name]:
            return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _widest(desk: Desk, number: int, level: int) -> float:
    """A limit at a level, or where it is wider at a later one (of the oldest ticket's, if that decides)."""
    plan = plan_of(desk)
    widest = plan.number[level, number]
    if not plan.newest:
        for later in range(level, plan.number.shape[0]):
            widest = max(widest, plan.number[later, number])
    return float(widest)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _of_all_players(desk: Desk, column: int) -> float:
    draft = draft_of(desk)
    row = draft.players.shape[0] - 1
    return float(draft.total[row, column] / max(draft.players[row], 1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _mean_of(desk: Desk, teams: np.uint64, column: int) -> float:
    plan = plan_of(desk)
    draft = draft_of(desk)
    players, total = 0, 0.0
    for copy in range(plan.kind.shape[0]):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            players += draft.players[copy]
            total += draft.total[copy, column]
    return total / players if players else np.nan


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
