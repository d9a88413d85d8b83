"""A step of the search: long enough for its objectives, at a steady rate, and judged by whose limit it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtest.errors import BackendError
from loadtest.flood.outcome import RunOutcome
from loadtest.limit.page import render_limit
from loadtest.limit.search import Limit, Trial
from loadtest.limit.steps import first_rate, step_scenario, step_seconds, trial_of
from loadtest.scenario.arrivals import Constant
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario
from tests.loadtest.sample_run import sample_outcome


@pytest.fixture(scope="module")
def outage() -> Scenario:
    return load_scenario(SHIPPED / "outage.yaml")


@pytest.fixture
def passing() -> RunOutcome:
    outcome = sample_outcome()
    outcome.records.arrived_s[:] = outcome.records.intended_s
    assert outcome.passed
    return outcome


def with_wait(scenario: Scenario, wait_s: float | None) -> Scenario:
    objectives = scenario.objectives.model_copy(update={"wait_p95_s": wait_s})
    return scenario.model_copy(update={"objectives": objectives})


def test_a_step_has_the_rate_and_other_players_than_the_last(outage: Scenario) -> None:
    one, two = (step_scenario(outage, 3.0, 40.0, number) for number in (1, 2))
    assert one.players.count == 120
    assert isinstance(one.arrivals, Constant)
    assert one.arrivals.over_s == 40.0
    assert (one.faults, one.duration_s) == ([], None)
    assert outage.faults
    first, second = draw_population(one), draw_population(two)
    assert not np.array_equal(first.arrives_s, second.arrives_s)
    assert one.modes == outage.modes


def test_a_step_lasts_as_long_as_its_objectives_and_matches_need(outage: Scenario) -> None:
    match_s = outage.max_match_s
    assert step_seconds(with_wait(outage, None)) == max(2 * match_s, 20.0)
    assert step_seconds(with_wait(outage, 10.0)) == 200.0
    assert step_seconds(with_wait(outage, 1_000.0)) == 300.0


def test_the_first_rate_is_an_eighth_of_the_scenarios(outage: Scenario) -> None:
    assert first_rate(outage) == pytest.approx(outage.players.count / outage.arrivals_s / 8)


def test_a_flood_that_passed_has_held(passing: RunOutcome) -> None:
    trial = trial_of(passing, 5.0)
    assert trial.held
    assert trial.wait_p95_s is not None


def test_a_missed_objective_is_the_backends_limit(passing: RunOutcome) -> None:
    trial = trial_of(replace(passing, scenario=with_wait(passing.scenario, 0.5)), 5.0)
    assert trial.whose == "backend"
    assert trial.reasons[0].startswith("wait p95 ")
    assert trial.first.startswith("Broke first")


def test_a_generator_that_did_not_keep_up_hides_the_backends_limit(passing: RunOutcome) -> None:
    slow = replace(passing, scenario=with_wait(passing.scenario, 0.5))
    saturated = replace(slow, generator=sample_outcome(saturated=True).generator)
    assert trial_of(saturated, 5.0).whose == "generator"
    slow.records.arrived_s[:] += 3.0
    assert trial_of(slow, 5.0).whose == "generator"


def test_an_interrupted_flood_says_nothing_of_a_limit(passing: RunOutcome) -> None:
    with pytest.raises(BackendError, match="was interrupted: meta does not answer"):
        trial_of(replace(passing, interrupted="meta does not answer"), 5.0)


def test_the_page_shows_each_flood_and_what_broke(outage: Scenario) -> None:
    limit = Limit(
        [
            Trial(4.0, wait_p95_s=2.0, players=80),
            Trial(8.0, "backend", ("wait p95 40 s",), "Broke <b>.", 40.0),
        ]
    )
    limit.held, limit.broke = 4.0, limit.trials[1]
    page = render_limit(outage, limit, 1_795_435_200.0, 40.0)
    assert "No limit was found" in page  # it is not bracketed yet
    assert "wait p95 40 s" in page
    assert "<b>." not in page
