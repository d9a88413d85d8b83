from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from loadtest.scenario.arrivals import Curve, Ramp
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import arrival_times_s, draw_population, exact_shares
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.scenario.sections import FOLDER


@pytest.fixture(scope="module")
def tour() -> Scenario:
    return load_scenario(SHIPPED / "tour.yaml")


def test_the_same_seed_gives_the_same_players(tour: Scenario) -> None:
    first, again = draw_population(tour), draw_population(tour)
    other = draw_population(tour.model_copy(update={"seed": tour.seed + 1}))
    for name in ("arrives_s", "location", "skill", "behaviour_seed", "link_seed"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_shares_of_locations_are_exact(tour: Scenario) -> None:
    assert np.bincount(draw_population(tour).location).tolist() == [100, 100]


def test_a_change_of_the_arrival_curve_leaves_skills_and_places_as_they_were(tour: Scenario) -> None:
    ramp = tour.model_copy(update={"arrivals": Ramp(curve="ramp", over_s=8.0)})
    assert np.array_equal(draw_population(tour).skill, draw_population(ramp).skill)
    assert np.array_equal(draw_population(tour).location, draw_population(ramp).location)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_none_is_off_by_one(count: int, weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    parts = exact_shares(count, shares)
    assert sum(parts) == count
    assert all(abs(part - count * share) < 1 for part, share in zip(parts, shares, strict=True))


@pytest.fixture
def trace(tmp_path: Path) -> str:
    file = tmp_path / "trace.csv"
    file.write_text("time,arrivals\n0,0\n10,1\n20,9\n")
    return str(file)


SPIKE = {"curve": "launch_spike", "peak_s": 10.0}
DAILY = {"curve": "daily", "peak_s": 0.0, "day_s": 60.0, "swing": 1.0}
SPIKE_HALF = (1 - 4 * math.exp(-3)) / (1 - 7 * math.exp(-6))


@pytest.mark.parametrize(
    ("curve", "share_in_first_half"),
    [
        ({"curve": "constant"}, 0.5),
        ({"curve": "ramp"}, 0.25),
        (SPIKE, SPIKE_HALF),
        (DAILY, 0.5),
        ({**DAILY, "day_s": 120.0}, 0.5 + 1 / math.pi),
        ({"curve": "recorded", "file": "trace.csv"}, 0.1),
    ],
)
def test_arrivals_follow_their_curve(
    curve: dict[str, object], share_in_first_half: float, trace: str
) -> None:
    count = 100_000
    arrivals: Curve = TypeAdapter(Curve).validate_python(
        {"over_s": 60.0, **curve}, context={FOLDER: Path(trace).parent}
    )
    times = arrival_times_s(arrivals, count, np.random.default_rng(4))
    assert np.all(np.diff(times) >= 0)
    assert 0 <= times[0] <= times[-1] <= 60
    error = math.sqrt(share_in_first_half * (1 - share_in_first_half) / count)
    assert abs(np.mean(times < 30) - share_in_first_half) < 4 * error
