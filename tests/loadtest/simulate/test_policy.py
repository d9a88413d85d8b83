from __future__ import annotations

import numpy as np
import pytest

from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import Run, simulate
from loadtest.simulate.variation import scaled, varied
from loadtest.simulate.world import Counter

LAUNCH = SHIPPED / "launch_day.yaml"


def small_launch(**fleet: object) -> Scenario:
    scenario = scaled(load_scenario(LAUNCH), 0.01, SHIPPED)
    return varied(scenario, {f"fleet.{name}": value for name, value in fleet.items()}, SHIPPED)


def run(scenario: Scenario) -> Run:
    return simulate(plan(scenario))


def test_a_larger_buffer_costs_more_and_waits_less() -> None:
    figures = [SimulationResult(run(small_launch(buffer=buffer)), 0.05).figures() for buffer in (1, 12)]
    assert figures[0]["cost"] < figures[1]["cost"]
    assert figures[0]["wait_s"]["p95"] > figures[1]["wait_s"]["p95"]


def test_no_fleet_grows_beyond_its_limit() -> None:
    world = run(small_launch(buffer=4, max=30)).world
    count = int(world.counters[Counter.SAMPLES])
    samples = world.samples
    live = samples.starting[:count] + samples.ready[:count] + samples.allocated[:count]
    assert live.sum(axis=1).max() <= 30
    assert world.counters[Counter.PEAK] == 30


@pytest.mark.parametrize("policy", ["buffer", "forecast"])
def test_each_region_has_its_own_buffer_and_limit(policy: str) -> None:
    buffer = {"west-europe": 1, "east-us": 5, "southeast-asia": 2}
    limit = {"west-europe": 40, "east-us": 6, "southeast-asia": 30}
    few = small_launch(buffer=buffer, max=limit, policy=policy)
    done = run(varied(few, {"players.count": 4_000}, SHIPPED))
    assert done.setup.ready.tolist() == list(buffer.values())
    count = int(done.world.counters[Counter.SAMPLES])
    samples = done.world.samples
    live = samples.starting[:count] + samples.ready[:count] + samples.allocated[:count]
    assert (live.max(axis=0) <= list(limit.values())).all()
    assert live[:, 1].max() == 6  # reached, while the others still grew
    assert live.sum(axis=1).max() > 20


@pytest.mark.parametrize("policy", ["buffer", "forecast"])
def test_either_policy_matches_everybody_within_their_patience(policy: str) -> None:
    result = SimulationResult(run(small_launch(policy=policy)), 0.05)
    assert result.figures()["abandoned_share"] < 0.02
    assert (
        np.diff(result.run.world.samples.at_s[: int(result.run.world.counters[Counter.SAMPLES])]) > 0
    ).all()
