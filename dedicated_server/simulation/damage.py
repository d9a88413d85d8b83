"""Damage, death and respawn: what hits and the zone of a tick do to health.

The zone is a circle that holds its radius, then shrinks evenly to nothing, and hurts every player outside it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dedicated_server.native.compilation import INLINE, STAGE
from dedicated_server.simulation.event_buffer import DEATH, KILL, emit
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    DAMAGE_POINTS,
    DEATHS,
    FULL_HEALTH_POINTS,
    HEALTH_POINTS,
    HIT_ACTOR,
    HIT_COUNT,
    HIT_FATAL,
    HIT_POINTS,
    HIT_VICTIM,
    HURT_TICK,
    KILLER,
    KILLS,
    NOBODY,
    PRESENT,
    RESPAWN_TICKS,
    START_TICK,
    TAKEN_POINTS,
    TICK,
    WEAPON,
    X_M,
    Y_M,
    ZONE_CLOSED_TICKS,
    ZONE_HOLD_TICKS,
    ZONE_POINTS,
    ZONE_START_M,
    ZONE_X_M,
    ZONE_Y_M,
    World,
)


@njit(cache=True, nogil=True, **INLINE)
def zone_radius_m(world: World) -> float:
    """Radius of the zone in metres at the world's tick."""
    rules = world.rules
    played = float(world.counters[TICK] - world.counters[START_TICK])
    hold, closed = rules[ZONE_HOLD_TICKS], rules[ZONE_CLOSED_TICKS]
    if played <= hold:
        return float(rules[ZONE_START_M])
    if played >= closed:
        return 0.0
    return float(rules[ZONE_START_M] * ((closed - played) / (closed - hold)))


@njit(cache=True, nogil=True, **INLINE)
def zone_closed(world: World) -> bool:
    """Whether the zone has shrunk to nothing."""
    return bool(world.counters[TICK] - world.counters[START_TICK] >= world.rules[ZONE_CLOSED_TICKS])


@njit(cache=True, nogil=True, **INLINE)
def die(world: World, victim: int, killer: int) -> None:
    """End a life and emit the event; ``killer`` is NOBODY where the zone killed or the player left."""
    world.status[ALIVE, victim] = 0
    world.status[CHANGED_TICK, victim] = world.counters[TICK]
    world.status[KILLER, victim] = killer
    world.status[DEATHS, victim] += 1
    world.body[HEALTH_POINTS, victim] = 0.0
    if killer == NOBODY:
        emit(world, DEATH, NOBODY, victim, NOBODY)
    else:
        world.status[KILLS, killer] += 1
        emit(world, KILL, killer, victim, world.status[WEAPON, killer])


@njit(cache=True, nogil=True, **INLINE)
def spawn(world: World, player: int) -> None:
    """Begin a life, unhurt, at the slot's spawn point.

    That of a dead player who returns, or of a newcomer.
    """
    world.status[PRESENT, player] = 1
    world.status[ALIVE, player] = 1
    world.status[CHANGED_TICK, player] = world.counters[TICK]
    world.body[HEALTH_POINTS, player] = FULL_HEALTH_POINTS
    world.body[X_M, player] = world.spawns[0, player]
    world.body[Y_M, player] = world.spawns[1, player]


@njit(cache=True, nogil=True, **STAGE)
def apply_hit_damage(world: World) -> None:
    """Apply ``world.hits`` in their order. Whoever takes a victim's last point has the kill.

    Later hits change nothing.
    """
    for hit in range(world.counters[HIT_COUNT]):
        actor, victim = world.hits[HIT_ACTOR, hit], world.hits[HIT_VICTIM, hit]
        if not world.status[ALIVE, victim]:
            continue
        points = min(float(world.hits[HIT_POINTS, hit]), world.body[HEALTH_POINTS, victim])
        world.body[HEALTH_POINTS, victim] -= points
        world.status[HURT_TICK, victim] = world.counters[TICK]
        world.body[DAMAGE_POINTS, actor] += points
        world.body[TAKEN_POINTS, victim] += points
        if world.body[HEALTH_POINTS, victim] <= 0.0:
            world.hits[HIT_FATAL, hit] = 1
            die(world, victim, actor)


@njit(cache=True, nogil=True, **STAGE)
def apply_zone_damage(world: World) -> None:
    """Take from every player outside the zone what the mode says a tick outside costs."""
    points = world.rules[ZONE_POINTS]
    if points <= 0.0:
        return
    radius = zone_radius_m(world)
    for player in range(world.body.shape[1]):
        if not world.status[ALIVE, player]:
            continue
        east = world.body[X_M, player] - world.rules[ZONE_X_M]
        north = world.body[Y_M, player] - world.rules[ZONE_Y_M]
        if east * east + north * north > radius * radius:
            world.body[TAKEN_POINTS, player] += min(points, world.body[HEALTH_POINTS, player])
            world.body[HEALTH_POINTS, player] -= points
            world.status[HURT_TICK, player] = world.counters[TICK]
            if world.body[HEALTH_POINTS, player] <= 0.0:
                die(world, player, NOBODY)


@njit(cache=True, nogil=True, **STAGE)
def respawn(world: World) -> None:
    """Spawn the dead players whose wait is over, in modes where the dead return."""
    wait = np.int64(world.rules[RESPAWN_TICKS])
    if wait <= 0:
        return
    status = world.status
    for player in range(world.body.shape[1]):
        is_dead = status[PRESENT, player] and not status[ALIVE, player]
        if is_dead and world.counters[TICK] - status[CHANGED_TICK, player] >= wait:
            spawn(world, player)
