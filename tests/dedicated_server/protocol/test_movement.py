"""Movement with boxes, against a body that goes a two-hundredth of each step at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedicated_server.cards import Box, shipped_cards
from dedicated_server.protocol.fields import POSITION_UNITS_PER_M
from dedicated_server.protocol.movement import (
    BODY_RADIUS_M,
    NOWHERE_M,
    SOUTH_M,
    WEST_M,
    box_array,
    movement_of,
    run_step,
    sweep,
)

HALF_M = 20.0
PARTS = 200
NO_BOXES = np.zeros((0, 4))

Boxes = npt.NDArray[np.float64]

edge = st.integers(-22 * 4, 22 * 4).map(lambda quarters: quarters / 4)
coordinate = st.floats(-HALF_M, HALF_M) | edge.map(lambda metres: min(max(metres, -HALF_M), HALF_M))
move = st.integers(-128, 127) | st.sampled_from([-127, 0, 127])


@st.composite
def box_lists(draw: Any) -> Boxes:
    """Boxes that may overlap, touch, lie in one line, and stand over the map's edge."""
    boxes = []
    for _ in range(draw(st.integers(1, 12))):
        west, south = draw(edge), draw(edge)
        size = st.integers(1, 40).map(lambda quarters: quarters / 4)
        boxes.append((west, south, west + draw(size), south + draw(size)))
    return np.array(boxes)


def inside(x_m: float, y_m: float, box: npt.NDArray[np.float64]) -> bool:
    west, south, east, north = box
    return bool(
        west - BODY_RADIUS_M < x_m < east + BODY_RADIUS_M
        and south - BODY_RADIUS_M < y_m < north + BODY_RADIUS_M
    )


def walked(at: tuple[float, float], east_m: float, north_m: float, boxes: Boxes) -> tuple[float, float]:
    """East or west first, then north or south; a part that would enter a box ends the way along its axis."""
    x_m, y_m = at
    for along_m, is_east in ((east_m, True), (north_m, False)):
        for _ in range(PARTS):
            to_x = x_m + along_m / PARTS if is_east else x_m
            to_y = y_m if is_east else y_m + along_m / PARTS
            if any(inside(to_x, to_y, box) and not inside(x_m, y_m, box) for box in boxes):
                break
            x_m, y_m = min(max(to_x, -HALF_M), HALF_M), min(max(to_y, -HALF_M), HALF_M)
    return x_m, y_m


@settings(max_examples=300, deadline=None)
@given(
    boxes=box_lists(),
    x_m=coordinate,
    y_m=coordinate,
    move_x=move,
    move_y=move,
    step_m=st.sampled_from([0.1, 0.5, 3.0, 100.0]),
)
@example(np.array([[1.0, -5.0, 2.0, 5.0]]), 0.5, 0.0, 127, 0, 0.1)  # at the edge, straight into it
@example(np.array([[1.0, 1.0, 2.0, 2.0]]), 0.5, 0.5, 127, 127, 0.1)  # at the corner, straight into it
@example(np.array([[1.0, -5.0, 1.25, 5.0]]), 0.0, 0.0, 127, 0, 100.0)  # a thin wall at any speed
@example(np.array([[18.0, -5.0, 19.4, 5.0]]), 20.0, 0.0, -127, 0, 3.0)  # behind one at the map's edge
@example(np.array([[-1.0, -1.0, 1.0, 1.0]]), 0.0, 0.0, 127, 30, 0.1)  # inside
def test_a_body_goes_as_far_as_one_that_feels_its_way(
    boxes: Boxes, x_m: float, y_m: float, move_x: int, move_y: int, step_m: float
) -> None:
    length = max(math.hypot(move_x, move_y) / 127.0, 1.0)
    east_m, north_m = move_x / 127.0 / length * step_m, move_y / 127.0 / length * step_m
    ends = run_step(x_m, y_m, move_x, move_y, step_m, HALF_M, boxes)
    felt = walked((x_m, y_m), east_m, north_m, boxes)
    part_m = step_m / PARTS
    # Where the way along the first axis ends decides what is in the way along the second.
    if not any(_is_close_call(felt[0], ends[0], box, part_m) for box in boxes):
        assert math.dist(ends, felt) <= 2.0 * part_m + 1e-9
    for box in boxes:
        assert inside(x_m, y_m, box) or not inside(*ends, box)
    assert max(abs(ends[0]), abs(ends[1])) <= HALF_M
    assert min(x_m, x_m + east_m) - 1e-12 <= ends[0] <= max(x_m, x_m + east_m) + 1e-12


