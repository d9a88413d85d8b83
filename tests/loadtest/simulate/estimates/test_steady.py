from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dedicated_server.fleet.autoscaling.erlang import erlang_c
from loadtest.scenario.arrivals import Constant, Daily, LaunchSpike
from loadtest.simulate.estimates.intervals import Estimate, estimate
from loadtest.simulate.estimates.steady import SteadyPart, has_trend, mser5, steady_part
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import simulate
from loadtest.simulate.theory import queueing_model

SERVERS, LOAD, MATCH_S, PERIOD_S = 4, 2.0, 10.0, 0.1
RUSH = 100  # players who all come at the start: the warm-up


def crowded_run(seed: int, *, load: float = LOAD, players: int = 2_500) -> SimulationResult:
    """A run of an M/M/c queue that begins with a rush."""
    setup = queueing_model(
        arrivals=players + RUSH,
        per_s=load / MATCH_S,
        seed=seed,
        servers=SERVERS,
        match_s=MATCH_S,
        period_s=PERIOD_S,
        sample_s=2.0,
    )
    arrives_s = setup.tickets.arrives_s
    arrives_s[:RUSH] = 0.0
    arrives_s[RUSH:] -= arrives_s[RUSH]
    return SimulationResult(simulate(setup), 1.0)


def steady_of(result: SimulationResult, curves: Sequence[Any] = (Constant(over_s=1.0),)) -> SteadyPart:
    return steady_part(result, curves)


def mean_wait_s(results: Sequence[SimulationResult]) -> Estimate:
    """Waits end on a matching cycle, half a period late on average."""
    return estimate([float(result.wait_s.mean()) - PERIOD_S / 2 for result in results])


def test_with_the_warm_up_cut_off_the_interval_covers_theory_and_without_it_does_not() -> None:
    exact = erlang_c(SERVERS, LOAD) * MATCH_S / (SERVERS - LOAD)
    whole = [crowded_run(seed) for seed in range(1, 8)]
    parts = [steady_of(result) for result in whole]
    assert all(part.found for part in parts)
    cut = mean_wait_s(
        [SimulationResult(one.run, 1.0, part.window) for one, part in zip(whole, parts, strict=True)]
    )
    biased = mean_wait_s(whole)
    assert cut.low is not None
    assert cut.high is not None
    assert biased.low is not None
    assert cut.low <= exact <= cut.high
    assert biased.low > 2 * exact


def test_a_queue_that_grows_to_the_end_has_no_steady_state() -> None:
    part = steady_of(crowded_run(1, load=1.2 * SERVERS, players=1_200))
    assert not part.found
    assert part.window is None
    assert part.sentence.startswith("no steady state")


def test_mser_5_cuts_off_what_is_unlike_the_rest() -> None:
    calm = np.random.default_rng(1).normal(10.0, 1.0, 500)
    assert mser5(np.concatenate([np.linspace(90.0, 10.0, 100), calm])) == pytest.approx(95, abs=10)
    assert mser5(np.full(500, 3.0)) == 0
    assert mser5(np.arange(500.0)) is None


def test_a_trend_is_seen_and_noise_is_none() -> None:
    noise = np.random.default_rng(2).normal(0.0, 1.0, 1_000)
    assert not has_trend(noise)
    assert has_trend(noise + np.linspace(0.0, 2.0, 1_000))


def test_curves_that_are_never_even_have_none_and_days_are_counted_whole() -> None:
    result = crowded_run(1)
    spike = steady_of(result, [LaunchSpike(curve="launch_spike", over_s=100.0, peak_s=20.0)])
    assert "launch spike" in spike.sentence
    days = result.last_arrival_s / 3.0
    part = steady_of(result, [Daily(curve="daily", over_s=3 * days, day_s=days)])
    assert part.from_s == pytest.approx(days)
    assert part.to_s == pytest.approx(3 * days)
    assert not steady_of(result, [Daily(curve="daily", over_s=3 * days, day_s=2 * days)]).found
