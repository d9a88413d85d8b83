"""What a plan means: a match holds it exactly if the evaluator says that it holds the rule set."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numba import njit

from matchmaker.plans.columns import Interned, make_columns
from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.rules.flexmatch.evaluate import (
    ALL_HOLD,
    Candidate,
    first_broken,
    new_candidate,
    rule_holds,
    set_limits,
)
from matchmaker.rules.flexmatch.program import Program, compile_rules
from matchmaker.rules.flexmatch.table import Columns, Table, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from tests.matchmaker.plans.at_random import REGIONS, random_match, random_rule_set
from tests.matchmaker.plans.naive import NaiveMatch, NaivePlan

pytestmark = pytest.mark.timeout(300)  # where the evaluator has not been compiled yet, it is

NOW = 0.0


@njit(cache=True, nogil=True)
def _broken(program: Program, table: Table, match: Candidate, region: int, age_s: float) -> int:
    set_limits(program, age_s, match.limit)
    return int(first_broken(program, table, match, region, False))


@njit(cache=True, nogil=True)
def _holds(program: Program, table: Table, match: Candidate, region: int, age_s: float, rule: int) -> bool:
    set_limits(program, age_s, match.limit)
    return bool(rule_holds(program, table, match, region, rule))


class Seated:
    """A match, as the evaluator and as a plan reads it."""

    def __init__(
        self, compiled: CompiledPlan, tickets: list[FlexMatchTicket], copies: list[int], region: int
    ) -> None:
        columns = Columns(tickets, dict(compiled.strings))
        self.program = compile_rules(compiled.rule_set, columns)
        names = [copy for team in compiled.rule_set.teams for copy in team.copies]
        self.table = build_table(tickets, columns, REGIONS, names, [True] * len(tickets), NOW)
        self.start_s = np.array([ticket.start_time for ticket in tickets])
        self.match = NaiveMatch(range(len(tickets)), copies, NOW, region)
        group = np.zeros(len(tickets), np.int32)
        made = make_columns(compiled, self.table, self.start_s, group, group, Interned())
        self.plan = NaivePlan(compiled, made, self.rule_holds)
        ages = NOW - self.start_s
        self.age_s = float(ages.min() if self.program.newest else ages.max())

    def holds_by_evaluator(self) -> bool:
        match, region = self._candidate(), self.match.region
        assert region is not None
        for team, row in enumerate(self.program.teams):
            players = match.team_start[team + 1] - match.team_start[team]
            if not match.limit[row["fewest"]] <= players <= match.limit[row["most"]]:
                return False
        measured = bool((self.table.latency_ms[1, :, region] < np.inf).all())
        return measured and _broken(self.program, self.table, match, region, self.age_s) == ALL_HOLD

    def rule_holds(self, rule: int, match: NaiveMatch) -> bool:
        assert match.region is not None
        return bool(_holds(self.program, self.table, self._candidate(), match.region, self.age_s, rule))

    def _candidate(self) -> Candidate:
        match = new_candidate(self.program, self.table, len(self.table.seat))
        tickets, count = self.table.tickets, 0
        for team in range(len(self.program.teams)):
            for row in np.flatnonzero(np.array(self.match.copies) == team):
                for player in range(tickets[row]["first"], tickets[row]["last"]):
                    match.player[count] = player
                    count += 1
            match.team_start[team + 1] = count
        match.ticket[: len(tickets)] = np.arange(len(tickets))
        match.size[:] = len(tickets), count
        numbers, steps = self.program.numbers, self.program.steps
        for place, number in enumerate(numbers):
            match.limit[place] = number["base"]
            for step in steps[number["step_from"] : number["step_to"]]:
                if step["wait_s"] <= self.age_s:
                    match.limit[place] = step["value"]
        return match


@pytest.mark.parametrize("block", range(4))
def test_a_match_holds_a_plan_exactly_if_it_holds_the_rules(block: int) -> None:
    right = wrong = 0
    for seed in range(30 * block, 30 * (block + 1)):
        rng = Random(seed)
        rules = random_rule_set(rng)
        compiled = compile_plan(rules, live=True)
        assert compiled.plan is not None
        for _ in range(12):
            tickets, copies = random_match(rng, rules)
            if not tickets:
                continue
            seated = Seated(compiled, tickets, copies, rng.randrange(len(REGIONS)))
            expected = seated.holds_by_evaluator()
            assert seated.plan.holds(seated.match) == expected, (seed, compiled.became)
            right, wrong = right + expected, wrong + (not expected)
    assert right > 40  # else the test would say little
    assert wrong > 40
