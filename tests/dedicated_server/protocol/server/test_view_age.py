"""How old what a player is shown can be: the server's measure of a line, beside the client's own delay."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.protocol.inputs import VIEW_SLACK_TICKS
from dedicated_server.protocol.server.state import SLOT
from dedicated_server.protocol.server.view_age import (
    FIRST_DELAY_TICKS,
    MAX_AGE_TICKS,
    OUTAGE_TICKS,
    note_view_age,
)


def oldest_ages(ages: list[int]) -> list[int]:
    """What a client who acknowledges snapshots at these ages may claim, tick by tick: ages in ticks."""
    slots = np.zeros(1, SLOT)
    return [
        1_000 + turn - note_view_age(slots[0], 1_000 + turn, 1_000 + turn - age, turn == 0)
        for turn, age in enumerate(ages)
    ]


def test_a_new_client_is_believed_the_delay_that_clients_begin_with() -> None:
    assert oldest_ages([1]) == [1 + FIRST_DELAY_TICKS + VIEW_SLACK_TICKS]


def test_on_a_quiet_line_little_more_is_believed_than_the_round_trip() -> None:
    assert oldest_ages([1] * 1_000)[-1] <= 1 + 1 + VIEW_SLACK_TICKS
    assert oldest_ages([9] * 1_000)[-1] <= 9 + 1 + VIEW_SLACK_TICKS


def test_who_gets_snapshots_late_is_believed_that_they_are_late() -> None:
    random = np.random.default_rng(5)
    ages = (6 + random.poisson(1.5, 4_000)).tolist()
    believed = oldest_ages(ages)[1_000:]
    late = np.percentile(ages, 96)
    assert late <= min(believed)
    assert max(believed) <= late + 3 + VIEW_SLACK_TICKS


def test_a_rarer_snapshot_is_believed_within_a_third_of_a_second() -> None:
    believed = oldest_ages([1] * 500 + [1, 2, 3, 4] * 10)
    assert believed[-1] >= 4 + VIEW_SLACK_TICKS


def test_a_silence_says_nothing_of_the_line() -> None:
    quiet = oldest_ages([1] * 600)[-1]
    assert oldest_ages([1] * 600 + [OUTAGE_TICKS + 1 + age for age in range(100)])[-1] <= quiet


def test_nobody_is_believed_more_than_a_bound() -> None:
    assert max(oldest_ages(list(range(1, 31)) * 50)) <= MAX_AGE_TICKS + VIEW_SLACK_TICKS


@pytest.mark.parametrize("tick", [1, 500])
def test_who_has_acknowledged_nothing_was_shown_nothing(tick: int) -> None:
    assert note_view_age(np.zeros(1, SLOT)[0], tick, 0, True) == tick
