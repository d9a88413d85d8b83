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
from loadtest.scenario.platforms import BACKEND_PLATFORMS, backend_platforms
from loadtest.scenario.population import arrival_times_s, draw_population, exact_shares
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.scenario.sections import FOLDER
from matchmaker.messages import PLATFORMS


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


def by_location(tour: Scenario, **players: object) -> Scenario:
    content = tour.model_dump(exclude_unset=True)
    content["players"] |= {"count": 1_000, **players}
    content["arrivals"] = {"east-us": {"curve": "ramp", "over_s": 60.0}, "west-europe": {"over_s": 20.0}}
    return Scenario.model_validate(content)


def test_each_location_has_its_own_curve_and_all_stand_in_order_of_arrival(tour: Scenario) -> None:
    found = draw_population(by_location(tour, parties={1: 0.5, 3: 0.5}))
    assert np.all(np.diff(found.arrives_s) >= 0)
    times = {name: found.arrives_s[found.location == at] for at, name in enumerate(found.locations)}
    assert 15 < times["west-europe"].max() <= 20
    assert 40 < times["east-us"].max() <= 60
    assert abs(np.mean(times["east-us"] < 30) - 0.25) < 0.07  # a ramp
    assert all(len(set(found.location[found.party == party])) == 1 for party in range(50))
    again = draw_population(by_location(tour, parties={1: 0.5, 3: 0.5}))
    assert np.array_equal(found.arrives_s, again.arrives_s)


def test_a_curve_of_one_location_leaves_the_others_as_they_were(tour: Scenario) -> None:
    first = by_location(tour)
    curves = dict(first.arrivals) if isinstance(first.arrivals, dict) else {}
    later = first.model_copy(update={"arrivals": {**curves, "east-us": Ramp(curve="ramp", over_s=600.0)}})
    there = draw_population(first), draw_population(later)
    west = [each.arrives_s[each.location == 0] for each in there]
    assert np.array_equal(*west)
    assert there[1].arrives_s.max() > 500
    assert later.arrivals_s == 600.0


def test_a_party_plays_on_one_platform_and_meets_the_same_ones(tour: Scenario) -> None:
    players = {"parties": {1: 0.4, 4: 0.6}, "platforms": {"pc": 0.5, "console": 0.5}, "cross_play": 0.25}
    found = draw_population(by_location(tour, **players))
    for party in range(60):
        members = found.party == party
        assert len(set(found.platform[members])) == len(set(found.cross_play[members])) == 1
    firsts = np.unique(found.party, return_index=True)[1]
    assert abs(found.cross_play[firsts].mean() - 0.25) < 0.01
    assert draw_population(tour).cross_play.all()


def test_platforms_that_our_matchmaker_does_not_know_take_those_that_are_left() -> None:
    assert PLATFORMS == BACKEND_PLATFORMS
    assert backend_platforms(["pc", "mobile"]) == {"pc": "pc", "mobile": "mobile"}
    assert backend_platforms(["pc", "console", "vr"]) == {"pc": "pc", "console": "playstation", "vr": "xbox"}
    assert set(backend_platforms([f"p{at}" for at in range(9)]).values()) == set(PLATFORMS)
