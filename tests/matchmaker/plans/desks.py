"""A greedy's desk laid for a test, and its kernels called one by one by a short script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.cycle import for_regions
from matchmaker.plans.greedy.cells import build_lists
from matchmaker.plans.greedy.desk import Desk, Effort, Found, Pass, put_down
from matchmaker.plans.greedy.judging import regions_left
from matchmaker.plans.greedy.links import find_value, last_there, leave, next_there
from matchmaker.plans.greedy.state import clear, may_meet, new_draft, passes_guards, seat, unseat
from matchmaker.plans.greedy.swaps import mend_by_swaps
from matchmaker.plans.layout import NONE
from matchmaker.plans.running import as_arrays
from matchmaker.plans.store import TicketStore
from matchmaker.rules.flexmatch.evaluate import new_candidate
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

# What a step of a script does; behind each, its two numbers.
SEAT = 0  # ticket, team
UNSEAT = 1
CLEAR = 2
GUARDS = 3  # ticket, level
REGIONS = 4  # final, deferred: regions that are left
SWAP = 5
NEXT = 6  # place, end
LAST = 7  # place, begin
LEAVE = 8  # ticket
FIND = 9  # list and cell of it: the first place whose value is not less than ``value``
MEETS = 10  # ticket

Step = tuple[int, int, int]


@njit(nogil=True)  # not kept: numba would not see an edit of the kernels that it calls
def _run(desk: Desk, steps: NDArray[np.int64], value: float, answers: NDArray[np.uint64]) -> None:
    at = put_down(desk)
    for place in range(steps.shape[0]):
        kind, one, two = steps[place]
        answer = np.uint64(0)
        if kind == SEAT:
            seat(at, one, np.int64(desk.level[one]), two)
        elif kind == UNSEAT:
            unseat(at)
        elif kind == CLEAR:
            clear(at)
        elif kind == GUARDS:
            answer = np.uint64(1 if passes_guards(at, one, two) else 0)
        elif kind == REGIONS:
            answer = regions_left(at, np.bool_(one), np.bool_(two))
        elif kind == SWAP:
            mend_by_swaps(at)
        elif kind == NEXT:
            answer = np.uint64(next_there(at, one, two))
        elif kind == LAST:
            answer = np.uint64(last_there(at, one, two) + 1)
        elif kind == LEAVE:
            leave(at, one)
        elif kind == FIND:
            begin, end = np.int64(desk.lists.begin[one, two]), np.int64(desk.lists.end[one, two])
            answer = np.uint64(find_value(at, begin, end, value))
        else:
            answer = np.uint64(1 if may_meet(at, one) else 0)
        answers[place] = answer


def run(desk: Desk, steps: Sequence[Step], value: float = 0.0) -> list[int]:
    """Do the steps one after the other; returns the answer of each, 0 of those that have none (LAST's is one
    more).
    """
    answers = np.zeros(len(steps), np.uint64)
    _run(desk, np.array(steps, np.int64).reshape(len(steps), 3), value, answers)
    return [int(answer) for answer in answers]


class Laid(NamedTuple):
    """A desk, and the order of its rows by age."""

    desk: Desk
    by_age: NDArray[np.int64]


def lay(
    compiled: CompiledPlan,
    tickets: Sequence[FlexMatchTicket],
    regions: Sequence[str],
    now: float,
    *,
    at_home: bool = False,
    aged: bool = False,
) -> Laid:
    """Lay a desk with all of these tickets on it, each of whom waits."""
    assert compiled.plan is not None
    store = TicketStore(compiled, regions)
    count = len(tickets)
    store.add(tickets, np.zeros(count, np.int32), np.full(count, -1, np.int32))
    columns, table = store.columns, store.table()
    plan = for_regions(compiled.plan, len(regions), compiled.plan.by_region)
    level = (np.searchsorted(plan.wait_s, now - columns.start_s, side="right") - 1).astype(np.int32)
    by_age = np.argsort(columns.start_s, kind="stable")
    there = np.ones(count, np.bool_)
    depth = max(int(columns.size.sum()), 1)  # the evaluator's match has a place a player
    nobody = as_arrays((), (), (), len(plan.kind), (), (), count)
    found = Found(
        np.full(count, NONE, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count + 1, np.int32),
        np.zeros(count + 1, np.int32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int32),
    )
    desk = Desk(
        plan,
        columns,
        build_lists(plan, columns, level, by_age, there, at_home, aged),
        new_draft(plan, columns, depth, store.strings + 1),
        level,
        there,
        nobody,
        Pass(at_home, aged, full=False, thorough=True, deferred=False),
        Effort(np.zeros(4, np.int64), np.full(4, 1 << 40, np.int64)),
        found,
        compiled.program,
        table,
        new_candidate(compiled.program, table, depth),
    )
    return Laid(desk, by_age)
