from __future__ import annotations

import heapq
import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dedicated_server.cards import BODY_M, ModeCard, shipped_cards
from dedicated_server.protocol.movement import box_array, movement_of, run_step
from loadtest.bots.terrain import (
    CORNER_M,
    Terrain,
    is_clear,
    link_corners,
    new_terrain,
    steer,
    step_out,
)

HALF_M = 40.0
STEP_M = 0.1
Place = tuple[float, float]
Boxes = npt.NDArray[np.float64]

# A wall with a gate, an L of two boxes that overlap, and a pillar.
YARD = np.array(
    [
        (-2.0, -40.0, 2.0, -3.0),
        (-2.0, 3.0, 2.0, 40.0),
        (10.0, -10.0, 12.0, 10.0),
        (10.0, 8.0, 25.0, 10.0),
        (-20.0, -4.0, -16.0, 4.0),
    ]
)

places = st.tuples(*2 * [st.floats(-HALF_M, HALF_M)])
boxes_of_maps = st.lists(
    st.tuples(*2 * [st.integers(-30, 25)], *2 * [st.integers(1, 15)]).map(
        lambda box: (float(box[0]), float(box[1]), float(box[0] + box[2]), float(box[1] + box[3]))
    ),
    max_size=8,
).map(lambda found: np.array(found, np.float64).reshape(-1, 4))


def naive_is_clear(boxes: Boxes, start: Place, end: Place, wider_m: float) -> bool:
    """Whether none of very many places along a line is inside a box."""
    along = np.linspace(0.0, 1.0, 4_001)[:, None]
    line = np.array(start) + along * (np.array(end) - np.array(start))
    for west, south, east, north in boxes:
        inside = (line > (west - wider_m, south - wider_m)) & (line < (east + wider_m, north + wider_m))
        if inside.all(axis=1).any():
            return False
    return True


def is_free(boxes: Boxes, place: Place) -> bool:
    return naive_is_clear(boxes, place, place, BODY_M)


def naive_way_m(boxes: Boxes, half_m: float, start: Place, end: Place) -> float:
    """The length of the shortest way, by Dijkstra over the corners of all boxes; infinity without one."""
    out_m = BODY_M + CORNER_M
    stops = [start, end] + [
        (x_m, y_m)
        for west, south, east, north in boxes.tolist()
        for x_m in (west - out_m, east + out_m)
        for y_m in (south - out_m, north + out_m)
        if max(abs(x_m), abs(y_m)) <= half_m and is_free(boxes, (x_m, y_m))
    ]
    reached, waiting = {0: 0.0}, [(0.0, 0)]
    while waiting:
        way_m, here = heapq.heappop(waiting)
        if here == 1:
            return way_m
        for there, stop in enumerate(stops):
            next_m = way_m + math.dist(stops[here], stop)
            if next_m < reached.get(there, math.inf) and _sees(boxes, stops[here], stop):
                reached[there] = next_m
                heapq.heappush(waiting, (next_m, there))
    return math.inf


def _sees(boxes: Boxes, start: Place, end: Place) -> bool:
    return is_clear(boxes, 0, len(boxes), *start, *end, BODY_M)


@settings(deadline=None, max_examples=200)
@given(boxes_of_maps, places, places, st.sampled_from([0.0, BODY_M]))
def test_a_line_is_clear_where_no_place_on_it_is_in_a_box(
    boxes: Boxes, start: Place, end: Place, wider_m: float
) -> None:
    found = is_clear(boxes, 0, len(boxes), *start, *end, wider_m)
    sampled = naive_is_clear(boxes, start, end, wider_m)
    if found != sampled:  # a line that only cuts a corner lies between two samples
        assert not found
        assert naive_is_clear(boxes, start, end, wider_m - 0.1)


def test_to_touch_a_box_is_not_to_go_through_it() -> None:
    box = np.array([(0.0, 0.0, 10.0, 10.0)])
    assert is_clear(box, 0, 1, -5.0, 10.0, 20.0, 10.0, 0.0)
    assert is_clear(box, 0, 1, -5.0, 5.0, 0.0, 5.0, 0.0)
    assert is_clear(box, 0, 1, -5.0, 5.0, 5.0, 15.0, 0.0)
    assert not is_clear(box, 0, 1, -5.0, 9.99, 20.0, 9.99, 0.0)
    assert is_clear(box, 0, 0, -5.0, 5.0, 20.0, 5.0, 0.0)


