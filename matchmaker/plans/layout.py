"""How a plan lies in memory: what the compiler writes and the greedy kernel reads.

A rule of a rule set becomes one of these, the cheapest that holds it:

* equality of all players → part of the ticket's *bucket*: never tested;
* one player against a literal → *eligibility*, a bit a kind of team and level: never tested;
* longest round trip → a *mask* of regions a ticket and level: one AND a ticket that joins;
* all else → *atoms* over running sums of the match that is being built, put together by postfix code.

A *level* counts the steps of all expansions that a wait has crossed. A match's level is that of its newest
(or oldest) ticket; every limit has a value a level.

Teams of one declaration (a kind) may have many copies; masks of teams are bits of kinds, so there are at most
``MAX_KINDS`` of them. Regions are bits too: at most ``MAX_REGIONS``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_KINDS = 63
MAX_REGIONS = 63
NONE = -1

# Kinds of atoms. Each says in which regions it holds: all, none, or some.
SPREAD = 0  # the largest value less the least ≤ first; over all players of the measured teams
DISTANCE = 1  # each measured value is at most first and at least second away from the reference
COMPARE = 2  # each measured value compares with the reference
ALIKE = 3  # all values are one: least of ``column`` = largest of ``high``
COUNT = 4  # sum of ``column`` a team (shape TEAM) or of all (ALL): second ≤ sum ≤ first
INTERSECT = 5  # strings that all tickets' lists share, ``column`` a set column: second ≤ number (≤ first)
BLOCK = 6  # no string of set column ``column`` is one of set column ``high`` of any ticket
LATENCY = 7  # mask ``column`` (not 0: that one is always applied)
LATENCY_DISTANCE = 8  # of each round trip to the reference: mean or least; ``column``: which of them
GENERIC = 9  # the evaluator is asked: rule ``rule`` of the program

# Shapes of what is measured, or of a reference.
EACH = 0  # every player's value
TEAM = 1  # a value a team: ``function`` of its players
ALL = 2  # one value: ``function`` of the players of all the teams
OF_TEAMS = 3  # one value: ``outer`` of the teams' values
LITERAL = 4  # of references: number ``reference``

MIN, MAX, AVG, SUM, PLAYERS = range(5)  # functions; PLAYERS counts them

LESS, LESS_EQUAL, EQUAL, UNEQUAL, MORE, MORE_EQUAL = range(6)  # as in program.OPERATIONS

# Stages: when a rule is tested. JOIN: as each ticket joins. DEFERRABLE: so too, but a second try may gather
# without it, mend by swaps, and judge at the end. FINAL: when the match is complete alone.
JOIN, DEFERRABLE, FINAL = range(3)

# How a list is walked: nearest to the target, farthest from it, from its beginning, from its end.
NEAREST, FARTHEST, FORWARD, BACKWARD = range(4)

ATOM = np.dtype(
    [
        ("kind", "i4"),
        ("rule", "i4"),
        ("teams", "u8"),
        ("shape", "i4"),
        ("column", "i4"),
        ("high", "i4"),
        ("function", "i4"),
        ("outer", "i4"),
        ("reference_teams", "u8"),
        ("reference_shape", "i4"),
        ("reference_column", "i4"),
        ("reference_function", "i4"),
        ("reference_outer", "i4"),
        ("reference", "i4"),
        ("operation", "i4"),
        ("first", "i4"),
        ("second", "i4"),
    ],
    align=True,
)
CODE = np.dtype([("code", "i4"), ("arity", "i4")])
RULE = np.dtype([("rule", "i4"), ("stage", "i4"), ("code_from", "i4"), ("code_to", "i4")], align=True)
LIST = np.dtype(
    [
        ("teams", "u8"),
        ("role", "i4"),
        ("axis", "i4"),
        ("walk", "i4"),
        ("target_teams", "u8"),
        ("target_column", "i4"),
        ("window", "i4"),
        ("reach", "f8"),
    ],
    align=True,
)

Records = NDArray[Any]


class Plan(NamedTuple):
    """A rule set as the kernel reads it: L levels, V numbers, K team copies, C number columns, X masks.

    Attributes:
        wait_s: float64[L], ascending, the first is 0: a ticket's level is the last whose wait it has reached.
        number: float64[L, V], each number of the Program at each level (same indices), then those that the
            plan adds: constants, and windows.
        kind: int32[K], the kind (place in the rule set's teams) of each copy.
        fewest, most: int32[L, K], players a copy.
        atoms: ATOM[A]. teams, reference_teams: bits of kinds. column, high, reference_column: columns of a
            ticket's ``value``, for INTERSECT and BLOCK of its sets, for LATENCY of its masks. first, second,
            reference: indices of numbers, or NONE. operation: of COMPARE. rule: the Program's rule it is of.
            LATENCY_DISTANCE: reference_function is AVG or MIN; its column of region r is C + R ·
            ``column`` + r.
        code: CODE[…], postfix: a code ≥ 0 is an atom; -1 and, -2 or, -3 xor (exactly one), -4 not.
        rules: RULE[Q], what is tested; rule: the Program's rule.
        lists: LIST[N]: from where seats are filled, roles first. teams: the kinds whose seats it fills, of
            tickets that are eligible for one of them at some level. role: NONE, or the COUNT atom (whose
            ``column`` is above 0 for the tickets of the list) whose least number is filled from it. axis: a
            number column by which the list is sorted within its bucket, NONE: by age. walk: NEAREST, … .
            target_teams, target_column: the mean of this column in those teams is the target of the walk once
            they have players; else the seed's own value on the axis. window: number V: a ticket farther from
            the seed than ``reach`` × it, at the seed's level, cannot play with the seed (it is the limit at
            its largest of all levels of matches with that seed); NONE.
        columns: C without those of regions' round trips; masks: X, at least 1; sets: set columns.
        latency_distances: number of LATENCY_DISTANCE atoms, each of which has R columns after the others.
        newest: whether the newest ticket's level is the match's.
        balance: number column whose sums the teams are levelled by, or NONE.
        large: strategy balanced: teams are filled by the most open seats.
        own_region: whether players meet only at home (fastestRegion) as long as that gives matches.
        by_region: whether a match needs a region that all of its tickets have measured.
        backfill_rank: -1 running matches first, 0 by age, +1 last.
        windowed: whether nearest first serves it best in a large pool; else oldest first.
        generic: whether any atom is GENERIC.
    """

    wait_s: NDArray[np.float64]
    number: NDArray[np.float64]
    kind: NDArray[np.int32]
    fewest: NDArray[np.int32]
    most: NDArray[np.int32]
    atoms: Records
    code: Records
    rules: Records
    lists: Records
    columns: int
    masks: int
    sets: int
    once: NDArray[np.bool_]
    latency_distances: int
    newest: bool
    balance: int
    large: bool
    own_region: bool
    by_region: bool
    backfill_rank: int
    windowed: bool
    generic: bool


class TicketColumns(NamedTuple):
    """T tickets as a plan reads them.

    Attributes:
        start_s: float64[T], when each began to wait.
        size: int32[T], players.
        group, platform: int32[T], as in TICKET.
        value: float64[T, C + R · latency distances]: of a party its aggregate; of strings by number the least
            (and in the ``high`` column the largest) of its players; of COUNT what the ticket counts.
        mask: uint64[T, X, L], bit r: the ticket may play in region r at that level; mask 0 is of all latency
            rules that stand alone and of what it has measured.
        eligible: uint64[T, L], bit q: it may be in teams of kind q at that level.
        bucket: int32[T], tickets of one bucket alone may meet; -1: it meets nobody.
        home: int32[T], the nearest region that it may ever play in, or -1.
        latency_ms: float32[T, R], its players' mean round trip; inf where one has not measured.
        set_first, set_count: int64[T, S], int32[T, S] into ``strings``.
        strings: int32[…], numbers of strings; of one ticket and set each once.
    """

    start_s: NDArray[np.float64]
    size: NDArray[np.int32]
    group: NDArray[np.int32]
    platform: NDArray[np.int32]
    value: NDArray[np.float64]
    mask: NDArray[np.uint64]
    eligible: NDArray[np.uint64]
    bucket: NDArray[np.int32]
    home: NDArray[np.int32]
    latency_ms: NDArray[np.float32]
    set_first: NDArray[np.int64]
    set_count: NDArray[np.int32]
    strings: NDArray[np.int32]
