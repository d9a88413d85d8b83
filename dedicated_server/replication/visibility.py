"""Visibility: the entities within a client's horizon, found through the grid, with hysteresis at its edge.

Team mates and flags are visible at any distance. An object that is not shown is in nobody's view.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE
from dedicated_server.replication.priority import HORIZON_M, LAST_RING, LEAVE_FACTOR, NEWCOMER_TICKS, OUTER_M
from dedicated_server.simulation.grid import Grid, cell_along, run_of, side_of
from dedicated_server.simulation.world import OBJECT_SHOWN, PRESENT, X_M, Y_M, World

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

OUTER_SQUARE: Final[Floats] = OUTER_M**2
HORIZON_SQUARE: Final = HORIZON_M**2
REACH_M: Final = HORIZON_M * LEAVE_FACTOR
LEAVE_SQUARE: Final = REACH_M**2
EDGE: Final = LAST_RING + 1  # beyond the horizon, but not out of reach: stays in view, does not come into it


@njit(cache=True, nogil=True, **INLINE)
def query_neighbours(
    world: World, grid: Grid, mates: Ints, far_seen: Ints, near: Ints, near_square: Floats, client: int
) -> int:
    """List the entities around a client in ``near``, their distances in ``near_square`` (m²).

    Return how many.

    First the client itself; then every entity within REACH_M, the client again if it is shown; then its team
    mates and what is seen from afar, as if at the horizon. ``mates``: the players of its team, itself among
    them. ``far_seen``: as of `interest.Interest`.
    """
    x_m, y_m = world.body[X_M, client], world.body[Y_M, client]
    entities, east_m, north_m = grid.entity, grid.x_m, grid.y_m
    near[0], near_square[0] = client, 0.0
    count = 1
    side = side_of(grid)
    first_column, last_column = cell_along(grid, side, x_m - REACH_M), cell_along(grid, side, x_m + REACH_M)
    for row in range(cell_along(grid, side, y_m - REACH_M), cell_along(grid, side, y_m + REACH_M) + 1):
        first, last = run_of(grid, side, row, first_column, last_column)
        for place in range(first, last):
            east, north = east_m[place] - x_m, north_m[place] - y_m
            square = east * east + north * north
            near[count], near_square[count] = (
                entities[place],
                square,
            )  # overwritten by the next unless in reach
            count += square <= LEAVE_SQUARE
    for mate in mates:
        near[count], near_square[count] = mate, HORIZON_SQUARE
        count += mate != client and world.status[PRESENT, mate] != 0
    players = world.body.shape[1]
    for number in far_seen:
        near[count], near_square[count] = players + number, HORIZON_SQUARE
        count += world.object_status[OBJECT_SHOWN, number] != 0
    return count


@njit(cache=True, nogil=True, **INLINE)
def update_visible_set(
    near: Ints,
    near_square: Floats,
    entity: Ints,
    ring: npt.NDArray[np.uint8],
    sent_tick: Ints,
    count: int,
    left: Ints,
    mark: npt.NDArray[np.uint8],
    least_ring: npt.NDArray[np.uint8],
    tick: int,
) -> tuple[int, int]:
    """Update one client's view to the entities that are near.

    Return how many are in it now, and how many are in ``left``.

    The view is ``entity``, ``ring`` and ``sent_tick``, of which the first ``count`` places are in use.
    Entities that stay keep their order. When ``left`` is full the others stay in view until the next renewal.
    ``mark`` (uint8[E]) is all zeros before and after. ``least_ring``: as of `interest.Interest`.
    """
    for place in range(len(near) - 1, -1, -1):  # backwards: a mate that is near counts as near
        square = near_square[place]
        inner = 0
        for edge in OUTER_SQUARE:
            inner += square > edge
        mark[near[place]] = max(inner, least_ring[near[place]]) + 1
    kept = gone = 0
    for place in range(count):
        other = entity[place]
        if mark[other] == 0 and gone < len(left):
            left[gone] = other
            gone += 1
            continue
        entity[kept] = other
        ring[kept] = min(mark[other] - 1, LAST_RING) if mark[other] > 0 else LAST_RING
        sent_tick[kept] = sent_tick[place]
        mark[other] = 0
        kept += 1
    for other in near:
        if 0 < mark[other] <= EDGE:
            entity[kept] = other
            ring[kept] = mark[other] - 1
            sent_tick[kept] = tick - NEWCOMER_TICKS
            kept += 1
        mark[other] = 0
    return kept, gone