def hops(terrain: Terrain, start: Place, end: Place) -> list[Place]:
    """The places that a body comes by which always jumps to where it is steered."""
    way = [start]
    while way[-1] != end and len(way) < 60:
        way.append(steer(terrain, 0, *way[-1], *end))
    return way


@settings(deadline=None, max_examples=200)
@given(boxes_of_maps, places, places)
def test_the_way_is_the_shortest_that_there_is(boxes: Boxes, start: Place, end: Place) -> None:
    assume(is_free(boxes, start) and is_free(boxes, end))
    shortest_m = naive_way_m(boxes, HALF_M, start, end)
    terrain = new_terrain([(HALF_M, boxes)])
    if math.isinf(shortest_m):
        assert steer(terrain, 0, *start, *end) == end
        return
    way = hops(terrain, start, end)
    assert way[-1] == end
    assert sum(math.dist(*leg) for leg in pairwise(way)) == pytest.approx(shortest_m, abs=1e-6)


def test_corners_see_each_other_where_no_box_is_in_between() -> None:
    boxes = np.array([(-1.0, -1.0, 1.0, 1.0)])
    corners = np.array([(-2.0, -2.0), (2.0, -2.0), (2.0, 2.0)])
    ways_m = np.zeros((3, 3))
    link_corners(boxes, corners, ways_m)
    assert ways_m[0, 1] == ways_m[1, 2] == 4.0
    assert np.isinf(ways_m[0, 2])
    assert np.diag(ways_m).tolist() == [0.0, 0.0, 0.0]


@settings(deadline=None)
@given(places)
def test_a_place_in_a_box_becomes_one_beside_it_and_others_stay(place: Place) -> None:
    terrain = new_terrain([(HALF_M, YARD)])
    beside = step_out(terrain, 0, *place)
    assert naive_is_clear(YARD, beside, beside, BODY_M - 1e-6)
    assert (beside == place) == is_free(YARD, place)


def test_the_maps_of_several_modes_lie_side_by_side() -> None:
    wall = np.array([(-2.0, -10.0, 2.0, 10.0)])
    terrain = new_terrain([(100.0, np.zeros((0, 4))), (HALF_M, wall), (HALF_M, YARD)])
    assert steer(terrain, 0, -10.0, 0.0, 10.0, 0.0) == (10.0, 0.0)
    assert abs(steer(terrain, 1, -10.0, 0.1, 10.0, 0.1)[1]) == pytest.approx(10.0 + BODY_M + CORNER_M)
    assert steer(terrain, 2, -10.0, 0.0, 8.0, 0.0) == (8.0, 0.0)  # through the gate


SHIPPED = shipped_cards()
WALLED = [name for name, card in SHIPPED.items() if card.boxes]


def walk(card: ModeCard, terrain: Terrain, start: Place, end: Place, most_m: float) -> tuple[Place, float]:
    """Run by ``steer`` and the server's own arithmetic until ``end`` or ``most_m``; where, and how far."""
    movement = movement_of(card)
    (x_m, y_m), run_m = start, 0.0
    while math.dist((x_m, y_m), end) > 0.2 and run_m < most_m:
        to_x_m, to_y_m = steer(terrain, 0, x_m, y_m, *end)
        heading = math.atan2(to_y_m - y_m, to_x_m - x_m)
        move = int(127 * math.cos(heading)), int(127 * math.sin(heading))
        x_m, y_m = run_step(x_m, y_m, *move, movement.step_m, movement.map_half_m, movement.boxes)
        run_m += movement.step_m
    return (x_m, y_m), run_m


@pytest.mark.parametrize("mode", WALLED)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_body_arrives_from_any_free_place_of_a_shipped_map_at_any_other(mode: str, seed: int) -> None:
    card = SHIPPED[mode]
    boxes, generator = box_array(card.boxes), np.random.default_rng(seed)
    terrain = new_terrain([(card.map_half_m, boxes)])

    def free_place() -> Place:
        while True:
            x_m, y_m = generator.uniform(-card.map_half_m, card.map_half_m, 2).tolist()
            if is_free(boxes, (x_m, y_m)):
                return x_m, y_m

    start, end = free_place(), free_place()
    shortest_m = naive_way_m(boxes, card.map_half_m, start, end)
    reached, run_m = walk(card, terrain, start, end, 1.1 * shortest_m + 3.0)
    assert math.dist(reached, end) <= 0.2, (start, end, reached)
    assert run_m >= shortest_m - 0.3
