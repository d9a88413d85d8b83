"""Lag compensation: the past is where it was, for as long as it is allowed to count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol.inputs import VIEW_SLACK_TICKS
from dedicated_server.simulation import world as w
from dedicated_server.simulation.hits import MAX_REWIND_TICKS, clamp_view, position_at
from dedicated_server.simulation.movement import believed_view


def world_at(tick: int) -> w.World:
    """One player, who walks a metre east and two north a tick; the position history is full."""
    world = w.new_world([0], np.zeros((2, 1)), np.zeros(w.RULES))
    world.counters[w.TICK] = tick
    for past in range(tick - w.POSITION_HISTORY_TICKS + 1, tick + 1):
        world.position_history[past % w.POSITION_HISTORY_TICKS, :, 0] = past, 2 * past
    return world


@given(tick=st.integers(30, 10_000), back=st.integers(0, MAX_REWIND_TICKS))
def test_whole_ticks_are_rewound_exactly(tick: int, back: int) -> None:
    assert position_at(world_at(tick), 0, float(tick - back)) == (tick - back, 2 * (tick - back))


@given(tick=st.integers(30, 10_000), back=st.floats(0, MAX_REWIND_TICKS))
def test_between_two_ticks_a_position_is_on_the_line_between(tick: int, back: float) -> None:
    x_m, y_m = position_at(world_at(tick), 0, tick - back)
    assert x_m == pytest.approx(tick - back)
    assert y_m == pytest.approx(2 * (tick - back))


@given(tick=st.integers(0, 10_000), view=st.floats(width=32))
def test_whatever_a_client_claims_the_view_is_at_most_a_quarter_second_old(tick: int, view: float) -> None:
    world = w.new_world([0], np.zeros((2, 1)), np.zeros(w.RULES))
    world.counters[w.TICK] = tick
    clamped = clamp_view(world, view)
    assert max(tick - MAX_REWIND_TICKS, 0) <= clamped <= tick
    if max(tick - MAX_REWIND_TICKS, 0) <= view <= tick:
        assert clamped == view


def test_a_view_that_is_not_a_number_counts_as_the_oldest() -> None:
    assert clamp_view(world_at(100), math.nan) == 100 - MAX_REWIND_TICKS


def test_the_trail_is_longer_than_the_rewind() -> None:
    assert w.POSITION_HISTORY_TICKS > MAX_REWIND_TICKS + 1


@given(oldest=st.integers(50, 150), later=st.integers(0, 800))
def test_what_the_line_explains_is_believed_to_the_sixteenth_of_a_tick(oldest: int, later: int) -> None:
    claimed = oldest + later / 16
    assert believed_view(world_at(200), 0, claimed, oldest) == claimed


@given(oldest=st.integers(50, 150), earlier=st.integers(1, 800))
def test_what_the_line_does_not_explain_is_replaced_by_what_it_says(oldest: int, earlier: int) -> None:
    assert believed_view(world_at(200), 0, oldest - earlier / 16, oldest) == oldest + VIEW_SLACK_TICKS


@given(before=st.integers(100, 190), claimed=st.floats(0, 200))
def test_nobody_is_shown_what_is_older_than_what_they_were_shown_before(before: int, claimed: float) -> None:
    world = world_at(200)
    world.body[w.SHOWN_VIEW, 0] = before + 0.5
    assert believed_view(world, 0, claimed, 0) == max(claimed, before + 0.5)
