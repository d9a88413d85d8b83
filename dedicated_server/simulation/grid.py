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

from dedicated_server.native.compilation import INLINE, INNER, STAGE
from dedicated_server.native.memory import AllocateZeros

CELLS_PER_PLAYER: Final = 16  # bounds the cells of a large empty map; a cell costs 1 ns a tick
MAX_SIDE: Final = 256


class Grid(NamedTuple):
    """A square of side × side cells over the map, and the N entities in them: players, then objects."""

    cell_m: npt.NDArray[np.float64]  # [1] side of a cell
    start: npt.NDArray[np.int32]  # [side * side + 1] first place of each cell in the arrays below
    entity: npt.NDArray[np.int32]  # [N] entities by cell, in order of entity within a cell
    x_m: npt.NDArray[np.float64]  # [N] their positions, in the same order
    y_m: npt.NDArray[np.float64]
    cell: npt.NDArray[np.int32]  # [N] cell of each entity, -1: not in the grid


def new_grid(
    players: int, map_half_m: float, cell_m: float, zeros: AllocateZeros = np.zeros, *, objects: int = 0
) -> Grid:
    """Allocate a grid over the square map of ``2 * map_half_m`` with cells of at least ``cell_m`` metres.

    For ``players`` and ``objects`` of them.
    """
    entities = players + objects
    finest = max(1, int(2.0 * map_half_m // cell_m))
    affordable = max(4, int(np.sqrt(CELLS_PER_PLAYER * players)))
    side = min(finest, affordable, MAX_SIDE)
    return Grid(
        cell_m=np.array([2.0 * map_half_m / side]),
        start=zeros(side * side + 1, dtype=np.int32),
        entity=zeros(entities, dtype=np.int32),
        x_m=zeros(entities),
        y_m=zeros(entities),
        cell=np.full(entities, -1, dtype=np.int32),
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
    grid: Grid,
    x_m: npt.NDArray[np.float64],
    y_m: npt.NDArray[np.float64],
    shown: npt.NDArray[np.int32],
    objects_x_m: npt.NDArray[np.float64],
    objects_y_m: npt.NDArray[np.float64],
    objects_shown: npt.NDArray[np.int32],
) -> None:
    """Sort the entities whose ``shown`` (int32[N]) is not zero into the cells: players, then objects.

    ``x_m``, ``y_m`` (float64[N]) are metres.
    """
    side, players = side_of(grid), len(x_m)
    start = grid.start
    for cell in range(len(start)):
        start[cell] = 0
    _count(grid, side, 0, x_m, y_m, shown)
    _count(grid, side, players, objects_x_m, objects_y_m, objects_shown)
    for cell in range(1, len(start)):
        start[cell] += start[cell - 1]
    # Each cell's start walks to the next cell's while it is filled, and is moved back by one cell afterwards.
    _put(grid, 0, x_m, y_m)
    _put(grid, players, objects_x_m, objects_y_m)
    for cell in range(len(start) - 1, 0, -1):
        start[cell] = start[cell - 1]
    start[0] = 0


@njit(cache=True, nogil=True, **INNER)
def _count(
    grid: Grid,
    side: int,
    first: int,
    x_m: npt.NDArray[np.float64],
    y_m: npt.NDArray[np.float64],
    shown: npt.NDArray[np.int32],
) -> None:
    """Find the cells of entities ``first`` …, and count them in the start of the cell behind."""
    for index in range(len(x_m)):
        grid.cell[first + index] = -1
        if shown[index]:
            cell = cell_along(grid, side, y_m[index]) * side + cell_along(grid, side, x_m[index])
            grid.cell[first + index] = cell
            grid.start[cell + 1] += 1


@njit(cache=True, nogil=True, **INNER)
def _put(grid: Grid, first: int, x_m: npt.NDArray[np.float64], y_m: npt.NDArray[np.float64]) -> None:
    for index in range(len(x_m)):
        cell = grid.cell[first + index]
        if cell >= 0:
            place = grid.start[cell]
            grid.start[cell] = place + 1
            grid.entity[place] = first + index
            grid.x_m[place] = x_m[index]
            grid.y_m[place] = y_m[index]


@njit(cache=True, nogil=True, **INLINE)
def run_of(grid: Grid, side: int, row: int, first_column: int, last_column: int) -> tuple[int, int]:
    """Places [first, last) of the entities in a row, columns ``first_column`` … ``last_column`` inclusive."""
    base = row * side
    return grid.start[base + first_column], grid.start[base + last_column + 1]