def _is_close_call(felt_x: float, ends_x: float, box: npt.NDArray[np.float64], part_m: float) -> bool:
    edges = (box[0] - BODY_RADIUS_M, box[2] + BODY_RADIUS_M)
    return any(abs(each - edge_m) <= 2.0 * part_m + 1e-9 for each in (felt_x, ends_x) for edge_m in edges)


@settings(deadline=None)
@given(x_m=coordinate, y_m=coordinate, moves=st.tuples(move, move), step_m=st.floats(0.01, 5.0))
def test_without_boxes_a_step_is_to_the_last_bit_what_it_was(
    x_m: float, y_m: float, moves: tuple[int, int], step_m: float
) -> None:
    east, north = moves[0] / 127.0, moves[1] / 127.0
    square = east * east + north * north
    if square > 1.0:
        length = math.sqrt(square)
        east /= length
        north /= length
    expected = (
        min(max(x_m + east * step_m, -HALF_M), HALF_M),
        min(max(y_m + north * step_m, -HALF_M), HALF_M),
    )
    far = np.array([[1e6, 1e6, 1e6 + 1, 1e6 + 1], [NOWHERE_M] * 4])
    assert run_step(x_m, y_m, *moves, step_m, HALF_M, NO_BOXES) == expected
    assert run_step(x_m, y_m, *moves, step_m, HALF_M, far) == expected


@settings(max_examples=100, deadline=None)
@given(boxes=box_lists(), x_m=coordinate, y_m=coordinate, wishes=st.lists(st.tuples(move, move), max_size=60))
def test_nobody_ever_walks_into_a_box(
    boxes: Boxes, x_m: float, y_m: float, wishes: list[tuple[int, int]]
) -> None:
    for move_x, move_y in wishes:
        held = [inside(x_m, y_m, box) for box in boxes]
        x_m, y_m = run_step(x_m, y_m, move_x, move_y, 0.4, HALF_M, boxes)
        for box, was_inside in zip(boxes, held, strict=True):
            assert was_inside or not inside(x_m, y_m, box)


def test_a_body_slides_along_a_wall() -> None:
    wall = np.array([[1.0, -10.0, 2.0, 10.0]])
    x_m, y_m = run_step(0.5, 0.0, 90, 90, 0.1, HALF_M, wall)
    assert x_m == 0.5
    assert y_m == pytest.approx(0.1 / 2**0.5)


def test_a_sweep_ends_at_the_nearest_of_several_boxes() -> None:
    boxes = np.array([[9.0, -1.0, 10.0, 1.0], [4.0, -1.0, 5.0, 1.0], [6.0, -1.0, 7.0, 1.0]])
    assert sweep(0.0, 20.0, 0.0, boxes, WEST_M) == 3.5
    assert sweep(20.0, 0.0, 0.0, boxes, WEST_M) == 10.5
    assert sweep(-20.0, 20.0, 4.5, boxes, SOUTH_M) == -1.5
    assert sweep(0.0, 20.0, 1.5, boxes, WEST_M) == 20.0  # along the edge that all have


def test_the_edges_of_a_cards_boxes_lie_where_the_wire_can_say_them() -> None:
    boxes = box_array([Box(1.003, -2.0, 3.3333, 4.5)])
    assert (boxes * POSITION_UNITS_PER_M == np.rint(boxes * POSITION_UNITS_PER_M)).all()
    assert np.abs(boxes - [[1.003, -2.0, 3.3333, 4.5]]).max() <= 0.5 / POSITION_UNITS_PER_M
    assert box_array([]).shape == (0, 4)


def test_a_cards_movement_is_that_of_its_numbers() -> None:
    card = shipped_cards()["capture_the_flag"]
    step_m, half_m, boxes, obstacles = movement_of(card)
    assert (step_m, half_m, len(boxes), obstacles) == (
        card.speed_m_per_s / 60,
        card.map_half_m,
        len(card.boxes),
        0,
    )
