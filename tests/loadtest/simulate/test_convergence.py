from __future__ import annotations

import math

import numpy as np
import pytest

from loadtest.bench.simulation_checks import error_falls
from loadtest.simulate.convergence import converge, measure
from rewards.progression.ratings import Rating

pytestmark = pytest.mark.timeout(120)  # the first run on a machine compiles the matching kernel


def test_what_ratings_tell_of_skill_comes_nearer_to_it_with_each_doubling_of_the_matches() -> None:
    points = list(converge(players=200, match_players=20, rounds=32, seed=3, luck=12.0))
    assert 24 < points[-1].matches <= 32  # who finds no full match in one round plays in another
    assert error_falls(points)
    assert points[-1].error < 0.6 * points[0].error
    assert points[-1].rank_correlation > 0.8
    assert points[-1].sigma < points[0].sigma


def test_ratings_tell_nothing_where_matches_are_luck_alone() -> None:
    points = list(converge(players=200, match_players=20, rounds=32, seed=3, luck=math.inf))
    assert points[-1].error > 0.9 * points[0].error
    assert not error_falls(points)


def test_the_error_is_what_a_line_through_the_ratings_leaves() -> None:
    skill = np.array([10.0, 20.0, 30.0])

    def rated(*mu: float) -> dict[tuple[int, str], Rating]:
        return {(number + 1, "battle_royale"): Rating(each, 1.0, 1) for number, each in enumerate(mu)}

    assert measure(skill, {}).error == pytest.approx(skill.std())
    assert measure(skill, rated(1.0, 2.0, 3.0)).error == pytest.approx(0.0, abs=1e-9)
    assert measure(skill, rated(1.0, 2.0, 1.0)).error == pytest.approx(skill.std())  # says nothing of it


def test_the_same_seed_gives_the_same_ratings() -> None:
    first, again, other = (list(converge(40, 20, 3, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
