"""One pass of the greedy over its seeds."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from matchmaker.plans.compile import compile_plan
from matchmaker.plans.greedy.desk import LOOKS, Desk, Pass
from matchmaker.plans.greedy.passes import go_through
from matchmaker.plans.layout import NONE
from matchmaker.rules.flexmatch.search import UNMATCHED
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from tests.matchmaker.plans.desks import lay
from tests.matchmaker.plans.naive import NaiveMatch, NaivePlan
from tests.matchmaker.plans.pools import NEAR, NOW, REGIONS, ticket
from tests.matchmaker.plans.written import ONE, TWO, Rule, compiled

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

THOROUGH = Pass(at_home=False, aged=False, full=False, thorough=True, deferred=False)
LATENCY: Rule = {"type": "latency", "maxLatency": 60}


def laid(tickets: list[FlexMatchTicket], teams: list[Rule]) -> tuple[Desk, NDArray[np.int64], NaivePlan]:
    made = compile_plan(compiled([NEAR, LATENCY], teams).rule_set, live=True)
    found = lay(made, tickets, REGIONS, NOW)
    return found.desk, found.by_age, NaivePlan(made, found.desk.tickets, lambda rule, match: False)


def go(desk: Desk, by_age: NDArray[np.int64], how: Pass = THOROUGH, formed: int = 0) -> int:
    return int(go_through(
        desk.plan, desk.tickets, desk.level, by_age, desk.there, by_age, desk.running, how, desk.effort,
        desk.draft, desk.program, desk.table, desk.match, desk.found, formed,
    ))  # fmt: skip


def draw(seed: int, count: int = 50) -> list[FlexMatchTicket]:
    rng = Random(seed)
    return [
        ticket(
            f"t{number}",
            *(rng.uniform(0, 40) for _ in range(rng.choice([1, 1, 2]))),
            waits=float(rng.randint(0, 30)),
            latency_ms={region: rng.uniform(10, 90) for region in REGIONS},
        )
        for number in range(count)
    ]


HOWS = [
    THOROUGH,
    THOROUGH._replace(aged=True, deferred=True),
    THOROUGH._replace(at_home=True, full=True, thorough=False),
    THOROUGH._replace(full=True),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("teams", [ONE, TWO], ids=["one against one", "teams"])
def test_every_match_of_a_pass_holds_the_plan_where_it_is_nearest(teams: list[Rule], how: Pass) -> None:
    matches = 0
    for seed in range(8):
        desk, by_age, naive = laid(draw(seed), teams)
        formed = go(desk, by_age, how)
        matches += formed
        assert set(desk.found.match_of.tolist()) <= {UNMATCHED, *range(formed)}
        assert np.array_equal(desk.there, desk.found.match_of == UNMATCHED)
        assert not desk.draft.seated.any()
        for number in range(formed):
            rows = np.flatnonzero(desk.found.match_of == number)
            copies = desk.found.team_of[rows].tolist()
            suits = [
                region
                for region in range(len(REGIONS))
                if naive.holds(NaiveMatch(rows.tolist(), copies, NOW, region))
            ]
            sizes = desk.tickets.size[rows]
            cost_ms = (desk.tickets.latency_ms[rows] * sizes[:, None]).sum(axis=0)
            assert desk.found.region_of[number] == min(suits, key=lambda region: float(cost_ms[region]))
            assert desk.found.running_of[number] == NONE
            if how.full:
                assert np.array_equal(np.bincount(copies, sizes, 2), desk.plan.most[0])
            if how.at_home:
                assert len(set(desk.tickets.home[rows].tolist())) == 1
    assert matches > 0


def test_matches_are_numbered_on_from_those_of_the_pass_before() -> None:
    desk, by_age, _ = laid([ticket("a", 1.0), ticket("b", 2.0)], ONE)
    assert go(desk, by_age, formed=2) == 3
    assert desk.found.match_of.tolist() == [2, 2]


def test_the_oldest_seed_chooses_first() -> None:
    tickets = [ticket("young", 3.0), ticket("old", 4.0, waits=9.0), ticket("older", 8.0, waits=10.0)]
    desk, by_age, _ = laid(tickets, ONE)
    assert go(desk, by_age) == 1
    assert desk.found.match_of.tolist() == [UNMATCHED, 0, 0]


def test_seeds_that_the_work_does_not_suffice_for_are_told() -> None:
    tickets = [ticket(f"t{number}", 100.0 * number, waits=30.0 - number) for number in range(20)]
    desk, by_age, _ = laid(tickets, ONE)
    desk.effort.most[LOOKS] = 15
    assert go(desk, by_age) == 0
    untried = desk.found.untried[by_age]
    assert 0 < np.count_nonzero(untried) < 20
    assert untried.tolist() == sorted(untried.tolist())  # the oldest have been tried
