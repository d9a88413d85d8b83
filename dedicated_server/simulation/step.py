"""Simulate: all that a tick does after the inputs have been played, in one compiled call."""

from __future__ import annotations

from numba import njit

from dedicated_server.compilation import INNER, STAGE
from dedicated_server.simulation.damage import apply_hit_damage, apply_zone_damage, respawn
from dedicated_server.simulation.grid import Grid, fill
from dedicated_server.simulation.hits import resolve_hits
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    CORPSE_TICKS,
    ELAPSED,
    HIT_COUNT,
    POSITION_HISTORY_TICKS,
    PRESENT,
    SHOWN,
    TICK,
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
    world.counters[HIT_COUNT] = 0
    if playing:
        resolve_hits(world, grid)
        apply_hit_damage(world)
        apply_zone_damage(world)


@njit(cache=True, nogil=True, **STAGE)
def remember_positions(world: World) -> None:
    """Write this tick's row of the trail; ticks that were skipped get the same, for nobody moved in them."""
    tick = world.counters[TICK]
    for back in range(min(max(world.counters[ELAPSED], 1), POSITION_HISTORY_TICKS)):
        row = (tick - back) % POSITION_HISTORY_TICKS
        for player in range(world.body.shape[1]):
            world.position_history[row, 0, player] = world.body[X_M, player]
            world.position_history[row, 1, player] = world.body[Y_M, player]


@njit(cache=True, nogil=True, **INNER)
def _choose_shown(world: World) -> None:
    tick = world.counters[TICK]
    for player in range(world.body.shape[1]):
        lingers = tick - world.status[CHANGED_TICK, player] < CORPSE_TICKS
        world.status[SHOWN, player] = world.status[PRESENT, player] and (
            world.status[ALIVE, player] or lingers
        )
