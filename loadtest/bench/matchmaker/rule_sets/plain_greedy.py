"""The plain greedy: the simplest matcher of any rule set, which better ones are measured against.

Around each ticket, the oldest first, and in each region that it has measured, it walks all others in order of
age and adds whoever breaks no rule, to the emptiest team that takes them. Each join is tested from nothing by
the product's evaluator. What only a whole match can hold (least counts, equal sizes, sums) is tested at the
end. The region that seats the most players is taken.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.evaluate import ALL_HOLD, Candidate, first_broken, new_candidate, set_limits
from matchmaker.rules.flexmatch.program import (
    COLLECTION,
    NONE,
    OPERATIONS,
    Program,
    compile_rules,
)
from matchmaker.rules.flexmatch.rule_set import Rule, RuleSet
from matchmaker.rules.flexmatch.table import Columns, Table, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

Ints = NDArray[np.int32]
WRONG_SIZE = -2
_INTERSECTION, _CONTAINS = OPERATIONS.index("intersection"), OPERATIONS.index("contains")


@dataclass(frozen=True, slots=True)
class GreedyResult:
    """What the plain greedy seated.

    Attributes:
        match_of: int32[T], each ticket's match, or -1.
        team_of: int32[T], its team.
        region_of: each match's region, by its place among the regions.
        players: seated in all.
        cut: tickets around which nothing was tried, because the time was up.
    """

    match_of: Ints
    team_of: Ints
    region_of: list[int]
    players: int
    cut: int


def table_of(
    rules: RuleSet, tickets: Sequence[FlexMatchTicket], regions: Sequence[str], now: float
) -> tuple[Program, Table]:
    """The program of a rule set and the table of some tickets, in their order, as a live queue has them."""
    columns = Columns(tickets)
    program = compile_rules(rules, columns)
    teams = [copy for team in rules.teams for copy in team.copies]
    table = build_table(tickets, columns, regions, teams, [True] * len(tickets), now)
    return program._replace(by_region=True), table


def plain_greedy(
    rules: RuleSet,
    tickets: Sequence[FlexMatchTicket],
    regions: Sequence[str],
    now: float,
    most_s: float = 60.0,
) -> GreedyResult:
    """Match a pool; after ``most_s`` seconds of processor time the rest is left."""
    order = sorted(range(len(tickets)), key=lambda row: (tickets[row].start_time, tickets[row].ticket_id))
    ordered = [tickets[row] for row in order]
    program, table = table_of(rules, ordered, regions, now)
    joining = program._replace(rules=_at_join(rules, program))
    count = len(ordered)
    size = np.array([len(ticket.players) for ticket in ordered], np.int32)
    room = rules.max_players + sum(
        int(max(value for _, value in e.steps)) * 200 for e in rules.expansions if e.field == "maxPlayers"
    )
    room = min(room, 200) + int(size.max(initial=1))
    candidate = new_candidate(program, table, room)
    match_of = np.full(count, -1, np.int32)
    team_of = np.zeros(count, np.int32)
    chosen, seats = np.zeros(room + 1, np.int32), np.zeros(room + 1, np.int32)
    kept, kept_seats = chosen.copy(), seats.copy()
    filled = np.zeros(len(program.teams), np.int32)
    region_of: list[int] = []
    begun = time.process_time()
    players = cut = 0
    for seed in range(count):
        if match_of[seed] >= 0:
            continue
        if time.process_time() - begun > most_s:
            cut += 1
            continue
        best, best_players, best_region = 0, 0, -1
        for region in range(len(regions)):
            if not np.isfinite(table.latency_ms[1, seed, region]):
                continue
            found = grow_match(
                program, joining, table, candidate, match_of, seed, region, chosen, seats, filled
            )
            if found and int(size[chosen[:found]].sum()) > best_players:
                best, best_region = found, region
                best_players = int(size[chosen[:found]].sum())
                kept[:found], kept_seats[:found] = chosen[:found], seats[:found]
        if best:
            match_of[kept[:best]] = len(region_of)
            team_of[kept[:best]] = kept_seats[:best]
            region_of.append(best_region)
            players += best_players
    back_match, back_team = np.full(count, -1, np.int32), np.zeros(count, np.int32)
    back_match[order], back_team[order] = match_of, team_of
    return GreedyResult(back_match, back_team, region_of, players, cut)


def _at_join(rules: RuleSet, program: Program) -> NDArray[Any]:
    """The rules as they are tested while a match grows: without what more players may still mend."""
    tested = program.rules.copy()
    for rule, row in zip(_ordered(rules), tested, strict=True):
        if not row["enforced"]:
            continue
        inside = [item for item in rule.statement if isinstance(item, str)]
        if any(_counts(rules, name) for name in [rule.name, *inside]) or any(
            _one(rules, name).limit("minCount") is not None for name in inside
        ):
            row["enforced"] = False
        elif row["kind"] == COLLECTION and row["operation"] == _INTERSECTION:
            row["first"] = NONE
        elif row["kind"] == COLLECTION and row["operation"] == _CONTAINS:
            row["second"] = NONE
    return tested


def _ordered(rules: RuleSet) -> list[Rule]:
    return [rule for rule in rules.rules if not rule.type.endswith("Sort")]


def _one(rules: RuleSet, name: str) -> Rule:
    return next(rule for rule in rules.rules if rule.name == name)


def _counts(rules: RuleSet, name: str) -> bool:
    """Whether a rule reads a count or a sum, which only a whole match can hold."""
    rule = _one(rules, name)
    read = [*rule.measurements, rule.reference]
    return any(bool({"count", "sum"} & set(getattr(each, "calls", ()))) for each in read)


@njit(cache=True, nogil=True)
def compose_match(
    table: Table, tickets: Ints, seats: Ints, count: int, filled: Ints, match: Candidate
) -> None:
    """Write ``count`` tickets and their teams as a candidate; ``filled`` becomes each team's players."""
    filled[:] = 0
    for place in range(count):
        row = table.tickets[tickets[place]]
        filled[seats[place]] += row.last - row.first
    match.team_start[0] = 0
    for team in range(filled.shape[0]):
        match.team_start[team + 1] = match.team_start[team] + filled[team]
    match.size[0], match.size[1] = count, match.team_start[filled.shape[0]]
    for place in range(count):
        match.ticket[place] = tickets[place]
        row = table.tickets[tickets[place]]
        for player in range(row.first, row.last):
            match.player[match.team_start[seats[place]]] = player
            match.team_start[seats[place]] += 1
    for team in range(filled.shape[0], 0, -1):
        match.team_start[team] = match.team_start[team - 1]
    match.team_start[0] = 0


