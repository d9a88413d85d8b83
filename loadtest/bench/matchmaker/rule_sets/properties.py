"""What holds of every plan: no match is wrong, and where it says that it is exact, none is missed.

Random rule sets and small pools; matches are judged by the guide's words, and what is left over is tried in
all combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loadtest.bench.matchmaker.rule_sets.judge import Judge, JudgedMatch
from loadtest.bench.matchmaker.rule_sets.measuring import judge_matches
from loadtest.bench.matchmaker.rule_sets.random_rules import draw_rule_set, draw_tickets
from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.cycle import CAPS
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

NOW: Final = 1_000.0
FEW: Final = 8  # tickets of a pool whose leftover is searched through
LARGER: Final = 40  # tickets of every tenth pool
REGIONS: Final = ["near", "mid", "far"]
ALL: Final = 10_000
# Few tickets are also searched depth first, and what that finds would hide what the greedy does alone.
UNSEARCHED: Final = CAPS._replace(search=SearchBudget(0, 0))
CROSS_PLAY: Final = "cross-play"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one drawn rule set and pool.

    Attributes:
        seed: draws it again.
        text: the rule set.
        planned: whether a plan expresses it.
        matches: how many were formed.
        exact: whether the plan says that no match of what is left is possible.
        wrong: what the judge says of the first wrong match, or that players met who keep to other platforms;
            None where all are right.
        missed: a match of what is left over that the judge calls right; None where there is none, or where
            the plan does not say that it is exact (or some keep to their platform, which is not tried).
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
    platform = rng.integers(0, 2, count).astype(np.int32)
    apart = seed % 5 == 4  # in these some keep to their platform
    group = np.where(apart & (rng.random(count) < 0.3), 1 + platform, 0).astype(np.int32)
    rows = book.add(tickets, group, platform)
    judge = Judge(rules)
    place = {row: index for index, row in enumerate(rows.tolist())}
    wrong = None
    for caps in (UNSEARCHED, CAPS):
        cycle = book.form(NOW, seed, caps=caps, everything=True)
        _, kinds = judge_matches(judge, tickets, REGIONS, cycle, place, NOW)
        wrong = wrong or next(iter(kinds), None)
        places = np.array([place[row] for row in cycle.rows.tolist()], np.int64)
        if wrong is None and not may_meet(cycle.match, group[places], platform[places]):
            wrong = CROSS_PLAY
    matched = set(cycle.rows.tolist())
    left = [tickets[index] for row, index in place.items() if row not in matched]
    exhaustive = cycle.exact and count <= FEW and not apart
    missed = possible_match(rules, judge, left) if exhaustive else None
    return Trial(seed, text, True, len(cycle.region), cycle.exact, wrong, missed)


def may_meet(match: NDArray[np.int32], group: NDArray[np.int32], platform: NDArray[np.int32]) -> bool:
    """Whether in all matches those who keep to a platform meet that platform alone: int32[N] each, of the
    tickets in matches.
    """
    for number in np.unique(match):
        inside = match == number
        keepers = np.unique(group[inside][group[inside] > 0])
        if len(keepers) > 1 or (len(keepers) and (platform[inside] != keepers[0] - 1).any()):
            return False
    return True


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
