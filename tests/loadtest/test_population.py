from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.population import arrival_times_s, draw, exact_shares
from loadtest.scenario import Arrivals, Scenario
from loadtest.scenario_file import SHIPPED, load


@pytest.fixture(scope="module")
def tour() -> Scenario:
    return load(SHIPPED / "tour.yaml")


def test_the_same_seed_gives_the_same_players(tour: Scenario) -> None:
    first, again = draw(tour), draw(tour)
    other = draw(tour.model_copy(update={"seed": tour.seed + 1}))
    for name in ("arrives_s", "location", "skill", "behaviour_seed", "link_seed"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_shares_of_locations_are_exact(tour: Scenario) -> None:
    assert np.bincount(draw(tour).location).tolist() == [100, 100]


def test_a_change_of_the_arrival_curve_leaves_skills_and_places_as_they_were(tour: Scenario) -> None:
    ramp = tour.model_copy(update={"arrivals": Arrivals(curve="ramp", over_s=8.0)})
    assert np.array_equal(draw(tour).skill, draw(ramp).skill)
    assert np.array_equal(draw(tour).location, draw(ramp).location)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_none_is_off_by_one(count: int, weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    parts = exact_shares(count, shares)
    assert sum(parts) == count
    assert all(abs(part - count * share) < 1 for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize(("curve", "share_in_first_half"), [("constant", 0.5), ("ramp", 0.25)])
def test_arrivals_follow_their_curve(curve: str, share_in_first_half: float) -> None:
    count = 100_000
    times = arrival_times_s(
        Arrivals.model_validate({"curve": curve, "over_s": 60.0}), count, np.random.default_rng(4)
    )
    assert np.all(np.diff(times) >= 0)
    assert 0 <= times[0] <= times[-1] <= 60
    error = math.sqrt(share_in_first_half * (1 - share_in_first_half) / count)
    assert abs(np.mean(times < 30) - share_in_first_half) < 4 * error
