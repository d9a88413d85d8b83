"""World to wire.

The result of a tick as entity records, the state of the match, and reliable messages of hits and kills.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INNER, STAGE
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    FLAG_CONNECTED,
    FLAG_FIRING,
    FLAG_HURT,
    FLAG_OUTSIDE_ZONE,
    pack_player,
    store_record,
)
from dedicated_server.protocol.fields import (
    MATCH_ALIVE,
    MATCH_COUNTDOWN,
    MATCH_PHASE,
    MATCH_ZONE_RADIUS,
    MATCH_ZONE_X,
    MATCH_ZONE_Y,
    POSITION_UNITS_PER_M,
    RELIABLE_HIT,
    RELIABLE_KILL,
    RELIABLE_MATCH_OVER,
    quantise_position,
)
from dedicated_server.protocol.server.reliable import queue_reliable
from dedicated_server.protocol.server.state import INPUT_APPLIED, ServerState
from dedicated_server.simulation.damage import zone_radius_m
from dedicated_server.simulation.heading import TURN
from dedicated_server.simulation.world import (
    ALIVE,
    APPLIED_INPUT,
    CHANGED_TICK,
    FIRING,
    HEALTH_POINTS,
    HIT_ACTOR,
    HIT_COUNT,
    HIT_INPUT,
    HIT_POINTS,
    HIT_VICTIM,
    HURT_TICK,
    KILLER,
    TICK,
    WEAPON,
    X_M,
    Y_M,
    YAW,
    ZONE_X_M,
    ZONE_Y_M,
    World,
)

RADIANS: Final = 2.0 * math.pi / TURN
HURT_TICKS: Final = 12  # how long the flag shows: a fifth of a second, longer than any ring's period
ZONE_KILLER: Final = 0xFFFF
MAX_COUNTDOWN_TICKS: Final = 0xFFFF
EVERYBODY: Final = -1


@njit(cache=True, nogil=True, **STAGE)
def replicate_world(
    world: World,
    wire: ServerState,
    records: npt.NDArray[np.int64],
    match_state: npt.NDArray[np.int32],
    phase: int,
    countdown_ticks: int,
) -> None:
    """Fill ``records`` (int64[N, RECORD_WORDS]), ``match_state`` (int32[6]) and the wire's inputs applied.

    Queue the tick's hits and kills.
    """
    status, tick = world.status, world.counters[TICK]
    radius = zone_radius_m(world)
    alive = 0
    for player in range(len(records)):
        east = world.body[X_M, player] - world.rules[ZONE_X_M]
        north = world.body[Y_M, player] - world.rules[ZONE_Y_M]
        flags = 0
        if status[ALIVE, player]:
            flags |= FLAG_ALIVE
            alive += 1
        if status[FIRING, player]:
            flags |= FLAG_FIRING
        if east * east + north * north > radius * radius:
            flags |= FLAG_OUTSIDE_ZONE
        if status[HURT_TICK, player] > 0 and tick - status[HURT_TICK, player] < HURT_TICKS:
            flags |= FLAG_HURT
        if wire.status[player] == CONNECTED:
            flags |= FLAG_CONNECTED
        record = pack_player(
            world.body[X_M, player],
            world.body[Y_M, player],
            status[YAW, player] * RADIANS,
            math.ceil(world.body[HEALTH_POINTS, player]),
            flags,
        )
        store_record(records[player], record)
        wire.per_slot[INPUT_APPLIED, player] = status[APPLIED_INPUT, player]
    match_state[MATCH_PHASE] = phase
    match_state[MATCH_ZONE_X] = quantise_position(world.rules[ZONE_X_M])
    match_state[MATCH_ZONE_Y] = quantise_position(world.rules[ZONE_Y_M])
    match_state[MATCH_ZONE_RADIUS] = round(radius * POSITION_UNITS_PER_M)
    match_state[MATCH_ALIVE] = alive
    match_state[MATCH_COUNTDOWN] = min(max(countdown_ticks, 0), MAX_COUNTDOWN_TICKS)
    _queue_combat_events(world, wire, alive)


@njit(cache=True, nogil=True, **INNER)
def _queue_combat_events(world: World, wire: ServerState, alive: int) -> None:
    """Queue hits for their shooters and kills for everybody.

    The wire repeats them until they are acknowledged.
    """
    tick = world.counters[TICK]
    for hit in range(world.counters[HIT_COUNT]):
        hit_bits = world.hits[HIT_VICTIM, hit] | (world.hits[HIT_POINTS, hit] << 16)
        queue_reliable(wire, world.hits[HIT_ACTOR, hit], RELIABLE_HIT, hit_bits, world.hits[HIT_INPUT, hit])
    for victim in range(world.body.shape[1]):
        if not world.status[ALIVE, victim] and world.status[CHANGED_TICK, victim] == tick:
            killer = world.status[KILLER, victim]
            weapon = world.status[WEAPON, killer] if killer >= 0 else 0
            pair = (killer if killer >= 0 else ZONE_KILLER) | (victim << 16)
            queue_reliable(wire, EVERYBODY, RELIABLE_KILL, pair, weapon | (alive << 16))


@njit(cache=True, nogil=True, **STAGE)
def queue_match_over(
    wire: ServerState, placements: npt.NDArray[np.int32], kills: npt.NDArray[np.int32], winner: int
) -> None:
    """Queue for every client its own placement and kills (int32[N] each), and the winner's entity."""
    for player in range(len(placements)):
        queue_reliable(
            wire,
            player,
            RELIABLE_MATCH_OVER,
            placements[player] | (winner << 16),
            kills[player],
        )
