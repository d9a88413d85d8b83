"""The maps of the modes that a swarm plays: their boxes, and the ways around them.

The shortest way around boxes bends at their corners alone. So a map's corners, and how far it is from each to
each, are worked out once (a visibility graph), and a bot that cannot see where it wants to go heads for the
corner on the shortest way there. A body is a square of half a side `BODY_M`: boxes are that much larger for
it, and a way that is clear for its middle is clear for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dedicated_server.cards import BODY_M
from dedicated_server.native.compilation import INLINE, STAGE, Floats, Longs, njit
from dedicated_server.protocol.movement import EAST_M, NORTH_M, SOUTH_M, WEST_M

CORNER_M: Final = 0.05  # bots go round a corner so much further out than they must


class Terrain(NamedTuple):
    """The maps of M modes, one after the other.

    Attributes:
        boxes: float64[B, 4], west, south, east and north of each box, in metres.
        corners: float64[N, 2], where ways bend, in metres.
        ways_m: float64[W], for each mode an array of n × n: how far it is from corner to corner.
        boxes_from, corners_from, ways_from: int64[M + 1], where those of each mode begin.
        half_m: float64[M], each map is a square of twice this.
    """

    boxes: Floats
    corners: Floats
    ways_m: Floats
    boxes_from: Longs
    corners_from: Longs
    ways_from: Longs
    half_m: Floats


def new_terrain(maps: Sequence[tuple[float, Floats]]) -> Terrain:
    """Work the ways of some maps out.

    Args:
        maps: of each mode, half the side of the map in metres, and float64[B, 4], its boxes.
    """
    corners = [_corners(half_m, boxes) for half_m, boxes in maps]
    ways = [np.empty((len(each), len(each))) for each in corners]
    for (_, boxes), found, way_m in zip(maps, corners, ways, strict=True):
        link_corners(np.ascontiguousarray(boxes, np.float64), found, way_m)
        for corner in range(len(found)):
            np.minimum(way_m, way_m[:, corner, None] + way_m[corner], out=way_m)
    return Terrain(
        boxes=np.concatenate([np.zeros((0, 4)), *(boxes for _, boxes in maps)]),
        corners=np.concatenate([np.zeros((0, 2)), *corners]),
        ways_m=np.concatenate([np.zeros(0), *(each.ravel() for each in ways)]),
        boxes_from=_begins([len(boxes) for _, boxes in maps]),
        corners_from=_begins([len(each) for each in corners]),
        ways_from=_begins([each.size for each in ways]),
        half_m=np.array([half_m for half_m, _ in maps], np.float64),
    )


def _begins(sizes: Sequence[int]) -> Longs:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)


def _corners(half_m: float, boxes: Floats) -> Floats:
    """The corners that a body can be at: float64[N, 2]."""
    out_m = BODY_M + CORNER_M
    found = [
        (x_m, y_m)
        for west, south, east, north in boxes.tolist()
        for x_m in (west - out_m, east + out_m)
        for y_m in (south - out_m, north + out_m)
        if max(abs(x_m), abs(y_m)) <= half_m and not _inside_any(boxes, x_m, y_m)
    ]
    return np.array(found, np.float64).reshape(-1, 2)


def _inside_any(boxes: Floats, x_m: float, y_m: float) -> bool:
    west, south, east, north = boxes.T
    across = (west - BODY_M < x_m) & (x_m < east + BODY_M)
    along = (south - BODY_M < y_m) & (y_m < north + BODY_M)
    return bool((across & along).any())


@njit(cache=True, nogil=True, **STAGE)
def link_corners(boxes: Floats, corners: Floats, ways_m: Floats) -> None:
    """Fill ``ways_m`` [n, n] with the distance between each two corners that see each other, and infinity."""
    count = len(corners)
    for one in range(count):
        for other in range(count):
            x_m, y_m = corners[one, 0], corners[one, 1]
            to_x_m, to_y_m = corners[other, 0], corners[other, 1]
            ways_m[one, other] = np.inf
            if is_clear(boxes, 0, len(boxes), x_m, y_m, to_x_m, to_y_m, BODY_M):
                ways_m[one, other] = np.sqrt((to_x_m - x_m) ** 2 + (to_y_m - y_m) ** 2)


@njit(cache=True, nogil=True, **STAGE)
def is_clear(
    boxes: Floats, first: int, last: int, x_m: float, y_m: float, to_x_m: float, to_y_m: float, wider_m: float
) -> bool:
    """Whether a straight line goes through none of ``boxes[first:last]``, each made wider on all sides.

    To touch a box is not to go through it.
    """
    for box in range(first, last):
        enter, leave = _within(
            x_m, to_x_m, boxes[box, WEST_M] - wider_m, boxes[box, EAST_M] + wider_m, 0.0, 1.0
        )
        if enter < leave:
            enter, leave = _within(
                y_m, to_y_m, boxes[box, SOUTH_M] - wider_m, boxes[box, NORTH_M] + wider_m, enter, leave
            )
            if leave - enter > 1e-9:
                return False
    return True


@njit(cache=True, nogil=True, **INLINE)
def _within(
    start: float, end: float, low: float, high: float, enter: float, leave: float
) -> tuple[float, float]:
    """From when to when a way from ``start`` to ``end`` is between ``low`` and ``high``, in parts of the way;
    no longer than from ``enter`` to ``leave``. It is over before it begins where it never is.
    """
    if end == start:
        return (enter, leave) if low < start < high else (1.0, 0.0)
    one, other = (low - start) / (end - start), (high - start) / (end - start)
    return max(enter, min(one, other)), min(leave, max(one, other))


@njit(cache=True, nogil=True, **STAGE)
def step_out(terrain: Terrain, mode: int, x_m: float, y_m: float) -> tuple[float, float]:
    """The nearest place on the map beside a box for a place in one; any other place is returned as it is."""
    half_m = terrain.half_m[mode]
    x_m, y_m = min(max(x_m, -half_m), half_m), min(max(y_m, -half_m), half_m)
    for _ in range(2):  # beside one box may be in another
        for box in range(terrain.boxes_from[mode], terrain.boxes_from[mode + 1]):
            west, east = terrain.boxes[box, WEST_M] - BODY_M, terrain.boxes[box, EAST_M] + BODY_M
            south, north = terrain.boxes[box, SOUTH_M] - BODY_M, terrain.boxes[box, NORTH_M] + BODY_M
            if west < x_m < east and south < y_m < north:
                out_x_m = west if (x_m - west < east - x_m and west >= -half_m) or east > half_m else east
                out_y_m = (
                    south if (y_m - south < north - y_m and south >= -half_m) or north > half_m else north
                )
                if abs(out_y_m) > half_m or (
                    abs(out_x_m - x_m) < abs(out_y_m - y_m) and abs(out_x_m) <= half_m
                ):
                    x_m = out_x_m
                else:
                    y_m = out_y_m
    return x_m, y_m


@njit(cache=True, nogil=True, **STAGE)
def steer(
    terrain: Terrain, mode: int, x_m: float, y_m: float, to_x_m: float, to_y_m: float
) -> tuple[float, float]:
    """Where to run straight to, on the shortest way to a place: the place itself, or a corner on the way.

    It is the place itself, too, where no way leads there.

    Args:
        terrain: all maps.
        mode: whose map it is.
        x_m, y_m: where the body is.
        to_x_m, to_y_m: where it wants to be. For a place in a box it is the nearest beside it.
    """
    boxes, first, last = terrain.boxes, terrain.boxes_from[mode], terrain.boxes_from[mode + 1]
    if first == last:
        return to_x_m, to_y_m
    x_m, y_m = step_out(terrain, mode, x_m, y_m)
    to_x_m, to_y_m = step_out(terrain, mode, to_x_m, to_y_m)
    if is_clear(boxes, first, last, x_m, y_m, to_x_m, to_y_m, BODY_M):
        return to_x_m, to_y_m
    corners, corners_from = terrain.corners, terrain.corners_from[mode]
    count = terrain.corners_from[mode + 1] - corners_from
    best_m, best = np.inf, -1
    for there in range(count):
        last_x_m, last_y_m = corners[corners_from + there, 0], corners[corners_from + there, 1]
        rest_m = np.sqrt((to_x_m - last_x_m) ** 2 + (to_y_m - last_y_m) ** 2)
        if not is_clear(boxes, first, last, last_x_m, last_y_m, to_x_m, to_y_m, BODY_M):
            continue
        for here in range(count):
            east, north = corners[corners_from + here, 0] - x_m, corners[corners_from + here, 1] - y_m
            begin_m = np.sqrt(east * east + north * north)
            # Of two equal ways the one with the longer beginning: it does not stop at a corner that it is at.
            way_m = begin_m * (1.0 - 1e-9) + terrain.ways_m[terrain.ways_from[mode] + here * count + there]
            if way_m + rest_m < best_m and is_clear(
                boxes, first, last, x_m, y_m, x_m + east, y_m + north, BODY_M
            ):
                best_m, best = way_m + rest_m, here
    if best < 0:
        return to_x_m, to_y_m
    return corners[corners_from + best, 0], corners[corners_from + best, 1]