@njit(cache=True, nogil=True)
def broken_rule(
    program: Program,
    table: Table,
    tickets: Ints,
    seats: Ints,
    count: int,
    region: int,
    filled: Ints,
    match: Candidate,
) -> int:
    """What the product's evaluator says of a whole match: a rule's number, WRONG_SIZE or ALL_HOLD."""
    compose_match(table, tickets, seats, count, filled, match)
    _limits_now(program, table, match)
    for team in range(filled.shape[0]):
        if (
            filled[team] < match.limit[program.teams[team].fewest]
            or filled[team] > match.limit[program.teams[team].most]
        ):
            return WRONG_SIZE
    return int(first_broken(program, table, match, region, False))


@njit(cache=True, nogil=True)
def _limits_now(program: Program, table: Table, match: Candidate) -> None:
    age_s = table.tickets[match.ticket[0]].age_s
    for place in range(1, match.size[0]):
        other = table.tickets[match.ticket[place]].age_s
        age_s = min(age_s, other) if program.newest else max(age_s, other)
    set_limits(program, age_s, match.limit)


@njit(cache=True, nogil=True)
def grow_match(
    program: Program,
    joining: Program,
    table: Table,
    match: Candidate,
    match_of: Ints,
    seed: int,
    region: int,
    chosen: Ints,
    seats: Ints,
    filled: Ints,
) -> int:
    """Grow one match around the ticket ``seed`` in a region; returns how many tickets ``chosen`` has, or 0.

    ``joining`` is the program with what is tested at each join; ``match_of`` int32[T], -1 where a ticket is
    free.
    """
    count, full = 0, False
    teams = filled.shape[0]
    tried = np.zeros(teams, np.bool_)
    for step in range(match_of.shape[0] + 1):
        ticket = seed if step == 0 else step - 1
        if match_of[ticket] >= 0 or (step > 0 and ticket == seed):
            continue
        if not table.latency_ms[1, ticket, region] < np.inf or count >= chosen.shape[0]:
            continue
        if count > 0 and not _may_meet(table, seed, ticket):
            continue
        size = table.tickets[ticket].last - table.tickets[ticket].first
        tried[:] = False
        joined = False
        for _ in range(teams):
            team, room = -1, 0
            for each in range(teams):  # the emptiest that has not been tried: the most open seats
                if not tried[each]:
                    players = 0
                    for place in range(count):
                        if seats[place] == each:
                            players += table.tickets[chosen[place]].last - table.tickets[chosen[place]].first
                    if team < 0 or players < room:
                        team, room = each, players
            tried[team] = True
            chosen[count], seats[count] = ticket, team
            if match.size[1] + size >= match.player.shape[0] and count > 0:
                break
            compose_match(table, chosen, seats, count + 1, filled, match)
            _limits_now(program, table, match)
            if filled[team] > match.limit[program.teams[team].most]:
                continue
            if first_broken(joining, table, match, region, False) == ALL_HOLD:
                joined = True
                break
            if room == 0:  # every other empty team of its kind would say the same
                for each in range(teams):
                    if program.teams[each].kind == program.teams[team].kind and filled[each] == 0:
                        tried[each] = True
        if not joined:
            if count == 0:
                return 0
            continue
        count += 1
        full = True
        for each in range(teams):
            full = full and filled[each] >= match.limit[program.teams[each].most]
        if full:
            break
    if broken_rule(program, table, chosen, seats, count, region, filled, match) != ALL_HOLD:
        return 0
    return count


@njit(cache=True, nogil=True)
def _may_meet(table: Table, one: int, other: int) -> bool:
    """Whether cross-play lets a ticket into a match around another."""
    first, second = table.tickets[one], table.tickets[other]
    return bool(
        first.group == second.group
        or (first.group > 0 and second.group == 0 and second.platform == first.group - 1)
    )
