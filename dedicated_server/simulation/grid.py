"""A uniform grid for neighbour queries, filled anew each tick by a counting sort.

After the sort the entities of one row of cells lie side by side, so a square neighbourhood is a few
contiguous runs of ``entity``, ``x_m`` and ``y_m``: a query reads memory forwards and never follows a list.
Filling it is O(N + cells).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE, STAGE
from dedicated_server.native.memory import AllocateZeros

CELLS_PER_PLAYER: Final = 16  # bounds the cells of a large empty map; a cell costs 1 ns a tick
MAX_SIDE: Final = 256


class Grid(NamedTuple):
    """A square of side × side cells over the map, and the entities in them. N entities at most."""

    cell_m: npt.NDArray[np.float64]  # [1] side of a cell
    start: npt.NDArray[np.int32]  # [side * side + 1] first place of each cell in the arrays below
    entity: npt.NDArray[np.int32]  # [N] entities by cell, in order of entity within a cell
    x_m: npt.NDArray[np.float64]  # [N] their positions, in the same order
    y_m: npt.NDArray[np.float64]
    cell: npt.NDArray[np.int32]  # [N] cell of each entity, -1: not in the grid


def new_grid(players: int, map_half_m: float, cell_m: float, zeros: AllocateZeros = np.zeros) -> Grid:
    """Allocate a grid over the square map of ``2 * map_half_m`` with cells of at least ``cell_m`` metres."""
    finest = max(1, int(2.0 * map_half_m // cell_m))
    affordable = max(4, int(np.sqrt(CELLS_PER_PLAYER * players)))
    side = min(finest, affordable, MAX_SIDE)
    return Grid(
        cell_m=np.array([2.0 * map_half_m / side]),
        start=zeros(side * side + 1, dtype=np.int32),
        entity=zeros(players, dtype=np.int32),
        x_m=zeros(players),
        y_m=zeros(players),
        cell=np.full(players, -1, dtype=np.int32),
    )


@njit(cache=True, nogil=True, **INLINE)
def side_of(grid: Grid) -> int:
    """Cells along one side."""
    return int(np.sqrt(float(len(grid.start) - 1)) + 0.5)


@njit(cache=True, nogil=True, **INLINE)
def cell_along(grid: Grid, side: int, position_m: float) -> int:
    """Column or row of a coordinate, clamped to the map."""
    index = int(np.floor(position_m / grid.cell_m[0] + 0.5 * side))
    return min(max(index, 0), side - 1)


@njit(cache=True, nogil=True, **STAGE)
def fill(
    grid: Grid, x_m: npt.NDArray[np.float64], y_m: npt.NDArray[np.float64], shown: npt.NDArray[np.int32]
) -> None:
    """Sort the entities whose ``shown`` (int32[N]) is not zero into the cells.

    ``x_m``, ``y_m`` (float64[N]) are metres.
    """
    side = side_of(grid)
    start = grid.start
    for cell in range(len(start)):
        start[cell] = 0
    for entity in range(len(x_m)):
        grid.cell[entity] = -1
        if shown[entity]:
            cell = cell_along(grid, side, y_m[entity]) * side + cell_along(grid, side, x_m[entity])
            grid.cell[entity] = cell
            start[cell + 1] += 1
    for cell in range(1, len(start)):
        start[cell] += start[cell - 1]
    # Each cell's start walks to the next cell's while it is filled, and is moved back by one cell afterwards.
    for entity in range(len(x_m)):
        cell = grid.cell[entity]
        if cell >= 0:
            place = start[cell]
            start[cell] = place + 1
            grid.entity[place] = entity
            grid.x_m[place] = x_m[entity]
            grid.y_m[place] = y_m[entity]
    for cell in range(len(start) - 1, 0, -1):
        start[cell] = start[cell - 1]
    start[0] = 0


@njit(cache=True, nogil=True, **INLINE)
def run_of(grid: Grid, side: int, row: int, first_column: int, last_column: int) -> tuple[int, int]:
    """Places [first, last) of the entities in a row, columns ``first_column`` … ``last_column`` inclusive."""
    base = row * side
    return grid.start[base + first_column], grid.start[base + last_column + 1]
