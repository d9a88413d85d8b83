"""Filling the seats of a match around its seed, list after list."""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.cells import keeps_axis
from matchmaker.plans.greedy.desk import (
    LOOKS,
    SEED_LOOKS,
    Bits,
    Desk,
    draft_of,
    effort_of,
    found_of,
    how_of,
    level_of,
    lists_of,
    plan_of,
    running_of,
    tickets_of,
)
from matchmaker.plans.greedy.joining import join, wants
from matchmaker.plans.greedy.links import find_value, last_there, next_there
from matchmaker.plans.greedy.state import DEPTH, GROUP, LEVEL, LOADED, PLATFORM, passes_guards, seat
from matchmaker.plans.greedy.supply import is_spent, supply_of
from matchmaker.plans.layout import BACKWARD, FARTHEST, FORWARD, NEAREST

# Ways to try around one seed: as it comes; only who has waited as long; only upwards or downwards on the
# axis; with fairness put off.
PLAIN, AS_OLD, UPWARD, DOWNWARD, DEFERRED = range(5)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def begin_with(desk: Desk, seed: int, cell: int) -> bool:
    """Seat the seed, or who plays in the running match already."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
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
                    supply = supply_of(desk, name, cell, own)
            if chosen < 0 or supply < scarcest:
                chosen, scarcest = np.int64(copy), supply
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
def fill(desk: Desk, seed: int, cell: int, way: int) -> bool:
    """Fill the seats: roles with a least number first, then list after list, the scarcest first.

    Returns whether there are enough of each role.
    """
    plan = plan_of(desk)
    draft = draft_of(desk)
    names = plan.lists.shape[0]
    done = np.uint64(0)
    for _ in range(names):
        chosen, scarcest = np.int64(-1), np.inf
        for name in range(names):
            if (done >> np.uint64(name)) & np.uint64(1):
                continue
            supply = supply_of(desk, name, cell, draft.at[LEVEL])
            if plan.lists[name].role >= 0:
                supply -= 1e12  # before all that fill whatever is free
            if chosen < 0 or supply < scarcest:
                chosen, scarcest = np.int64(name), supply
        done |= np.uint64(1) << np.uint64(chosen)
        _walk(desk, seed, cell, chosen, way)
        role = np.int64(plan.lists[chosen].role)
        if role >= 0 and wants(desk, chosen, role):
            return False
    return True


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
    if begin == end or not wants(desk, name, role):
        return
    aged = axis < 0 or (how.aged and not keeps_axis(plan, name))
    walk = FORWARD if aged else plan.lists[name].walk
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
    wrap_at, stop = begin, end
    if aged and seed >= 0:
        # Who is older has been tried before, mostly in vain: the younger ones come first, then the oldest.
        high = np.int64(lists.place[name, seed])
        if high < 0:
            high = find_value(desk, begin, end, tickets.start_s[seed])
        wrap_at = high
    if walk == NEAREST:
        high = find_value(desk, begin, end, target)
        low = high - 1
    while True:
        if up_open:
            high = next_there(desk, high, stop)
            if high >= stop and wrap_at > begin:
                high, stop, wrap_at = begin, wrap_at, begin
                high = next_there(desk, high, stop)
            up_open = high < stop
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
            if not aged and walk != FARTHEST:
                if up and apart > 0:
                    up_open = False
                elif not up and apart < 0:
                    down_open = False
        elif not draft.seated[row] and level[row] >= least and (seed >= 0 or found.barred[row] != -seed):
            joined = join(desk, row, name, role, way == DEFERRED)
            if joined and not wants(desk, name, role):
                return
        if is_spent(desk):
            return


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _of_all_players(desk: Desk, column: int) -> float:
    draft = draft_of(desk)
    row = draft.players.shape[0] - 1
    return float(draft.total[row, column] / max(draft.players[row], 1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _mean_of(desk: Desk, teams: Bits, column: int) -> float:
    plan = plan_of(desk)
    draft = draft_of(desk)
    players, total = 0, 0.0
    for copy in range(plan.kind.shape[0]):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            players += draft.players[copy]
            total += draft.total[copy, column]
    return total / players if players else np.nan


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _widest(desk: Desk, number: int, level: int) -> float:
    """A limit at a level, or where it is wider at a later one (of the oldest ticket's, if that decides)."""
    plan = plan_of(desk)
    widest = plan.number[level, number]
    if not plan.newest:
        for later in range(level, plan.number.shape[0]):
            widest = max(widest, plan.number[later, number])
    return float(widest)
