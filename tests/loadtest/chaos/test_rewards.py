"""Rewards under kill -9, the short form; ``make chaos`` runs the long one."""

from __future__ import annotations

import random

import pytest

from loadtest.chaos import rewards, rewards_run
from loadtest.chaos.rewards import is_right
from tests.optional import needs


@needs("apache-kafka")
@pytest.mark.timeout(180)
async def test_whoever_is_killed_every_point_earned_is_there_once_and_every_bad_record_is_a_letter() -> None:
    outcome = await rewards.two_members(3_000, broken=20, engines=True)

    assert is_right(outcome), outcome
    assert outcome["killed"] == {"consumer": 1, "broker": 1, "store": 1}


def test_an_outcome_with_anything_lost_twice_or_left_over_is_not_right() -> None:
    right = {
        "events": 100,
        "broken": 5,
        "xp": 700,
        "xp_earned": 700,
        "players_with_wrong_xp": 0,
        "kills_right": True,
        "players_rated_wrong": 0,
        "inbox": 105,
        "dead_letters": 5,
        "letters_right": True,
    }
    assert is_right(right)
    for name, wrong in (
        ("xp", 600),
        ("players_with_wrong_xp", 1),
        ("kills_right", False),
        ("players_rated_wrong", 1),
        ("inbox", 104),
        ("dead_letters", 6),
        ("letters_right", False),
    ):
        assert not is_right({**right, name: wrong}), name


def test_broken_records_are_each_unlike_the_others() -> None:
    assert len(set(rewards_run.broken_records(50, random.Random(1)))) == 50
