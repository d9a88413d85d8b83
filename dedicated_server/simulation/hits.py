"""Hit detection with lag compensation: hit-scan rays against rewound positions, nearest target only.

All shots of a tick are judged before any of their damage is applied. So two players who shoot each other in
the same tick both die, whichever of them comes first in the arrays.

A player sees others late by a round trip and the interpolation delay. Every input says which moment, a server
tick with fraction, the player was shown. Targets are rewound to it, where the player's line explains it
(`movement.believed_view`), by at most ``MAX_REWIND_TICKS``, and never into the future. A claim beyond that is
replaced and counted: claiming a longer delay gains nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedicated_server.native.compilation import INLINE, INNER
from dedicated_server.simulation.boxes import free_reach
from dedicated_server.simulation.grid import Grid, cell_along, run_of, side_of
from dedicated_server.simulation.movement import MAX_STEPS_PER_TICK
from dedicated_server.simulation.world import (
    ALIVE,
    BODY_RADIUS_M,
    CHANGED_TICK,
    CLAMPED_REWINDS,
    HIT_ACTOR,
    HIT_COUNT,
    HIT_FATAL,
    HIT_INPUT,
    HIT_POINTS,
    HIT_VICTIM,
    HITS,
    POSITION_HISTORY_TICKS,
    SHOT_ACTOR,
    SHOT_BELIEVED,
    SHOT_COS,
    SHOT_COUNT,
    SHOT_INPUT,
    SHOT_SIN,
    SHOT_VIEW,
    SHOT_X_M,
    SHOT_Y_M,
    STEP_M,
    TEAM,
    TICK,
    WEAPON,
    WEAPON_DAMAGE_POINTS,
    WEAPON_RANGE_M,
    World,
)

MAX_REWIND_TICKS: Final = 15  # 250 ms at 60 Hz: with more, victims were hit long after they had taken cover


@njit(cache=True, nogil=True, **INLINE)
def clamp_view(world: World, view: float) -> float:
    """The tick that a shot is judged at: ``view`` clamped to the last ``MAX_REWIND_TICKS``.

    NaN counts as the oldest.
    """
    now = float(world.counters[TICK])
    oldest = max(now - MAX_REWIND_TICKS, 0.0)
    if not view >= oldest:
        return oldest
    return min(view, now)


@njit(cache=True, nogil=True, **INLINE)
def position_at(world: World, entity: int, view: float) -> tuple[float, float]:
    """Where ``entity`` stood at tick ``view``, metres; linear between two ticks, as the client shows it."""
    tick = int(view)
    fraction = view - tick
    row = tick % POSITION_HISTORY_TICKS
    x_m, y_m = world.position_history[row, 0, entity], world.position_history[row, 1, entity]
    if fraction > 0.0:
        following = (tick + 1) % POSITION_HISTORY_TICKS
        x_m += fraction * (world.position_history[following, 0, entity] - x_m)
        y_m += fraction * (world.position_history[following, 1, entity] - y_m)
    return x_m, y_m


NO_ONE: Final = -1


@njit(cache=True, nogil=True, **INLINE)
def resolve_hits(world: World, grid: Grid) -> None:
    """Fill ``world.hits`` from ``world.shots``.

    ``grid`` holds this tick's positions of all who can be hit.
    """
    world.counters[HIT_COUNT] = 0
    for shot in range(world.counters[SHOT_COUNT]):
        actor = int(world.shots[SHOT_ACTOR, shot])
        view = clamp_view(world, world.shots[SHOT_BELIEVED, shot])
        if view != world.shots[SHOT_VIEW, shot]:
            world.status[CLAMPED_REWINDS, actor] += 1
        victim = _first_on_ray(world, grid, shot, actor, view)
        if victim != NO_ONE:
            hit = world.counters[HIT_COUNT]
            world.counters[HIT_COUNT] = hit + 1
            world.status[HITS, actor] += 1
            world.hits[HIT_ACTOR, hit] = actor
            world.hits[HIT_VICTIM, hit] = victim
            world.hits[HIT_POINTS, hit] = np.int32(
                world.weapons[world.status[WEAPON, actor], WEAPON_DAMAGE_POINTS]
            )
            world.hits[HIT_FATAL, hit] = 0
            world.hits[HIT_INPUT, hit] = np.int32(world.shots[SHOT_INPUT, shot])


@njit(cache=True, nogil=True, **INNER)
def _first_on_ray(world: World, grid: Grid, shot: int, actor: int, view: float) -> int:
    """The nearest living opponent whose rewound body the ray meets within range; NO_ONE where there is none.

    Of two opponents at one distance it is the lower entity.
    """
    status = world.status
    from_x, from_y = world.shots[SHOT_X_M, shot], world.shots[SHOT_Y_M, shot]
    cosine, sine = world.shots[SHOT_COS, shot], world.shots[SHOT_SIN, shot]
    reach = free_reach(
        from_x, from_y, cosine, sine, world.weapons[status[WEAPON, actor], WEAPON_RANGE_M], world.boxes
    )
    # The grid knows where everyone is now; on the shooter's screen they were within this distance of it.
    margin = BODY_RADIUS_M + world.rules[STEP_M] * (MAX_REWIND_TICKS + MAX_STEPS_PER_TICK)
    side, players = side_of(grid), status.shape[1]
    first_column = cell_along(grid, side, min(from_x, from_x + cosine * reach) - margin)
    last_column = cell_along(grid, side, max(from_x, from_x + cosine * reach) + margin)
    first_row = cell_along(grid, side, min(from_y, from_y + sine * reach) - margin)
    last_row = cell_along(grid, side, max(from_y, from_y + sine * reach) + margin)
    nearest, victim = reach, NO_ONE
    for row in range(first_row, last_row + 1):
        first, last = run_of(grid, side, row, first_column, last_column)
        for place in range(first, last):
            target = grid.entity[place]
            if target >= players:
                continue  # an object
            if not status[ALIVE, target] or target == actor or status[TEAM, target] == status[TEAM, actor]:
                continue
            if status[CHANGED_TICK, target] > view:
                continue  # on the shooter's screen this one was not here yet
            x_m, y_m = position_at(world, target, view)
            east, north = x_m - from_x, y_m - from_y
            along = east * cosine + north * sine
            if along < 0.0 or along > nearest:
                continue
            aside = east * sine - north * cosine
            if aside * aside > BODY_RADIUS_M * BODY_RADIUS_M:
                continue
            if along < nearest or victim == NO_ONE or target < victim:
                nearest, victim = along, target
    return victim
