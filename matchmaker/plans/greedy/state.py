"""The match that is being built: running sums, masks and marks, to which a ticket is added and from which the
last one is taken back in constant time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.desk import Desk, Draft, draft_of, plan_of, tickets_of
from matchmaker.plans.layout import BLOCK, INTERSECT, JOIN, NONE, Plan, TicketColumns

# Places in ``Draft.at``.
DEPTH, LEVEL, GROUP, PLATFORM, LOADED = range(5)
WORD = 64  # bits of a word of ``Draft.shared``


ALL_REGIONS = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def new_draft(plan: Plan, tickets: TicketColumns, depth: int, strings: int) -> Draft:
    """Room for matches of up to ``depth`` tickets, of lists of strings numbered below ``strings``."""
    copies, columns, levels = len(plan.kind), tickets.value.shape[1], len(plan.wait_s)
    masks, sets = plan.masks + 1, plan.sets
    longest = int(tickets.set_count.max(initial=1)) if sets else 1
    words = (longest + WORD - 1) // WORD
    guards = [
        plan.code["code"][rule["code_from"]]
        for rule in plan.rules
        if rule["code_to"] - rule["code_from"] == 1
        and rule["stage"] == JOIN
        and plan.atoms["kind"][plan.code["code"][rule["code_from"]]] in (INTERSECT, BLOCK)
    ]
    return Draft(
        np.zeros(5, np.int64),
        np.zeros(copies + 1, np.int64),
        np.full(copies, np.iinfo(np.int64).max // 2, np.int64),
        np.full((copies + 1, columns), np.inf),
        np.full((copies + 1, columns), -np.inf),
        np.zeros((copies + 1, columns)),
        np.full((masks, levels), ALL_REGIONS, np.uint64),
        np.zeros(depth + 1, np.int64),
        np.zeros(depth + 1, np.int32),
        np.zeros(depth + 1, np.int64),
        np.zeros((depth + 1, 2, columns)),
        np.zeros((depth + 1, 2, columns)),
        np.zeros((depth + 1, 2, columns)),
        np.zeros((depth + 1, masks, levels), np.uint64),
        np.zeros((sets, words), np.uint64),
        np.zeros((depth + 1, sets, words), np.uint64),
        np.zeros((sets, strings), np.int32),
        np.zeros((sets, strings), np.int32),
        np.array(guards, np.int32),
        np.zeros(len(tickets.size), np.bool_),
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def may_meet(desk: Desk, ticket: int) -> bool:
    """Whether cross-play lets a ticket in: all who cross-play meet; who keeps to a platform, all of it."""
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    group = draft.at[GROUP]
    return bool(
        tickets.group[ticket] == group
        or (group > 0 and tickets.group[ticket] == 0 and tickets.platform[ticket] == group - 1)
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def level_with(desk: Desk, level: int) -> int:
    """The match's level once a ticket of ``level`` has joined."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    if draft.at[DEPTH] == 0:
        return level
    own = draft.at[LEVEL]
    return int(min(own, level) if plan.newest else max(own, level))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def passes_guards(desk: Desk, ticket: int, level: int) -> bool:
    """Whether a ticket's lists keep the rules of lists that stand alone; nothing is changed."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    for index in range(draft.guards.shape[0]):
        atom = draft.guards[index]
        column = plan.atoms[atom].column
        begin = tickets.set_first[ticket, column]
        end = begin + tickets.set_count[ticket, column]
        if plan.atoms[atom].kind == BLOCK:
            other = plan.atoms[atom].high
            for item in range(begin, end):
                if draft.here[other, tickets.strings[item]] > 0:
                    return False
            begin = tickets.set_first[ticket, other]
            for item in range(begin, begin + tickets.set_count[ticket, other]):
                if draft.here[column, tickets.strings[item]] > 0:
                    return False
            continue
        if plan.atoms[atom].second == NONE:
            continue
        wanted = plan.number[level, plan.atoms[atom].second]
        common = np.int64(0)
        if draft.at[DEPTH] == 0:
            common = end - begin
        else:
            for item in range(begin, end):
                place = draft.place[column, tickets.strings[item]] - 1
                if place >= 0:
                    common += np.int64(
                        (draft.shared[column, place // WORD] >> np.uint64(place % WORD)) & np.uint64(1)
                    )
        if common < wanted:
            return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def seat(desk: Desk, ticket: int, level: int, team: int) -> None:
    """Add a ticket, whose level is ``level``, to a copy of a team."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    depth = draft.at[DEPTH]
    draft.ticket[depth], draft.team[depth] = ticket, team
    draft.seated[ticket] = True
    draft.kept_level[depth] = draft.at[LEVEL]
    draft.at[LEVEL] = level_with(desk, level)
    size = np.int64(tickets.size[ticket])
    for side in range(2):
        row = team if side == 0 else draft.players.shape[0] - 1
        draft.players[row] += size
        for column in range(draft.least.shape[1]):
            value = tickets.value[ticket, column]
            draft.kept_least[depth, side, column] = draft.least[row, column]
            draft.kept_most[depth, side, column] = draft.most[row, column]
            draft.kept_total[depth, side, column] = draft.total[row, column]
            draft.least[row, column] = min(draft.least[row, column], value)
            draft.most[row, column] = max(draft.most[row, column], value)
            draft.total[row, column] += value if plan.once[column] else value * size
    masks = draft.mask.shape[0] - 1
    for each in range(draft.mask.shape[1]):
        for mask in range(masks):
            draft.kept_mask[depth, mask, each] = draft.mask[mask, each]
            draft.mask[mask, each] &= tickets.mask[ticket, mask, each]
        draft.kept_mask[depth, masks, each] = draft.mask[masks, each]
        if (tickets.eligible[ticket, each] >> np.uint64(plan.kind[team])) & np.uint64(1) == 0:
            draft.mask[masks, each] = 0
    if draft.shared.shape[0]:
        _seat_strings(desk, ticket, depth)
    draft.at[DEPTH] = depth + 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def unseat(desk: Desk) -> None:
    """Take the last ticket back."""
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    depth = draft.at[DEPTH] - 1
    draft.at[DEPTH] = depth
    draft.at[LEVEL] = draft.kept_level[depth]
    ticket, team = draft.ticket[depth], draft.team[depth]
    draft.seated[ticket] = False
    for side in range(2):
        row = team if side == 0 else draft.players.shape[0] - 1
        draft.players[row] -= tickets.size[ticket]
        for column in range(draft.least.shape[1]):
            draft.least[row, column] = draft.kept_least[depth, side, column]
            draft.most[row, column] = draft.kept_most[depth, side, column]
            draft.total[row, column] = draft.kept_total[depth, side, column]
    for mask in range(draft.mask.shape[0]):
        for each in range(draft.mask.shape[1]):
            draft.mask[mask, each] = draft.kept_mask[depth, mask, each]
    for column in range(draft.shared.shape[0]):
        begin = tickets.set_first[ticket, column]
        for item in range(begin, begin + tickets.set_count[ticket, column]):
            draft.here[column, tickets.strings[item]] -= 1
            if depth == 0:
                draft.place[column, tickets.strings[item]] = 0
        for word in range(draft.shared.shape[1]):
            draft.shared[column, word] = draft.kept_shared[depth, column, word]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _seat_strings(desk: Desk, ticket: int, depth: int) -> None:
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    words = draft.shared.shape[1]
    for column in range(draft.shared.shape[0]):
        begin = tickets.set_first[ticket, column]
        end = begin + tickets.set_count[ticket, column]
        for word in range(words):
            draft.kept_shared[depth, column, word] = draft.shared[column, word]
            draft.shared[column, word] = 0
        for item in range(begin, end):
            string = tickets.strings[item]
            draft.here[column, string] += 1
            if depth == 0:
                draft.place[column, string] = item - begin + 1
            place = draft.place[column, string] - 1
            if place < 0 or place >= words * WORD:
                continue
            bit = np.uint64(1) << np.uint64(place % WORD)
            if depth == 0 or draft.kept_shared[depth, column, place // WORD] & bit:
                draft.shared[column, place // WORD] |= bit


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def clear(desk: Desk) -> None:
    """Take all tickets back."""
    draft = draft_of(desk)
    while draft.at[DEPTH] > 0:
        unseat(desk)
    draft.at[LOADED] = 0
