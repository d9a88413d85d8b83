"""Movement: where one input takes a body. The one arithmetic of the server and of every client's prediction.

A body slides along boxes axis by axis, first east or west, then north or south. Each half of a step is swept,
so no speed carries anybody through a box; and what a body may not enter is the box grown by its radius, the
border of which it may touch. Whoever stands inside a box (it was put up around them) is not held by it.

The edges of boxes lie on the wire's units of 1/64 m. So a body that touches one is on the wire where it is,
and a client that corrects itself by a snapshot is on the same side of the edge as the server has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.card import BODY_M, Box, ModeCard
from dedicated_server.cards.kinds import KIND_NAMES, KIND_OBSTACLE
from dedicated_server.native.compilation import INLINE, njit
from dedicated_server.protocol.fields import POSITION_UNITS_PER_M, TICK_HZ

BODY_RADIUS_M: Final = BODY_M
NOWHERE_M: Final = 1e9  # all four edges of a box that is not there: nothing is ever inside or beyond it

WEST_M, SOUTH_M, EAST_M, NORTH_M = range(4)  # columns of an array of boxes


class Movement(NamedTuple):
    """How a player moves in a mode of play, in the units of one input."""

    step_m: float  # run in one input
    map_half_m: float  # the map is a square of twice this, around its centre
    boxes: npt.NDArray[np.float64]  # [B, 4] metres, columns as named above
    obstacles: int = 0  # entities that may stand in the way, beside the boxes


def box_array(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """The boxes of a card as float64[B, 4], each edge at the nearest of the wire's units."""
    edges = np.array(
        [(box.west_m, box.south_m, box.east_m, box.north_m) for box in boxes], dtype=np.float64
    ).reshape(-1, 4)
    return np.rint(edges * POSITION_UNITS_PER_M) / POSITION_UNITS_PER_M


def movement_of(card: ModeCard) -> Movement:
    """How players move in the card's mode."""
    obstacles = card.objects.get(KIND_NAMES[KIND_OBSTACLE], 0)
    return Movement(card.speed_m_per_s / TICK_HZ, card.map_half_m, box_array(card.boxes), obstacles)


@njit(cache=True, nogil=True, **INLINE)
def run_step(
    x_m: float,
    y_m: float,
    move_x: int,
    move_y: int,
    step_m: float,
    map_half_m: float,
    boxes: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Where one input takes a body, in metres.

    ``move_x``, ``move_y``: −127…127, part of full speed east and north; held to full speed in any direction.
    ``boxes``: float64[B, 4].
    """
    east, north = move_x / 127.0, move_y / 127.0
    square = east * east + north * north
    if square > 1.0:
        length = math.sqrt(square)
        east /= length
        north /= length
    to_x = min(max(x_m + east * step_m, -map_half_m), map_half_m)
    to_y = min(max(y_m + north * step_m, -map_half_m), map_half_m)
    if len(boxes) == 0:
        return to_x, to_y
    to_x = sweep(x_m, to_x, y_m, boxes, WEST_M)
    to_y = sweep(y_m, to_y, to_x, boxes, SOUTH_M)
    return to_x, to_y


@njit(cache=True, nogil=True, **INLINE)
def sweep(start_m: float, end_m: float, aside_m: float, boxes: npt.NDArray[np.float64], axis: int) -> float:
    """How far a body comes from ``start_m`` towards ``end_m`` along an axis, before the first box.

    ``axis``: WEST_M for a step east or west, SOUTH_M for one north or south.
    ``aside_m``: the other coordinate.
    """
    across = SOUTH_M - axis
    for box in range(len(boxes)):
        if not boxes[box, across] - BODY_RADIUS_M < aside_m < boxes[box, across + 2] + BODY_RADIUS_M:
            continue
        low, high = boxes[box, axis] - BODY_RADIUS_M, boxes[box, axis + 2] + BODY_RADIUS_M
        if start_m <= low:
            end_m = min(end_m, low)
        elif start_m >= high:
            end_m = max(end_m, high)
    return end_m
