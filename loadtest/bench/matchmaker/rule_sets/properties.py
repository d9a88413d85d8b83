"""What holds of every plan: no match is wrong, and where it says that it is exact, none is missed.

Random rule sets and small pools; matches are judged by the guide's words, and what is left over is tried in
all combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from loadtest.bench.matchmaker.rule_sets.judge import Judge, JudgedMatch
from loadtest.bench.matchmaker.rule_sets.measuring import judge_matches
from loadtest.bench.matchmaker.rule_sets.random_rules import draw_rule_set, draw_tickets
from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

NOW: Final = 1_000.0
FEW: Final = 8  # tickets of a pool whose leftover is searched through
LARGER: Final = 40  # tickets of every tenth pool
REGIONS: Final = ["near", "mid", "far"]
ALL: Final = 10_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one drawn rule set and pool.

    Attributes:
        seed: draws it again.
        text: the rule set.
        planned: whether a plan expresses it.
        matches: how many were formed.
        exact: whether the plan says that no match of what is left is possible.
        wrong: what the judge says of the first wrong match; None where all are right.
        missed: a match of what is left over that the judge calls right; None where there is none, or where
            the plan does not say that it is exact.
    """

    seed: int
    text: str
    planned: bool
    matches: int
    exact: bool
    wrong: str | None
    missed: tuple[tuple[str, int], ...] | None


def run(count: int = ALL, first_seed: int = 0) -> Iterator[dict[str, Any]]:
    """Try ``count`` rule sets; yields a line for each that is ``wrong`` or misses a match, and last the
    counts.
    """
    figures = {"rule_sets": 0, "planned": 0, "matches": 0, "exact": 0, "wrong_matches": 0, "missed": 0}
    for seed in range(first_seed, first_seed + count):
        found = attempt(seed)
        figures["rule_sets"] += 1
        figures["planned"] += found.planned
        figures["matches"] += found.matches
        figures["exact"] += found.exact
        figures["wrong_matches"] += found.wrong is not None
        figures["missed"] += found.missed is not None
        if found.wrong is not None or found.missed is not None:
            yield {"seed": seed, "wrong": found.wrong or f"missed {found.missed}", "rules": found.text}
    yield {"bench": "rule-sets properties", **figures}


def attempt(seed: int) -> Trial:
    """Draw a rule set and a pool from a seed, and match it."""
    rng = np.random.default_rng(seed)
    text = draw_rule_set(rng)
    rules = read_rule_set(text)
    count = LARGER if seed % 10 == 9 else int(rng.integers(2, FEW + 1))
    tickets = draw_tickets(rng, count, NOW, rules.largest_team, REGIONS)
    compiled = compile_plan(rules, live=True)
    if compiled.plan is None:
        return Trial(seed, text, False, 0, False, None, None)
    book = TicketBook(compiled, REGIONS, live=True)
    rows = book.add(tickets)
    cycle = book.form(NOW, seed)
    judge = Judge(rules)
    place = {row: index for index, row in enumerate(rows.tolist())}
    _, kinds = judge_matches(judge, tickets, REGIONS, cycle, place, NOW)
    matched = set(cycle.rows.tolist())
    left = [tickets[index] for row, index in place.items() if row not in matched]
    missed = possible_match(rules, judge, left) if cycle.exact and count <= FEW else None
    return Trial(
        seed, text, True, len(cycle.region), cycle.exact, next(iter(kinds), None), missed
    )  # fmt: skip


def possible_match(
    rules: RuleSet, judge: Judge, tickets: Sequence[FlexMatchTicket]
) -> tuple[tuple[str, int], ...] | None:
    """A match of some of these tickets that the judge calls right, each with its team's number; None where
    there is none. Tries all combinations.
    """
    widest = {e.name: max(value for _, value in e.steps) for e in rules.expansions if e.field == "maxPlayers"}
    room = [int(max(team.max_players, widest.get(team.name, 0))) for team in rules.teams for _ in team.copies]
    kind = [number for number, team in enumerate(rules.teams) for _ in team.copies]
    for seats in _seatings(tickets, room, kind, 0, []):
        regions = set.intersection(*(set(p.latency_ms) for ticket, _ in seats for p in ticket.players))
        for region in sorted(regions):
            if judge.broken(JudgedMatch(NOW, region, tuple(seats))) is None:
                return tuple((ticket.ticket_id, team) for ticket, team in seats)
    return None


def _seatings(
    tickets: Sequence[FlexMatchTicket],
    room: list[int],
    kind: list[int],
    begin: int,
    seats: list[tuple[FlexMatchTicket, int]],
) -> Iterator[list[tuple[FlexMatchTicket, int]]]:
    """All ways of seating some of the tickets from ``begin`` on; of empty copies of a team only the first."""
    if seats:
        yield seats
    for index in range(begin, len(tickets)):
        ticket = tickets[index]
        used = {team for _, team in seats}
        for team, free in enumerate(room):
            twin = team > 0 and kind[team - 1] == kind[team] and team - 1 not in used and team not in used
            if twin or free < len(ticket.players):
                continue
            room[team] -= len(ticket.players)
            yield from _seatings(tickets, room, kind, index + 1, [*seats, (ticket, team)])
            room[team] += len(ticket.players)
