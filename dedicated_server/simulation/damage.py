"""Damage, death and respawn: what hits and the zone of a tick do to health.

The zone is a circle that holds its radius, then shrinks evenly to nothing, and hurts every player outside it.

Who was hurt by whom is remembered for ``CREDIT_TICKS``. Whoever leaves within that time was killed by the
last who hurt them, so that nobody denies a kill by leaving; and of a kill, the other one who had hurt the
victim has the assist.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedicated_server.native.compilation import INLINE
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation.boxes import free_place
from dedicated_server.simulation.event_buffer import DEATH, KILL, emit
from dedicated_server.simulation.world import (
    ALIVE,
    CHANGED_TICK,
    DAMAGE_POINTS,
    DEATH_ASSIST,
    DEATH_COUNT,
    DEATH_KILLER,
    DEATH_VICTIM,
    DEATH_WEAPON,
    DEATHS,
    DEATHS_APPLIED,
    DIED_TICK,
    FULL_HEALTH_POINTS,
    HEALTH_POINTS,
    HIT_ACTOR,
    HIT_COUNT,
    HIT_FATAL,
    HIT_POINTS,
    HIT_VICTIM,
    HURT_BY,
    HURT_BY_BEFORE,
    HURT_BY_BEFORE_TICK,
    HURT_BY_TICK,
    HURT_TICK,
    KILLER,
    KILLS,
    MAP_HALF_M,
    NOBODY,
    PRESENT,
    RESPAWN_TICKS,
    START_TICK,
    TAKEN_POINTS,
    TEAM,
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

CREDIT_S: Final = 10.0  # for how long who hurt somebody has a part in what becomes of them
CREDIT_TICKS: Final = round(CREDIT_S * TICK_HZ)


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
def credited(world: World, victim: int, killer: int) -> int:
    """Who, beside ``killer``, has a part in a death: the last of another team to hurt the victim recently.

    NOBODY where there is none.
    """
    status = world.status
    last, before = status[HURT_BY, victim], status[HURT_BY_BEFORE, victim]
    if last != killer and _has_part(world, last, victim, status[HURT_BY_TICK, victim]):
        return int(last)
    if before != killer and _has_part(world, before, victim, status[HURT_BY_BEFORE_TICK, victim]):
        return int(before)
    return NOBODY


@njit(cache=True, nogil=True, **INLINE)
def _has_part(world: World, actor: int, victim: int, tick: int) -> bool:
    """Whether ``actor``, who hurt ``victim`` at ``tick``, is an opponent, and that was not long ago."""
    return bool(
        actor != NOBODY
        and world.counters[TICK] - tick <= CREDIT_TICKS
        and world.status[TEAM, actor] != world.status[TEAM, victim]
    )


@njit(cache=True, nogil=True, **INLINE)
def die(world: World, victim: int, killer: int, weapon: int) -> None:
    """End a life, list the death and emit the event; ``killer`` is NOBODY where no player has the kill.

    ``weapon``: row of World.weapons, NOBODY where no weapon did it.
    """
    status, deaths = world.status, world.deaths
    status[ALIVE, victim] = 0
    status[CHANGED_TICK, victim] = world.counters[TICK]
    status[KILLER, victim] = killer
    status[DEATHS, victim] += 1
    status[DIED_TICK, victim] = world.counters[TICK]
    world.body[HEALTH_POINTS, victim] = 0.0
    assist = NOBODY
    if killer == NOBODY:
        emit(world, DEATH, NOBODY, victim, NOBODY, NOBODY, 0)
    else:
        assist = credited(world, victim, killer)
        status[KILLS, killer] += 1
        emit(world, KILL, killer, victim, weapon, assist, 0)
    death = world.counters[DEATH_COUNT]
    if death < deaths.shape[1]:
        world.counters[DEATH_COUNT] = death + 1
        deaths[DEATH_VICTIM, death] = victim
        deaths[DEATH_KILLER, death] = killer
        deaths[DEATH_ASSIST, death] = assist
        deaths[DEATH_WEAPON, death] = weapon


@njit(cache=True, nogil=True, **INLINE)
def remember_hurt(world: World, victim: int, actor: int) -> None:
    """Note that ``actor`` has hurt ``victim`` in this tick."""
    status = world.status
    if status[HURT_BY, victim] != actor:
        status[HURT_BY_BEFORE, victim] = status[HURT_BY, victim]
        status[HURT_BY_BEFORE_TICK, victim] = status[HURT_BY_TICK, victim]
        status[HURT_BY, victim] = actor
    status[HURT_BY_TICK, victim] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def spawn(world: World, player: int) -> None:
    """Begin a life, unhurt, at the slot's spawn point, or beside the box that stands there.

    That of a dead player who returns, or of a newcomer.
    """
    status = world.status
    status[PRESENT, player] = 1
    status[ALIVE, player] = 1
    status[CHANGED_TICK, player] = world.counters[TICK]
    status[HURT_BY, player] = NOBODY
    status[HURT_BY_BEFORE, player] = NOBODY
    world.body[HEALTH_POINTS, player] = FULL_HEALTH_POINTS
    x_m, y_m = free_place(
        world.spawns[0, player], world.spawns[1, player], world.boxes, world.rules[MAP_HALF_M]
    )
    world.body[X_M, player] = x_m
    world.body[Y_M, player] = y_m


@njit(cache=True, nogil=True, **INLINE)
def vacate(world: World, player: int) -> None:
    """Take the body of a slot that has no player any more; between two ticks.

    A life that ends so is the kill of whoever hurt it last, if that was within ``CREDIT_TICKS``.
    """
    if world.counters[DEATHS_APPLIED]:  # of the tick before: this is the first death of the next
        world.counters[DEATHS_APPLIED] = world.counters[DEATH_COUNT] = 0
    if world.status[ALIVE, player]:
        killer = credited(world, player, NOBODY)
        die(world, player, killer, world.status[WEAPON, killer] if killer != NOBODY else NOBODY)
    world.status[PRESENT, player] = 0


@njit(cache=True, nogil=True, **INLINE)
def come_back(world: World, player: int) -> None:
    """Give a slot that lost its body one again, after the wait of the dead; nothing where dead is dead."""
    if world.rules[RESPAWN_TICKS] > 0.0:
        world.status[PRESENT, player] = 1
        world.status[CHANGED_TICK, player] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def forget_player(world: World, player: int) -> None:
    """Forget whom a slot's last player hurt, and the mode's numbers of them: the next begins without."""
    for row in (HURT_BY, HURT_BY_BEFORE):
        for victim in range(world.status.shape[1]):
            if world.status[row, victim] == player:
                world.status[row, victim] = NOBODY
    for row in range(world.own_players.shape[0]):
        world.own_players[row, player] = 0.0


@njit(cache=True, nogil=True, **INLINE)
def damage(world: World, actor: int, victim: int, points: float, weapon: int = NOBODY) -> bool:
    """Take health points from a living player for another; whether it was the last. Nothing of the dead.

    ``actor``: a player, who has the kill then. ``weapon``: row of World.weapons; NOBODY: the one they carry.
    """
    if not world.status[ALIVE, victim]:
        return False
    taken = min(points, world.body[HEALTH_POINTS, victim])
    world.body[HEALTH_POINTS, victim] -= taken
    world.status[HURT_TICK, victim] = world.counters[TICK]
    world.body[DAMAGE_POINTS, actor] += taken
    world.body[TAKEN_POINTS, victim] += taken
    remember_hurt(world, victim, actor)
    if world.body[HEALTH_POINTS, victim] > 0.0:
        return False
    die(world, victim, actor, world.status[WEAPON, actor] if weapon == NOBODY else weapon)
    return True


@njit(cache=True, nogil=True, **INLINE)
def apply_hit_damage(world: World) -> None:
    """Apply ``world.hits`` in their order. Whoever takes a victim's last point has the kill.

    Later hits change nothing.
    """
    for hit in range(world.counters[HIT_COUNT]):
        points = float(world.hits[HIT_POINTS, hit])
        if damage(world, world.hits[HIT_ACTOR, hit], world.hits[HIT_VICTIM, hit], points):
            world.hits[HIT_FATAL, hit] = 1


@njit(cache=True, nogil=True, **INLINE)
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
                die(world, player, NOBODY, NOBODY)


@njit(cache=True, nogil=True, **INLINE)
def respawn_is_due(world: World, player: int) -> bool:
    """Whether a dead player's next life begins in this tick. Never in modes where dead is dead."""
    status, wait = world.status, np.int64(world.rules[RESPAWN_TICKS])
    is_dead = status[PRESENT, player] and not status[ALIVE, player]
    return bool(wait > 0 and is_dead and world.counters[TICK] - status[CHANGED_TICK, player] >= wait)


@njit(cache=True, nogil=True, **INLINE)
def respawn(world: World) -> None:
    """Spawn the dead players whose wait is over, in modes where the dead return."""
    if world.rules[RESPAWN_TICKS] <= 0.0:
        return
    for player in range(world.body.shape[1]):
        if respawn_is_due(world, player):
            spawn(world, player)
