"""What a pass of the greedy works on, laid on one desk: functions are handed the desk's address, and take up
what they need.

Sixty arrays as arguments cost a call more than its work, and the compiler minutes. What is taken up does not
count who refers to it: ``put_down``'s caller keeps all of it alive meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from matchmaker.plans.greedy.cells import Lists
from matchmaker.plans.layout import ATOM, CODE, LIST, RULE, Plan, TicketColumns
from matchmaker.rules.flexmatch.evaluate import Candidate, new_candidate
from matchmaker.rules.flexmatch.program import Program, compile_rules
from matchmaker.rules.flexmatch.rule_set import Algorithm, RuleSet, Team
from matchmaker.rules.flexmatch.table import Columns, Table, build_table


class Draft(NamedTuple):
    """A match of up to D tickets in K team copies; the last row of the sums is of all teams.

    Attributes:
        at: int64[5]: DEPTH, tickets so far; LEVEL; GROUP and PLATFORM of who may come; LOADED, tickets
            that were there before it was built (a running match).
        players: int64[K + 1]; ceiling: int64[K], the most that a copy may have besides the plan's (free seats
            of a running match).
        least, most, total: float64[K + 1, C].
        mask: uint64[X + 1, L], regions that are left; the last row is 0 where a ticket may not be in its team
            at that level.
        ticket: int64[D], team: int32[D], in the order in which they joined.
        kept_…: [D, …], what stood there before the ticket of that depth joined.
        shared: uint64[S, W], bit i: all have the i-th string of the first ticket's list.
        place: int32[S, strings], 1 + i of each of these strings, else 0.
        here: int32[S, strings], how many tickets' lists have a string.
        guards: int32[G], atoms that are tested before a ticket joins.
        seated: bool[T], whether a ticket is in the match.
    """

    at: NDArray[np.int64]
    players: NDArray[np.int64]
    ceiling: NDArray[np.int64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    total: NDArray[np.float64]
    mask: NDArray[np.uint64]
    ticket: NDArray[np.int64]
    team: NDArray[np.int32]
    kept_level: NDArray[np.int64]
    kept_least: NDArray[np.float64]
    kept_most: NDArray[np.float64]
    kept_total: NDArray[np.float64]
    kept_mask: NDArray[np.uint64]
    shared: NDArray[np.uint64]
    kept_shared: NDArray[np.uint64]
    place: NDArray[np.int32]
    here: NDArray[np.int32]
    guards: NDArray[np.int32]
    seated: NDArray[np.bool_]


# Places in ``Effort.spent`` and ``Effort.most``.
LOOKS, JOINS, SEED_LOOKS, SEED_JOINS = range(4)


class Running(NamedTuple):
    """B running matches that want players.

    Attributes:
        first, last: int32[B], rows of tickets that stand for who plays; their teams are in ``team``.
        team: int32[T], the copy that such a ticket's players are in.
        room: int32[B, K], free seats a copy.
        region: int32[B]; group: int32[B]; platform: int32[B].
        barred_first, barred_last: int32[B] into ``barred``, rows of tickets that may not come.
    """

    first: NDArray[np.int32]
    last: NDArray[np.int32]
    team: NDArray[np.int32]
    room: NDArray[np.int32]
    region: NDArray[np.int32]
    group: NDArray[np.int32]
    platform: NDArray[np.int32]
    barred_first: NDArray[np.int32]
    barred_last: NDArray[np.int32]
    barred: NDArray[np.int32]


class Effort(NamedTuple):
    """What a cycle has done, and may do.

    Attributes:
        spent, most: int64[4]: tickets looked at, tickets that were tried to join, and both around the seed
            at hand.
    """

    spent: NDArray[np.int64]
    most: NDArray[np.int64]


class Found(NamedTuple):
    """Where the greedy writes.

    Attributes:
        match_of: int32[T]; team_of: int32[T]; region_of, running_of: int32[M], the region (or -1) and the
            running match (or -1) of each match.
        untried: bool[T], seeds that the work did not suffice for.
        barred: int32[T], 1 + the running match that a ticket may not join, at the moment.
    """

    match_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    running_of: NDArray[np.int32]
    untried: NDArray[np.bool_]
    barred: NDArray[np.int32]


class Pass(NamedTuple):
    """How the seeds are gone through.

    Attributes:
        at_home: among players of one home region.
        aged: candidates oldest first, not nearest first.
        full: only full matches are taken.
        thorough: whether all ways are tried around a seed.
        deferred: whether fairness is put off at the first try.
    """

    at_home: bool
    aged: bool
    full: bool
    thorough: bool
    deferred: bool


Bits = Any  # np.uint64, a bit a region or a kind of team; the type checker loses it in each operation


class Desk(NamedTuple):
    """All of it; T tickets.

    Attributes:
        level: int32[T], each ticket's level; there: bool[T], who may be taken.
        program, table, match: what the evaluator reads, of rules that have no atom.
    """

    plan: Plan
    tickets: TicketColumns
    lists: Lists
    draft: Draft
    level: NDArray[np.int32]
    there: NDArray[np.bool_]
    running: Running
    how: Pass
    effort: Effort
    found: Found
    program: Program
    table: Table
    match: Candidate


def _example() -> Desk:
    """A desk of the types that all desks have."""

    def empty(dtype: Any, dimensions: int = 1) -> NDArray[Any]:
        return np.zeros((0,) * dimensions, dtype)

    rules = RuleSet("", (), (Team("t", 1, 1, 1),), Algorithm(), (), ())
    columns = Columns([])
    program = compile_rules(rules, columns)
    table = build_table([], columns, [], ["t"], [], 0.0)
    f8, i4, i8, u8, yes = np.float64, np.int32, np.int64, np.uint64, np.bool_
    plan = Plan(
        empty(f8), empty(f8, 2), empty(i4), empty(i4, 2), empty(i4, 2), empty(ATOM), empty(CODE),
        empty(RULE), empty(LIST), 0, 0, 0, empty(yes), 0, True, 0, True, True, True, 0, True, True,
    )  # fmt: skip
    tickets = TicketColumns(
        empty(f8), empty(i4), empty(i4), empty(i4), empty(f8, 2), empty(u8, 3), empty(u8, 2), empty(i4),
        empty(i4), empty(np.float32, 2), empty(i8, 2), empty(i4, 2), empty(i4),
    )  # fmt: skip
    lists = Lists(
        empty(i4), empty(f8), empty(i4), empty(i4), empty(i4, 2), empty(i4, 2), empty(i4, 2), empty(i8, 2),
        empty(i4), empty(i4), empty(i8),
    )  # fmt: skip
    draft = Draft(
        empty(i8), empty(i8), empty(i8), empty(f8, 2), empty(f8, 2), empty(f8, 2), empty(u8, 2), empty(i8),
        empty(i4), empty(i8), empty(f8, 3), empty(f8, 3), empty(f8, 3), empty(u8, 3), empty(u8, 2),
        empty(u8, 3), empty(i4, 2), empty(i4, 2), empty(i4), empty(yes),
    )  # fmt: skip
    running = Running(
        empty(i4), empty(i4), empty(i4), empty(i4, 2), empty(i4), empty(i4), empty(i4), empty(i4), empty(i4),
        empty(i4),
    )  # fmt: skip
    return Desk(
        plan, tickets, lists, draft, empty(i4), empty(yes), running, Pass(True, True, True, True, True),
        Effort(empty(i8), empty(i8)),
        Found(empty(i4), empty(i4), empty(i4), empty(i4), empty(yes), empty(i4)),
        program, table, new_candidate(program, table, 1),
    )  # fmt: skip


DESK = typeof(_example())


@intrinsic
def put_down(typing_context: Any, desk: Any) -> Any:
    """Store a desk on the caller's stack; returns its address, which is good until the caller returns."""
    if desk != DESK:
        differ = [name for name, own, known in zip(Desk._fields, desk, DESK, strict=True) if own != known]
        raise TypeError(f"a desk of other types: {', '.join(differ)}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = cgutils.alloca_once(builder, context.get_value_type(DESK))
        _store(context, builder, DESK, arguments[0], pointer)
        return builder.ptrtoint(pointer, context.get_value_type(types.intp))

    return types.intp(desk), generate


def _taken_up(name: str) -> Any:
    """A function that returns a part of the desk at an address."""
    place = Desk._fields.index(name)
    kind = DESK[place]

    @intrinsic
    def take_up(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], context.get_value_type(DESK).as_pointer())
            return _load(context, builder, kind, cgutils.gep_inbounds(builder, pointer, 0, place))

        return kind(types.intp), generate

    return take_up


