"""One cycle over a file's tickets: by the plan, or depth first; what the judge says of it, also where a fault
is planted.
"""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from loadtest.bench.matchmaker.rule_sets.judge import Judge
from loadtest.bench.matchmaker.rule_sets.measuring import judge_matches
from matchmaker.plans import matching
from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.layout import Plan
from matchmaker.plans.matching import CUT, match
from matchmaker.rules.flexmatch.cycle import CycleResult
from matchmaker.rules.flexmatch.cycle import match as search_match
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.plans.pools import ALONE, ATTRIBUTES, NEAR, NOW, REGIONS, ticket
from tests.matchmaker.plans.written import ONE, TWO, Rule, compiled, distance, of

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

FAIR = distance(of("avg", "red"), of("avg", "blue"), maxDistance=2)
LATENCY: Rule = {"type": "latency", "maxLatency": 50}


def rule_set(rules: list[Rule], teams: list[Rule] = ONE, **others: Any) -> RuleSet:
    return compiled(rules, teams, **others).rule_set


def names(found: CycleResult) -> list[list[str]]:
    return sorted(sorted(each.tickets) for each in found.matches)


def draw(seed: int, count: int) -> list[FlexMatchTicket]:
    rng = Random(seed)
    return [
        ticket(
            f"t{number:03}",
            *(rng.uniform(0, 40) for _ in range(rng.choice([1, 1, 2]))),
            waits=float(rng.randint(0, 60)),
            latency_ms={"eu": rng.uniform(10, 90), "us": rng.uniform(10, 90)},
        )
        for number in range(count)
    ]


def test_each_player_of_a_match_is_seated_once_and_who_is_left_has_a_reason() -> None:
    tickets = draw(1, 60)
    found = match(rule_set([NEAR, FAIR], TWO), tickets, NOW)
    assert found.matches
    taken = [name for each in found.matches for name in each.tickets]
    left = [each.ticket for each in found.unmatched]
    assert sorted(taken + left) == [each.ticket_id for each in tickets]
    assert all(each.reason for each in found.unmatched)
    players = {each.ticket_id: {one.player_id for one in each.players} for each in tickets}
    for each in found.matches:
        seated = [name for team in each.teams.values() for name in team]
        assert sorted(seated) == sorted(name for one in each.tickets for name in players[one])


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_the_file_decides_nothing(seed: int) -> None:
    tickets, rules = draw(seed, 50), rule_set([NEAR, LATENCY], TWO)
    shuffled = Random(seed).sample(tickets, len(tickets))
    assert match(rules, tickets, NOW) == match(rules, shuffled, NOW)


@pytest.mark.parametrize("seed", range(6))
def test_as_many_are_seated_as_the_search_seats(seed: int) -> None:
    tickets, rules = draw(seed, 24), rule_set([NEAR], ONE)
    singles = [each for each in tickets if len(each.players) == 1]
    by_plan, by_search = (
        match(rules, singles, NOW, live=True),
        search_match(rules, singles, NOW, 0, live=True),
    )
    assert sum(map(len, names(by_plan))) >= sum(map(len, names(by_search)))


def test_a_running_match_of_the_file_is_filled() -> None:
    playing = FlexMatchTicket(
        "running",
        NOW - 9.0,
        (TicketPlayer("r", "red", {**ATTRIBUTES, "skill": 3.0}, {"eu": 9.0}),),
    )
    found = match(rule_set([NEAR]), [playing, ticket("far", 90.0), ticket("near", 5.0)], NOW)
    assert names(found) == [["near", "running"]]
    assert found.matches[0].teams == {"red": ["r"], "blue": ["near.0"]}


def test_a_rule_set_without_a_plan_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = rule_set([NEAR])
    planless = replace(compiled([NEAR], ONE), plan=None, searched=("is beyond a plan",))
    monkeypatch.setattr(matching, "compile_plan", lambda *_, **__: planless)
    assert names(match(rules, [ticket("a", 1.0), ticket("b", 2.0)], NOW)) == [["a", "b"]]


def test_a_cycle_whose_work_was_used_up_says_so_of_who_is_left() -> None:
    tickets = [ticket(f"t{number:03}", 1_000.0 * (number // 2), waits=float(number)) for number in range(150)]
    found = match(rule_set([NEAR]), tickets, NOW, caps=ALONE._replace(cycle_looks=0, cycle_joins=0, least=20))
    assert found.unmatched
    assert {each.reason for each in found.unmatched} == {CUT}


def test_no_tickets_make_no_match() -> None:
    assert match(rule_set([NEAR]), [], NOW) == CycleResult([], [])


def _wider(plan: Plan) -> Plan:
    number = plan.number.copy()
    number[:, plan.atoms["first"]] *= 1.5
    return plan._replace(number=number)


def _without_rules(plan: Plan) -> Plan:
    return plan._replace(rules=plan.rules[:0])


def _larger(plan: Plan) -> Plan:
    return plan._replace(most=plan.most + 1)


def _smaller(plan: Plan) -> Plan:
    return plan._replace(fewest=plan.fewest * 0, most=np.minimum(plan.most, 1))


def _as_it_is(plan: Plan) -> Plan:
    return plan


FAULTS = [
    pytest.param(_as_it_is, None, id="none"),
    pytest.param(_wider, "R0", id="limits that are half as wide again"),
    pytest.param(_without_rules, "R0", id="rules that are not tested"),
    pytest.param(_larger, "team", id="teams that are too large"),
    pytest.param(_smaller, "team", id="teams that are too small"),
]


@pytest.mark.parametrize(("fault", "told"), FAULTS)
def test_the_judge_sees_a_fault_that_is_planted_in_the_plan(fault: Any, told: str | None) -> None:
    made = compiled([NEAR, LATENCY], TWO)
    assert judged(planted(made, fault), draw(7, 120)) == told


def planted(made: CompiledPlan, fault: Any) -> CompiledPlan:
    assert made.plan is not None
    return replace(made, plan=fault(made.plan))


def judged(made: CompiledPlan, tickets: list[FlexMatchTicket]) -> str | None:
    """The first word of what the judge says of the first wrong match."""
    book = TicketBook(made, REGIONS)
    rows = book.add(tickets)
    cycle = book.form(NOW, caps=ALONE)
    assert len(cycle.region) > 3
    place = {row: index for index, row in enumerate(rows.tolist())}
    _, kinds = judge_matches(Judge(made.rule_set), tickets, REGIONS, cycle, place, NOW)
    return next((kind.split()[0] for kind in kinds), None)


def test_the_judge_sees_regions_that_are_too_far() -> None:
    near = read_rule_set(json.dumps(_document(50)))
    far = read_rule_set(json.dumps(_document(80)))
    tickets = draw(3, 120)
    book = TicketBook(compile_plan(far, live=True), REGIONS)
    rows = book.add(tickets)
    cycle = book.form(NOW, caps=ALONE)
    place = {row: index for index, row in enumerate(rows.tolist())}
    assert judge_matches(Judge(far), tickets, REGIONS, cycle, place, NOW) == (0, {})
    wrong, kinds = judge_matches(Judge(near), tickets, REGIONS, cycle, place, NOW)
    assert wrong > 0
    assert set(kinds) == {"R0"}


def _document(most_ms: int) -> dict[str, Any]:
    return {
        "ruleLanguageVersion": "1.0",
        "playerAttributes": [{"name": "skill", "type": "number"}],
        "teams": TWO,
        "rules": [{"name": "R0", "type": "latency", "maxLatency": most_ms}],
    }
