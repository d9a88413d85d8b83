"""How even a match is expected to be, against OpenSkill's own predictions."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openskill.models import PlackettLuce

from matchmaker.matching.team_balance import BETA, match_quality, mean_quality
from matchmaker.queue.proposals import MatchProposal

MODEL = PlackettLuce()
RATING = st.tuples(st.floats(0, 50, width=32), st.floats(0.5, 8.5, width=32))


def naive(ratings: list[tuple[float, float]], team: list[int]) -> float:
    """The mean over pairs of teams of 1 − 2·|p − ½|, with the library's probability of a win."""
    sides = [
        [
            MODEL.rating(mu=mu, sigma=sigma)
            for (mu, sigma), of in zip(ratings, team, strict=True)
            if of == side
        ]
        for side in sorted(set(team))
    ]
    found = [
        1.0 - 2.0 * abs(MODEL.predict_win([one, other])[0] - 0.5)
        for one, other in itertools.combinations(sides, 2)
    ]
    return float(sum(found) / len(found))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(RATING, st.integers(0, 3)), min_size=2, max_size=12))
def test_it_is_what_openskill_predicts_over_all_pairs_of_teams(
    players: list[tuple[tuple[float, float], int]],
) -> None:
    ratings, team = [rating for rating, _ in players], [number for _, number in players]
    skill = np.array([mu for mu, _ in ratings], np.float32)
    deviation = np.array([sigma for _, sigma in ratings], np.float32)
    if len(set(team)) < 2:
        team[0] = 4
    expected = naive(ratings, team)
    assert mean_quality(skill, deviation, np.array(team), max(team) + 1) == pytest.approx(expected, abs=1e-5)
    assert match_quality(skill, deviation, team) == pytest.approx(expected, abs=1e-4)
    assert MODEL.beta == BETA


def test_equals_are_even_and_a_master_against_a_beginner_is_not() -> None:
    sure = np.full(2, 0.5, np.float32)
    assert match_quality(np.array([25.0, 25.0], np.float32), sure, [0, 1]) == 1.0
    uneven = match_quality(np.array([45.0, 5.0], np.float32), sure, [0, 1])
    assert uneven is not None
    assert uneven < 0.01


def test_without_an_opponent_it_is_not_known() -> None:
    assert match_quality(np.ones(3, np.float32), np.ones(3, np.float32), [0, 0, 0]) is None
    assert match_quality(np.ones(0, np.float32), np.ones(0, np.float32), []) is None


def test_a_proposal_of_a_director_that_knew_no_quality_is_read() -> None:
    old = MatchProposal("m", "mode", "r", 1, 60.0, 0.0, ["t"], [1], [0.0], [1.0], [0])
    stored = msgspec.to_builtins(old)
    del stored["quality"]
    assert msgspec.convert(stored, MatchProposal) == old
