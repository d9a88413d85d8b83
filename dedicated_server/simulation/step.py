"""Simulate: all that a tick does after the inputs have been played, in one compiled call."""

from __future__ import annotations

from numba import njit

from dedicated_server.compilation import INNER, STAGE
from dedicated_server.simulation.damage import hurt_by_shots, hurt_by_zone, respawn
from dedicated_server.simulation.grid import Grid, fill
from dedicated_server.simulation.shots import judge_shots
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    CORPSE_TICKS,
    ELAPSED,
    HIT_COUNT,
    PRESENT,
    SHOWN,
    TICK,
    TRAIL_TICKS,
    X_M,
    Y_M,
    World,
)


@njit(cache=True, nogil=True, **STAGE)
def simulate(world: World, grid: Grid, playing: bool) -> None:
    """Bring back who is due, remember where all stand, sort them into the grid; then, while ``playing``, judge and hurt."""
    if playing:
        respawn(world)
    remember_positions(world)
    _choose_shown(world)
    fill(grid, world.body[X_M], world.body[Y_M], world.status[SHOWN])
    world.tally[HIT_COUNT] = 0
    if playing:
        judge_shots(world, grid)
        hurt_by_shots(world)
        hurt_by_zone(world)


@njit(cache=True, nogil=True, **STAGE)
def remember_positions(world: World) -> None:
    """Write this tick's row of the trail; ticks that were skipped get the same, for nobody moved in them."""
    tick = world.tally[TICK]
    for back in range(min(max(world.tally[ELAPSED], 1), TRAIL_TICKS)):
        row = (tick - back) % TRAIL_TICKS
        for player in range(world.body.shape[1]):
            world.trail[row, 0, player] = world.body[X_M, player]
            world.trail[row, 1, player] = world.body[Y_M, player]


@njit(cache=True, nogil=True, **INNER)
def _choose_shown(world: World) -> None:
    tick = world.tally[TICK]
    for player in range(world.body.shape[1]):
        lingers = tick - world.status[CHANGED_TICK, player] < CORPSE_TICKS
        world.status[SHOWN, player] = world.status[PRESENT, player] and (
            world.status[ALIVE, player] or lingers
        )