def _store(context: Any, builder: Any, kind: Any, value: Any, pointer: Any) -> None:
    if isinstance(kind, types.BaseTuple):
        for place, each in enumerate(kind):
            member = builder.extract_value(value, place)
            _store(context, builder, each, member, cgutils.gep_inbounds(builder, pointer, 0, place))
    else:
        builder.store(value, pointer)


def _load(context: Any, builder: Any, kind: Any, pointer: Any) -> Any:
    """Member by member, so that what is not used is not loaded; arrays without their owner."""
    value_type = context.get_value_type(kind)
    if isinstance(kind, types.BaseTuple):
        value = ir.Constant(value_type, ir.Undefined)
        for place, each in enumerate(kind):
            member = _load(context, builder, each, cgutils.gep_inbounds(builder, pointer, 0, place))
            value = builder.insert_value(value, member, place)
        return value
    if not isinstance(kind, types.Array):
        return builder.load(pointer)
    value = ir.Constant(value_type, ir.Undefined)
    for place, member_type in enumerate(value_type.elements):
        if place < 2:  # its owner
            member = ir.Constant(member_type, None)
        else:
            member = builder.load(cgutils.gep_inbounds(builder, pointer, 0, place))
        value = builder.insert_value(value, member, place)
    return value


plan_of = cast("Callable[[Desk], Plan]", _taken_up("plan"))
tickets_of = cast("Callable[[Desk], TicketColumns]", _taken_up("tickets"))
lists_of = cast("Callable[[Desk], Lists]", _taken_up("lists"))
draft_of = cast("Callable[[Desk], Draft]", _taken_up("draft"))
level_of = cast("Callable[[Desk], NDArray[np.int32]]", _taken_up("level"))
there_of = cast("Callable[[Desk], NDArray[np.bool_]]", _taken_up("there"))
running_of = cast("Callable[[Desk], Running]", _taken_up("running"))
how_of = cast("Callable[[Desk], Pass]", _taken_up("how"))
effort_of = cast("Callable[[Desk], Effort]", _taken_up("effort"))
found_of = cast("Callable[[Desk], Found]", _taken_up("found"))
program_of = cast("Callable[[Desk], Program]", _taken_up("program"))
table_of = cast("Callable[[Desk], Table]", _taken_up("table"))
match_of = cast("Callable[[Desk], Candidate]", _taken_up("match"))
