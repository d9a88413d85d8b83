"""One cycle over the tickets of a store: the passes of the greedy, in one order or in both, and what is left
searched through while that is little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.greedy.desk import Effort, Found, Pass, Running
from matchmaker.plans.greedy.passes import go_through
from matchmaker.plans.greedy.state import new_draft
from matchmaker.plans.improve import improve
from matchmaker.plans.layout import LATENCY_DISTANCE, NONE, Plan, TicketColumns
from matchmaker.plans.running import as_arrays
from matchmaker.rules.flexmatch.cycle import form_matches
from matchmaker.rules.flexmatch.evaluate import new_candidate
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.search import CUT_SHORT, NOT_TRIED, UNMATCHED, SearchBudget
from matchmaker.rules.flexmatch.table import Table
from matchmaker.rules.flexmatch.ticket_table import select_rows

SMALL = 10_000  # tickets up to which both orders are tried, and the one that seats more is taken
SAMPLED = 256  # tickets by which a window is measured
IMPROVED = 256  # seeds from which on a small pool's matches are looked over once more
LEAST_IMPROVED = 10_000  # looks and joins that this may cost, or half as many as before
NARROW = 0.1  # share of the tickets that a window holds, below which they are looked for nearest first
SEARCHED = 64  # tickets up to which a search looks whether it seats more


class Order(NamedTuple):
    """In which order tickets are tried: the passes, and whether the largest parties are the first seeds."""

    passes: tuple[Pass, ...]
    largest_first: bool = False


# Home first, so that who is near plays together; there only full matches, lest small ones use them up.
NEAREST_FIRST = Order(
    (
        Pass(at_home=True, aged=False, full=True, thorough=False, deferred=False),
        Pass(at_home=False, aged=False, full=False, thorough=True, deferred=False),
        Pass(at_home=False, aged=True, full=False, thorough=True, deferred=True),
    )
)
OLDEST_FIRST = Order(
    (
        Pass(at_home=True, aged=True, full=True, thorough=False, deferred=True),
        Pass(at_home=False, aged=True, full=False, thorough=True, deferred=True),
        Pass(at_home=False, aged=False, full=False, thorough=True, deferred=False),
    )
)
# Large parties while there are small ones to fill up with: packs tighter, for a pool that is small anyway.
LARGEST_FIRST = OLDEST_FIRST._replace(largest_first=True)


class Caps(NamedTuple):
    """Bounds of a cycle's work.

    Attributes:
        looks, joins: tickets looked at and tried to join around one seed, for each player of a full match.
        cycle_looks, cycle_joins: of a cycle, for each ticket that waits.
        least: of the last two, whatever the number of tickets.
        search: of what is searched depth first.
    """

    looks: float = 20.0
    joins: float = 10.0
    cycle_looks: float = 60.0
    cycle_joins: float = 30.0
    least: int = 100_000
    search: SearchBudget = SearchBudget(per_ticket=1_000, per_cycle=4_000)


CAPS = Caps()
# Of a queue's cycles, of which ten come in a second: with fives the waits are those of four times the search,
# and a cycle of up to 64 tickets takes 1.5 ms instead of 3 to 4.
LIVE = CAPS._replace(search=SearchBudget(per_ticket=250, per_cycle=1_000))


@dataclass(slots=True)
class Outcome:
    """What a cycle found for T tickets; see ``greedy.passes.Found``.

    ``exact``: whether all that is left was searched through.
    """

    match_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    running_of: NDArray[np.int32]
    untried: NDArray[np.bool_]
    looks: int = 0
    joins: int = 0
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Tickets:
    """What a cycle works on: T rows.

    Attributes:
        columns: as the greedy reads them; table: as the evaluator does, of no tickets where nothing asks it.
        strings: how many strings have a number.
        level: int32[T]; by_age: int64[W], rows that wait, oldest first; tried: bool[T], the seeds among them.
    """

    columns: TicketColumns
    table: Table
    strings: int
    level: NDArray[np.int32]
    by_age: NDArray[np.int64]
    tried: NDArray[np.bool_]


def run_cycle(
    compiled: CompiledPlan,
    plan: Plan,
    tickets: Tickets,
    running: Running,
    opened_at: NDArray[np.float64],
    caps: Caps,
    seed: int = 0,
) -> Outcome:
    """Form matches by the greedy; ``plan`` is the compiled one ``for_regions`` of the tickets."""
    orders = [NEAREST_FIRST if _is_narrow(plan, tickets) else OLDEST_FIRST]
    if len(tickets.by_age) <= SMALL:
        orders = [OLDEST_FIRST, NEAREST_FIRST] if (plan.lists["axis"] != NONE).any() else [OLDEST_FIRST]
        if len(tickets.by_age) and tickets.columns.size[tickets.by_age].max() > 1:
            orders.append(LARGEST_FIRST)
    best = None
    most, looks, joins = (-1, 0), 0, 0
    for order in orders:
        seeds = _seeds(plan, tickets, opened_at, order.largest_first)
        outcome = _go(compiled, plan, tickets, running, seeds, order, caps)
        looks, joins = looks + outcome.looks, joins + outcome.joins
        # Of as many players rather fewer matches: larger ones, where teams may be small.
        seated = int(tickets.columns.size[outcome.match_of >= 0].sum()), -len(outcome.region_of)
        if best is None or seated > most:
            best, most = outcome, seated
    assert best is not None
    best.looks, best.joins = looks, joins
    if np.count_nonzero(tickets.tried) >= IMPROVED and len(tickets.by_age) <= SMALL:
        _improve(compiled, plan, tickets, orders, caps, best, seed)
    return best


def _improve(
    compiled: CompiledPlan,
    plan: Plan,
    tickets: Tickets,
    orders: Sequence[Order],
    caps: Caps,
    best: Outcome,
    seed: int,
) -> None:
    """Seat more of what is left, with some of the matches taken apart."""
    nobody = as_arrays((), (), (), len(plan.kind), (), (), len(tickets.level))

    def attempt(
        rows: NDArray[np.int64], turn: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        order = orders[turn % len(orders)]
        some = replace(tickets, by_age=rows, tried=np.ones(len(tickets.level), np.bool_))
        seeds = _seeds(plan, some, np.zeros(0), order.largest_first)
        if turn % 2:
            seeds = np.random.default_rng((seed, turn)).permutation(seeds)
        found = _go(compiled, plan, some, nobody, seeds, order, caps)
        best.looks, best.joins = best.looks + found.looks, best.joins + found.joins
        return found.match_of[rows], found.team_of[rows], found.region_of

    columns = tickets.columns
    most = best.looks + best.joins + max(LEAST_IMPROVED, (best.looks + best.joins) // 2)
    region_of = improve(
        tickets.by_age, columns.size, columns.bucket, best.match_of, best.team_of, best.region_of,
        best.running_of >= 0, attempt, lambda: best.looks + best.joins < most, seed,
    )  # fmt: skip
    if len(region_of) == len(best.region_of):
        return
    running_of = np.full(len(region_of), NONE, np.int32)
    running_of[: len(best.running_of)] = best.running_of
    matched = best.match_of >= 0
    used, numbers = np.unique(best.match_of[matched], return_inverse=True)
    best.match_of[matched] = numbers
    best.untried &= ~matched
    best.region_of, best.running_of = region_of[used], running_of[used]


def for_regions(plan: Plan, regions: int, by_region: bool) -> Plan:
    """The plan for tickets of so many regions: each has a column for each distance of round trips."""
    atoms = plan.atoms.copy()
    distances = atoms["kind"] == LATENCY_DISTANCE
    atoms["column"][distances] = plan.columns + regions * atoms["column"][distances]
    once = np.concatenate((plan.once, np.zeros(plan.latency_distances * regions, np.bool_)))
    return plan._replace(atoms=atoms, once=once, by_region=by_region)


def _is_narrow(plan: Plan, tickets: Tickets) -> bool:
    """Whether so few tickets are within a window of one another that they are to be looked for nearest first.

    Else the oldest come first: that seats more (close_fives of the bench 160,910 of 160,972 players, nearest
    first 152,590), as what is left over is not pushed to the ends.
    """
    windows = plan.lists["window"] != NONE
    if windows.any() and (plan.lists["role"] != NONE).any():
        return True  # of who has a scarce role the nearest are to be brought together
    rows = tickets.by_age[:: max(1, len(tickets.by_age) // SAMPLED)]
    for each in plan.lists:
        if each["window"] != NONE and each["role"] == NONE and len(rows) > 1:
            reach = each["reach"] * plan.number[0, each["window"]]
            value = np.sort(tickets.columns.value[rows, each["axis"]])
            near = np.searchsorted(value, value + reach, "right") - np.searchsorted(value, value - reach)
            if near.mean() < NARROW * len(rows):
                return True
    return False


def _seeds(
    plan: Plan, tickets: Tickets, opened_at: NDArray[np.float64], largest_first: bool
) -> NDArray[np.int64]:
    """Tickets that are tried, oldest first, and running matches among them, before or after them."""
    own = tickets.by_age[tickets.tried[tickets.by_age]]
    if largest_first:
        own = own[np.argsort(-tickets.columns.size[own], kind="stable")]
    if not len(opened_at):
        return own
    order = np.argsort(opened_at, kind="stable")
    matches = -1 - order
    if plan.backfill_rank < 0:
        return np.concatenate((matches, own))
    if plan.backfill_rank > 0:
        return np.concatenate((own, matches))
    ages = np.concatenate((opened_at[order], tickets.columns.start_s[own]))
    return np.concatenate((matches, own))[np.argsort(ages, kind="stable")]


def _go(
    compiled: CompiledPlan,
    plan: Plan,
    tickets: Tickets,
    running: Running,
    seeds: NDArray[np.int64],
    order: Order,
    caps: Caps,
) -> Outcome:
    columns = tickets.columns
    count, waiting = len(columns.size), len(tickets.by_age)
    players = int(plan.most.sum(axis=1).max())
    depth = players + int((running.last - running.first).max(initial=0))
    program: Program = compiled.program
    found = Found(
        np.full(count, UNMATCHED, np.int32),
        np.zeros(count, np.int32),
        np.full(waiting + 1, NONE, np.int32),
        np.full(waiting + 1, NONE, np.int32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int32),
    )
    there = np.zeros(count, np.bool_)
    there[tickets.by_age] = True
    spent, most = np.zeros(4, np.int64), np.zeros(4, np.int64)
    most[2:] = int(min(caps.looks * players, 1e15)), int(min(caps.joins * players, 1e15))
    draft = new_draft(plan, columns, depth, tickets.strings + 1)
    match = new_candidate(program, tickets.table, depth)
    sorted_by_value = bool((plan.lists["axis"] != NONE).any())
    many = plan.by_region and columns.latency_ms.shape[1] > 1
    passes = [each for each in order.passes[: 3 if sorted_by_value else 2] if many or not each.at_home]
    formed = 0
    for place, how in enumerate(passes):
        share = 1.0 - 0.3 * (len(passes) - 1 - place) / max(1, len(passes) - 1)  # most is the first's
        most[:2] = (
            int(min(max(caps.least, caps.cycle_looks * waiting) * share, 1e15)),
            int(min(max(caps.least, caps.cycle_joins * waiting) * share, 1e15)),
        )
        last = place + 1 == len(passes)
        if last:
            found.untried[:] = False
        if plan.own_region and how.at_home:
            how = how._replace(full=False, thorough=True)
        tried = _tried_in(plan, seeds, how, last, found.running_of[:formed])
        formed = go_through(
            plan, columns, tickets.level, tickets.by_age, there, tried, running, how,
            Effort(spent, most), draft, program, tickets.table, match, found, formed,
        )  # fmt: skip
    return Outcome(
        found.match_of,
        found.team_of,
        found.region_of[:formed],
        found.running_of[:formed],
        found.untried,
        int(spent[0]),
        int(spent[1]),
    )


def _tried_in(
    plan: Plan, seeds: NDArray[np.int64], how: Pass, last: bool, filled: NDArray[np.int32]
) -> NDArray[np.int64]:
    """The seeds of a pass: a running match gets players once a cycle, as its free seats are those of before;
    where it comes after new matches, in the last pass alone, and where age decides not among full ones.
    """
    if (plan.backfill_rank > 0 and not last) or (plan.backfill_rank == 0 and how.full and not last):
        return seeds[seeds >= 0]
    return seeds[~np.isin(seeds, -1 - filled[filled >= 0].astype(np.int64))]


def search_through(
    compiled: CompiledPlan,
    program: Program,
    tickets: Tickets,
    rows: NDArray[np.int64],
    seed: int,
    budget: SearchBudget,
    age_s: NDArray[np.float64],
) -> tuple[Outcome, bool]:
    """Search some tickets depth first, ``rows`` in order of age, for matches of those that are tried; returns
    what was found, and whether all of them were searched to the end.
    """
    table = select_rows(tickets.table, rows)
    table.tickets["age_s"] = age_s
    formed, found = form_matches(compiled.rule_set, program, table, seed, budget, around=tickets.tried[rows])
    count = len(tickets.columns.size)
    outcome = Outcome(
        np.full(count, UNMATCHED, np.int32),
        np.zeros(count, np.int32),
        found.region_of[:formed].copy(),
        np.full(formed, NONE, np.int32),
        np.zeros(count, np.bool_),
    )
    outcome.match_of[rows] = found.match_of
    outcome.team_of[rows] = found.team_of[table.tickets["first"]]
    cut = (found.obstacle == NOT_TRIED) | (found.obstacle <= CUT_SHORT)
    return outcome, not bool(cut[found.match_of == UNMATCHED].any())
