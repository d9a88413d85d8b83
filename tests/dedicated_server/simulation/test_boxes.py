"""Boxes in a match: what a shot meets first, and where there is room for a body."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import Box, shipped_cards
from dedicated_server.modes import load_mode
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.simulation import world as w
from dedicated_server.simulation.boxes import free_place, free_reach, is_free
from dedicated_server.simulation.heading import direction
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from tests.dedicated_server.protocol.test_movement import HALF_M, NO_BOXES, box_lists, coordinate, inside

Boxes = npt.NDArray[np.float64]

yaws = st.integers(0, 65_535) | st.sampled_from([0, 16_384, 32_768, 49_152])


def in_box(x_m: float, y_m: float, box: npt.NDArray[np.float64], slack_m: float = 0.0) -> bool:
    west, south, east, north = box
    return bool(west - slack_m < x_m < east + slack_m and south - slack_m < y_m < north + slack_m)


@settings(max_examples=300, deadline=None)
@given(boxes=box_lists(), x_m=coordinate, y_m=coordinate, yaw=yaws, range_m=st.sampled_from([5.0, 80.0]))
def test_a_shot_ends_where_it_meets_the_first_box_and_not_before(
    boxes: Boxes, x_m: float, y_m: float, yaw: int, range_m: float
) -> None:
    cosine, sine = direction(yaw)
    reach_m = free_reach(x_m, y_m, cosine, sine, range_m, boxes)
    assert 0.0 <= reach_m <= range_m
    for share in np.linspace(0.0, 1.0, 200):
        along = share * (reach_m - 1e-6)
        if along > 0.0:
            at = x_m + along * cosine, y_m + along * sine
            assert not any(in_box(*at, box, -1e-6) for box in boxes)
    if reach_m < range_m:
        end = x_m + reach_m * cosine, y_m + reach_m * sine
        assert any(in_box(*end, box, 1e-6) for box in boxes)


@pytest.mark.parametrize(
    ("start", "yaw", "reach_m"),
    [
        ((0.0, 0.0), 0, 5.0),
        ((0.0, 1.0), 0, 80.0),  # along the edge
        ((0.0, 1.5), 0, 80.0),
        ((20.0, 0.0), 32_768, 14.0),
        ((5.5, -10.0), 16_384, 9.0),
        ((5.5, 0.0), 16_384, 0.0),  # from within
        ((0.0, 0.0), 32_768, 80.0),  # behind the shooter
    ],
)
def test_a_shot_at_one_box(start: tuple[float, float], yaw: int, reach_m: float) -> None:
    box = np.array([[5.0, -1.0, 6.0, 1.0]])
    assert free_reach(*start, *direction(yaw), 80.0, box) == pytest.approx(reach_m)
    assert free_reach(*start, *direction(yaw), 80.0, NO_BOXES) == 80.0


@settings(max_examples=100, deadline=None)
@given(boxes=box_lists(), x_m=coordinate, y_m=coordinate, seed=st.integers(0, 2**32 - 1))
def test_the_place_that_is_found_is_the_nearest_free_one(
    boxes: Boxes, x_m: float, y_m: float, seed: int
) -> None:
    found = free_place(x_m, y_m, boxes, HALF_M)
    assert is_free(x_m, y_m, boxes) == (not any(inside(x_m, y_m, box) for box in boxes))
    others = np.random.default_rng(seed).uniform(-HALF_M, HALF_M, (300, 2))
    free = [place for place in others if is_free(*place, boxes)]
    if is_free(x_m, y_m, boxes):
        assert found == (x_m, y_m)
    elif free:
        assert is_free(*found, boxes)
        assert max(abs(found[0]), abs(found[1])) <= HALF_M
        assert math.dist(found, (x_m, y_m)) <= min(math.dist(place, (x_m, y_m)) for place in free) + 1e-9


# --- in a match ---------------------------------------------------------------------------------------------

CITY = tuple(
    Box(west, south, west + 6.0, south + 6.0) for west in range(-44, 44, 12) for south in range(-44, 44, 12)
)


def match_among(boxes: tuple[Box, ...], players: int = 10, **changes: Any) -> Match:
    fives = load_mode(shipped_cards()["teams_of_five"])
    card = replace(fives.card, boxes=boxes, map_half_m=60.0)
    roster = [RosterPlayer(100 + entity, entity % 2, entity) for entity in range(players)]
    config = MatchConfig(UUID(int=3), card, seed=4, match_s=60.0, players=roster, **changes)
    match = Match(config, replace(fives, card=card))
    match.start(np.ones(players, bool), 1)
    return match


def play(match: Match, tick: int, inputs: npt.NDArray[np.int64]) -> None:
    """Play one tick; ``inputs``: [players, 4], move east and north, yaw, buttons."""
    row = match.inputs.rows[:, tick % match.inputs.rows.shape[1]]
    row[:, 0] = match.inputs.newest[:] = tick
    row[:, 1:5] = inputs
    row[:, 5] = tick
    match.apply(tick)
    match.simulate()


def test_nobody_is_ever_inside_a_box_from_the_first_spawn_to_the_last_respawn() -> None:
    match, generator = match_among(CITY), np.random.default_rng(1)
    world = match.world
    for tick in range(1, 1_500):
        wishes = np.zeros((10, 4), np.int64)
        wishes[:, :2] = generator.integers(-127, 128, (10, 2)) if tick % 20 == 1 else wishes[:, :2]
        wishes[:, 2] = generator.integers(0, 65_536, 10)
        wishes[:, 3] = BUTTON_FIRE
        play(match, tick, wishes)
        for x_m, y_m in world.body[[w.X_M, w.Y_M]].T:
            assert is_free(x_m, y_m, world.boxes)
    assert world.status[w.SHOTS].sum() > 1_000


@pytest.mark.parametrize(("box", "hits"), [(Box(4.0, -1.0, 5.0, 1.0), 0), (Box(4.0, 1.0, 5.0, 2.0), 1)])
def test_who_stands_behind_a_box_is_not_hit(box: Box, hits: int) -> None:
    match = match_among((box,), players=2)
    body = match.world.body
    body[:2] = [[0.0, 10.0], [0.0, 0.0]]
    match.world.position_history[:] = body[:2]
    play(match, 1, np.array([[0, 0, 0, BUTTON_FIRE], [0, 0, 0, 0]]))
    assert match.world.counters[w.HIT_COUNT] == hits


def test_a_life_begins_beside_the_box_that_stands_on_its_place() -> None:
    match = match_among((), players=2)
    corner = match.world.spawns[:, 0] // 1
    boxed = match_among((Box(corner[0] - 2.0, corner[1] - 3.0, corner[0] + 3.0, corner[1] + 3.0),), players=2)
    x_m, y_m = boxed.world.body[:2, 0]
    assert is_free(x_m, y_m, boxed.world.boxes)
    assert 0.5 <= math.dist((x_m, y_m), match.world.spawns[:, 0]) <= 4.0
