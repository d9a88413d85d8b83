"""Combat hints: that there is fighting far away, in which direction and how heavy.

Never who fights, nor where.

Shots heat the coarse cell of the map in which they are fired; heat fades with a half-life of two seconds.
Each client is told, for each of eight directions, how hot the map is beyond its horizon. Clients take turns:
the hints of each are renewed four times a second.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE, INNER, STAGE
from dedicated_server.native.memory import AllocateZeros
from dedicated_server.replication.priority import HORIZON_M
from dedicated_server.simulation.world import (
    MAP_HALF_M,
    SHOT_COUNT,
    SHOT_X_M,
    SHOT_Y_M,
    TICK,
    X_M,
    Y_M,
    World,
)

SIDE: Final = 20  # cells along the map: 100 m on one of 2 km
TURNS: Final = 15  # ticks until a client's hints are made anew
FADE: Final = 0.5 ** (1.0 / 120.0)  # per tick
COLD: Final = 0.05
LEVELS: Final = (1.0, 4.0, 16.0)  # heat from which intensity is 1, 2, 3: a shot, a duel, a battle
OCTANTS: Final = 8
EIGHTH: Final = math.tan(math.pi / 8)  # the slope between the octant of east and that of north-east


class CombatHints(NamedTuple):
    """The heat map, and the hints of N clients."""

    heatmap: npt.NDArray[np.float64]  # [SIDE * SIDE] shots, faded
    # [N] 2 bits of intensity per octant, counter-clockwise, octant 0 (east) in the lowest
    hint_bits: npt.NDArray[np.int32]
    octant_heat: npt.NDArray[np.float64]  # [OCTANTS] scratch
    hot: npt.NDArray[np.int32]  # [SIDE * SIDE + 1] scratch: cells that are not cold


def new_combat_hints(players: int, zeros: AllocateZeros = np.zeros) -> CombatHints:
    """Allocate for ``players`` clients: no heat, no hints."""
    return CombatHints(
        zeros(SIDE * SIDE),
        zeros(players, dtype=np.int32),
        zeros(OCTANTS),
        zeros(SIDE * SIDE + 1, dtype=np.int32),
    )


@njit(cache=True, nogil=True, **INLINE)
def octant_of(east: float, north: float) -> int:
    """Which eighth of the horizon, 0 around east, counter-clockwise."""
    flat, steep = abs(north) <= EIGHTH * abs(east), abs(east) < EIGHTH * abs(north)
    if flat:
        return 0 if east >= 0 else 4
    if steep:
        return 2 if north >= 0 else 6
    if north > 0:
        return 1 if east > 0 else 3
    return 5 if east < 0 else 7


@njit(cache=True, nogil=True, **STAGE)
def update_combat_hints(world: World, hints: CombatHints) -> None:
    """Heat the map with this tick's shots, let it fade, and renew the hints of the clients in turn."""
    half = world.rules[MAP_HALF_M]
    cell_m = 2.0 * half / SIDE
    for cell in range(len(hints.heatmap)):
        hints.heatmap[cell] *= FADE
    for shot in range(world.counters[SHOT_COUNT]):
        column = min(max(int((world.shots[SHOT_X_M, shot] + half) / cell_m), 0), SIDE - 1)
        row = min(max(int((world.shots[SHOT_Y_M, shot] + half) / cell_m), 0), SIDE - 1)
        hints.heatmap[row * SIDE + column] += 1.0
    hot = 0
    for cell in range(len(hints.heatmap)):
        hints.hot[hot] = cell  # overwritten by the next unless it is hot
        hot += hints.heatmap[cell] > COLD
    for client in range(world.counters[TICK] % TURNS, len(hints.hint_bits), TURNS):
        hints.hint_bits[client] = _hint_for(world, hints, hints.hot[:hot], client, cell_m)


@njit(cache=True, nogil=True, **INNER)
def _hint_for(
    world: World, hints: CombatHints, hot: npt.NDArray[np.int32], client: int, cell_m: float
) -> int:
    hints.octant_heat[:] = 0.0
    middle = 0.5 * (SIDE - 1)
    for cell in hot:
        north = (cell // SIDE - middle) * cell_m - world.body[Y_M, client]
        east = (cell % SIDE - middle) * cell_m - world.body[X_M, client]
        if east * east + north * north > HORIZON_M * HORIZON_M:
            hints.octant_heat[octant_of(east, north)] += hints.heatmap[cell]
    bits = 0
    for octant in range(OCTANTS):
        intensity = 0
        for level in LEVELS:
            intensity += hints.octant_heat[octant] >= level
        bits |= intensity << (2 * octant)
    return bits
