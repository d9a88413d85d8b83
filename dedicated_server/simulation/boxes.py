"""Boxes: how far a shot flies before the first, and where beside them there is room for a body.

``boxes``: float64[B, 4], columns as `protocol.movement` names them; a box that is not there is NOWHERE_M.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE, STAGE
from dedicated_server.protocol.movement import BODY_RADIUS_M, EAST_M, NORTH_M, SOUTH_M, WEST_M

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True, **INLINE)
def free_reach(x_m: float, y_m: float, cosine: float, sine: float, reach_m: float, boxes: Floats) -> float:
    """How far a ray from (x_m, y_m) in a direction comes, ``reach_m`` at most, before it meets a box.

    0 from within a box. A ray that runs along an edge does not meet the box.
    """
    for box in range(len(boxes)):
        # The ray is between the box's two edges of an axis while it is from `enters` to `leaves` metres away.
        enters, leaves = 0.0, reach_m
        for axis in range(2):
            start, along = (x_m, cosine) if axis == 0 else (y_m, sine)
            low, high = boxes[box, axis] - start, boxes[box, axis + 2] - start
            if along > 0.0:
                enters, leaves = max(enters, low / along), min(leaves, high / along)
            elif along < 0.0:
                enters, leaves = max(enters, high / along), min(leaves, low / along)
            elif low >= 0.0 or high <= 0.0:
                leaves = -1.0
        if enters < leaves:
            reach_m = enters
    return reach_m


@njit(cache=True, nogil=True, **INLINE)
def is_free(x_m: float, y_m: float, boxes: Floats) -> bool:
    """Whether a body at (x_m, y_m) is in no box; it may touch one."""
    for box in range(len(boxes)):
        if (
            boxes[box, WEST_M] - BODY_RADIUS_M < x_m < boxes[box, EAST_M] + BODY_RADIUS_M
            and boxes[box, SOUTH_M] - BODY_RADIUS_M < y_m < boxes[box, NORTH_M] + BODY_RADIUS_M
        ):
            return False
    return True


@njit(cache=True, nogil=True, **INLINE)
def free_place(x_m: float, y_m: float, boxes: Floats, map_half_m: float) -> tuple[float, float]:
    """The place nearest to (x_m, y_m) on the map where a body is in no box: that place itself, if it is free.

    Where there is none anywhere it is that place, too.
    """
    if len(boxes) == 0 or is_free(x_m, y_m, boxes):
        return x_m, y_m
    found: tuple[float, float] = _nearest_free(x_m, y_m, boxes, map_half_m)
    return found


@njit(cache=True, nogil=True, **STAGE)
def _nearest_free(x_m: float, y_m: float, boxes: Floats, map_half_m: float) -> tuple[float, float]:
    """The nearest free place lies at an edge, with the other coordinate kept or at an edge, too."""
    edges = 2 * len(boxes)
    nearest, found_x, found_y = np.inf, x_m, y_m
    for column in range(edges + 1):
        at_x = x_m if column == edges else _edge(boxes, column, WEST_M)
        east = at_x - x_m
        if abs(at_x) > map_half_m or east * east >= nearest:
            continue
        for row in range(edges + 1):
            at_y = y_m if row == edges else _edge(boxes, row, SOUTH_M)
            square = east * east + (at_y - y_m) * (at_y - y_m)
            if abs(at_y) <= map_half_m and square < nearest and is_free(at_x, at_y, boxes):
                nearest, found_x, found_y = square, at_x, at_y
    return found_x, found_y


@njit(cache=True, nogil=True, **INLINE)
def _edge(boxes: Floats, index: int, axis: int) -> float:
    """Where a body touches one of the two edges of a box along an axis."""
    box = index >> 1
    if index & 1:
        return float(boxes[box, axis + 2] + BODY_RADIUS_M)
    return float(boxes[box, axis] - BODY_RADIUS_M)
