"""A rule set and some tickets, ready to be asked: walks around a ticket, at any limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.why.joining import as_joining, brings
from matchmaker.plans.why.levers import Lack, Lever, by_rule, levers_of, neat
from matchmaker.plans.why.walk import (
    ANYTHING,
    NOT_ASKED,
    SEATED,
    Walked,
    compose,
    critical,
    gather,
    new_walked,
    stand,
)
from matchmaker.rules.flexmatch.cycle import unmatchable_reason
from matchmaker.rules.flexmatch.evaluate import ALL_HOLD, Candidate, new_candidate
from matchmaker.rules.flexmatch.program import NONE, Program, compile_rules
from matchmaker.rules.flexmatch.rule_set import MAX_TICKET_PLAYERS, RuleSet
from matchmaker.rules.flexmatch.table import Columns, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket


@dataclass(frozen=True, slots=True)
class Built:
    """A match that a walk built: rows of its tickets, the team of each, the region, and the limits' age."""

    tickets: tuple[int, ...]
    teams: tuple[int, ...]
    region: int


class Probe:
    """Tickets of a rule set at one time.

    Args:
        rules: the rule set.
        tickets: whose rows are asked about.
        now: seconds, on the clock of their start times.
        live: whether every match needs a region that all have measured.
    """

    def __init__(
        self, rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float, live: bool = False
    ) -> None:
        self.rules = rules
        self.tickets = list(tickets)
        self.now = now
        self.ordered = [rule for rule in rules.rules if not rule.type.endswith("Sort")]
        columns = Columns(self.tickets)
        program = compile_rules(rules, columns)
        self.regions = sorted({name for t in self.tickets for p in t.players for name in p.latency_ms})
        self.copies = [copy for team in rules.teams for copy in team.copies]
        self.hopeless = [unmatchable_reason(rules, ticket, columns.used) for ticket in self.tickets]
        self.used = columns.used
        self.table = build_table(
            self.tickets, columns, self.regions, self.copies, [why is None for why in self.hopeless], now
        )
        self.program: Program = program._replace(by_region=True) if live else program
        self.levers = levers_of(rules, self.program)
        self.joining = as_joining(self.program, self.ordered, means=True)
        self.deferring = as_joining(self.program, self.ordered, means=False)
        widest = [self.lax_number(index) for index in range(len(program.numbers))]
        most = sum(int(min(widest[team["most"]], 200)) + MAX_TICKET_PLAYERS for team in program.teams)
        self.room = max(most, max((len(ticket.players) for ticket in self.tickets), default=1))
        self.match: Candidate = new_candidate(self.program, self.table, self.room)
        self.walked: Walked = new_walked(len(self.tickets), self.room)
        self.teams = np.arange(len(self.copies), dtype=np.int32)
        self._by_rule = by_rule(self.ordered, self.levers)

    def lax_number(self, index: int) -> float:
        """The largest value that a number of the program ever has."""
        number = self.program.numbers[index]
        steps = self.program.steps["value"][number["step_from"] : number["step_to"]]
        return float(max([number["base"], *steps.tolist()]))

    def regions_of(self, row: int) -> list[int]:
        """Regions in which a match around a ticket may be, the nearest first; NONE where no rule asks."""
        if not self.program.by_region:
            return [NONE]
        latency = self.table.latency_ms[2, row]
        order = np.argsort(latency, kind="stable")
        return [int(region) for region in order if latency[region] < np.inf]

    def fits(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        """bool[T, K], whether each of some tickets may be in each team, whoever else is there; and
        int32[len(rows), K], by which rule not.
        """
        rules = self.program.rules.copy()
        rules["enforced"] &= rules["hereditary"] & np.array(
            [rule.type not in ("latency", "compound") for rule in self.ordered], np.bool_
        )
        broken = self.stand(self.program._replace(rules=rules), rows)
        fits = np.zeros((len(self.tickets), len(self.copies)), np.bool_)
        fits[rows] = broken == ALL_HOLD
        return fits, broken

    def walk(
        self,
        seed: int,
        order: NDArray[np.int32],
        fits: NDArray[np.bool_],
        age_s: float = math.nan,
        deferred: bool = False,
        regions: Sequence[int] | None = None,
        until_formed: bool = False,
    ) -> tuple[Walked, Built | None, int]:
        """Build a match around a ticket in each region and team, until one holds.

        Returns what was refused in the attempt that went farthest, the match, and the region.
        """
        best: Walked | None = None
        best_region = NONE
        joining = self.deferring if deferred else self.joining
        for region in self.regions_of(seed) if regions is None else regions:
            for team in self._first_copies(seed, fits):
                gather(
                    joining, self.program, self.table, order, fits, seed, team, region, age_s, self.match,
                    self.walked,
                )  # fmt: skip
                if best is None or _farther(self.walked, best):
                    best, best_region = self._copied(), region
                if until_formed and best.result[2]:
                    return best, self._built(best, best_region), best_region
        if best is None:
            best = self._copied()
            best.refused[:] = NOT_ASKED
            best.result[:] = 0
            best.result[1] = len(self.ordered)
        return best, self._built(best, best_region), best_region

    def roles_first(self, order: NDArray[np.int32]) -> NDArray[np.int32]:
        """The order with as many of those first as rules ask for at least, by what they bring."""
        chosen: list[int] = []
        for rule in self.ordered:
            least = rule.limit("minCount") if rule.operation == "contains" else None
            if least is None or not isinstance(rule.reference, tuple):
                continue
            bring = [row for row in order.tolist() if brings(self.tickets[row], rule)]
            chosen += bring[: math.ceil(least) * len(self.copies)]
        first = np.array(list(dict.fromkeys(chosen)), np.int32)
        return np.concatenate((first, order[~np.isin(order, first)]))

    def use(self, program: Program) -> None:
        """Have other numbers from now on."""
        self.program = program
        self.joining = self.joining._replace(numbers=program.numbers, steps=program.steps)
        self.deferring = self.deferring._replace(numbers=program.numbers, steps=program.steps)

    def _copied(self) -> Walked:
        left = self.walked
        return Walked(
            left.refused.copy(),
            left.beside.copy(),
            left.team.copy(),
            left.result.copy(),
            left.ticket.copy(),
        )

    def _built(self, walked: Walked, region: int) -> Built | None:
        count = int(walked.result[2])
        if not count:
            return None
        rows = tuple(walked.ticket[:count].tolist())
        return Built(rows, tuple(int(walked.team[row]) for row in rows), region)

    def rule_of(self, code: int) -> str:
        """The name of a rule by the number that the walk gives."""
        return self.ordered[code].name

    def compose(self, built: Built, age_s: float = math.nan) -> None:
        """Put a match into ``self.match``, at the limits of its age."""
        team = np.zeros(len(self.tickets), np.int32)
        team[list(built.tickets)] = built.teams
        compose(self.program, self.table, np.array(built.tickets, np.int32), team, age_s, self.match)

    def limits_at(self, age_s: float) -> list[float]:
        """The program's numbers after ``age_s``."""
        limits = []
        for number in self.program.numbers:
            value = float(number["base"])
            for step in self.program.steps[number["step_from"] : number["step_to"]]:
                if step["wait_s"] <= age_s:
                    value = float(step["value"])
            limits.append(value)
        return limits

    def stand(
        self,
        program: Program,
        rows: NDArray[np.int32],
        beside: int = NONE,
        teams: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """int32[len(rows), K]: the rule that each ticket breaks in each team, by itself or beside another."""
        teams = self.teams if teams is None else teams
        broken = np.zeros((len(rows), len(teams)), np.int32)
        stand(program, self.table, beside, rows, teams, NONE, self.match, self.walked.team, broken)
        return broken

    def lacked(self, walked: Walked, row: int, age_s: float, deferred: bool = False) -> Lack | None:
        """What a ticket that was turned away lacked: the number nearest to where the rule would have held."""
        rule = int(walked.refused[row])
        if rule < 0:
            return None
        joining = self.deferring if deferred else self.joining
        count = int(walked.beside[row])
        tickets = np.append(walked.ticket[:count], np.int32(row))
        compose(joining, self.table, tickets, walked.team, age_s, self.match)
        return self._lack(joining, rule, int(walked.result[4]))

    def lacks_at_end(self, walked: Walked, age_s: float = math.nan) -> Lack | None:
        """The same of a match as the walk left it, which breaks a rule as a whole."""
        rule = int(walked.result[1])
        if not 0 <= rule < len(self.ordered):
            return None
        tickets = walked.ticket[: int(walked.result[5])]
        compose(self.program, self.table, tickets, walked.team, age_s, self.match)
        return self._lack(self.program, rule, int(walked.result[4]))

    def _lack(self, program: Program, rule: int, region: int) -> Lack | None:
        best: Lack | None = None
        for lever, way in self._by_rule[rule]:
            value = float(critical(program, self.table, self.match, region, rule, lever.number, way))
            allowed = float(self.match.limit[lever.number])
            apart = abs(value - allowed) / (1.0 + abs(allowed))
            if math.isfinite(value) and (best is None or apart < best.apart):
                best = Lack(lever, neat(value, way, lever.whole), allowed, apart)
        return best

    def needed(self, built: Built, lever: Lever, direction: float) -> float:
        """The value of a number with which a match just holds; NaN where none."""
        self.compose(built)
        value = float(
            critical(self.program, self.table, self.match, built.region, ANYTHING, lever.number, direction)
        )
        return neat(value, direction, lever.whole)

    def age_of(self, built: Built) -> float:
        """The age by which a match is judged."""
        ages = self.table.tickets["age_s"][list(built.tickets)]
        return float(ages.min() if self.program.newest else ages.max())

    def _first_copies(self, seed: int, fits: NDArray[np.bool_]) -> list[int]:
        """One copy of each team in which a ticket may be; of a running match any."""
        if self.table.tickets["backfill"][seed]:
            return [0]
        seen: dict[int, int] = {}
        for copy, team in enumerate(self.program.teams["kind"].tolist()):
            if fits[seed, copy]:
                seen.setdefault(team, copy)
        return list(seen.values())

    def representatives(self) -> NDArray[np.int32]:
        """The first two copies of each team: the others stand as they do."""
        kinds = self.program.teams["kind"].tolist()
        return np.array([k for k, kind in enumerate(kinds) if kinds[:k].count(kind) < 2], np.int32)


def _farther(one: Walked, other: Walked) -> bool:
    """Whether an attempt went farther than another: by the match that held, then by the players seated."""
    mine = (one.result[3], (one.refused == SEATED).any(), one.result[0])
    return bool(mine > (other.result[3], (other.refused == SEATED).any(), other.result[0]))
