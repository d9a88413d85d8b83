"""World to wire.

The result of a tick as entity records, the state of the match, and reliable messages of hits and kills.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards.kinds import KIND_FLAG
from dedicated_server.native.compilation import INNER, STAGE, int64
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
    CLIENT_TICK_MASK,
    HEALTH_NOT_SHOWN,
    MATCH_ALIVE,
    MATCH_COUNTDOWN,
    MATCH_OBJECTIVES,
    MATCH_OBJECTIVES_AT,
    MATCH_PHASE,
    MATCH_SCORES,
    MATCH_SCORES_AT,
    MATCH_ZONE_RADIUS,
    MATCH_ZONE_X,
    MATCH_ZONE_Y,
    MAX_OBJECTIVES,
    MAX_SCORES,
    OBJECTIVE_CARRIER,
    OBJECTIVE_COLUMNS,
    OBJECTIVE_STATE,
    OBJECTIVE_TEAM,
    POSITION_UNITS_PER_M,
    SHOWN_TO_EVERYBODY,
    quantise_position,
)
from dedicated_server.protocol.reliable_kinds import (
    RELIABLE_HIT,
    RELIABLE_KILL,
    RELIABLE_MATCH_OVER,
)
from dedicated_server.protocol.server.reliable import queue_reliable
from dedicated_server.protocol.server.state import INPUT_APPLIED, PACE, ServerState
from dedicated_server.protocol.server.vitals import note_vitals
from dedicated_server.replication.entity_records import RADIANS, write_extra_fields, write_objects
from dedicated_server.simulation.damage import zone_radius_m
from dedicated_server.simulation.reserve import pace_of
from dedicated_server.simulation.world import (
    ALIVE,
    APPLIED_INPUT,
    DEATH_ASSIST,
    DEATH_COUNT,
    DEATH_KILLER,
    DEATH_VICTIM,
    DEATH_WEAPON,
    FIRING,
    HEALTH_POINTS,
    HIT_ACTOR,
    HIT_COUNT,
    HIT_INPUT,
    HIT_POINTS,
    HIT_VICTIM,
    HURT_TICK,
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_KIND,
    SPARE_TICKS,
    TICK,
    X_M,
    Y_M,
    YAW,
    ZONE_X_M,
    ZONE_Y_M,
    World,
)

HURT_TICKS: Final = 12  # how long the flag shows: a fifth of a second, longer than any ring's period
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
    """Fill ``records`` and ``match_state``: int64[E, RECORD_WORDS], players and then objects, and
    int32[MATCH_COLUMNS].

    Note the wire's inputs applied and vitals, and queue the tick's hits and kills.
    """
    status, tick = world.status, world.counters[TICK]
    radius = zone_radius_m(world)
    identity = wire.identity[0]
    shows_health = identity.shows_health == SHOWN_TO_EVERYBODY
    shows_connection = identity.shows_connection == SHOWN_TO_EVERYBODY
    identity.vitals_changed = 0
    alive = 0
    for player in range(status.shape[1]):
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
        connected = wire.status[player] == CONNECTED
        health = math.ceil(world.body[HEALTH_POINTS, player])
        if not (shows_health and shows_connection):
            note_vitals(wire, player, health, connected)
        if connected or not shows_connection:
            flags |= FLAG_CONNECTED
        record = pack_player(
            world.body[X_M, player],
            world.body[Y_M, player],
            status[YAW, player] * RADIANS,
            health if shows_health else HEALTH_NOT_SHOWN,
            flags,
        )
        store_record(records[player], record)
        write_extra_fields(world, wire.own_rows, player, records[player])
        wire.per_slot[INPUT_APPLIED, player] = status[APPLIED_INPUT, player]
        wire.per_slot[PACE, player] = pace_of(status[SPARE_TICKS, player])
    write_objects(world, records)
    match_state[MATCH_PHASE] = phase
    match_state[MATCH_ZONE_X] = quantise_position(world.rules[ZONE_X_M])
    match_state[MATCH_ZONE_Y] = quantise_position(world.rules[ZONE_Y_M])
    match_state[MATCH_ZONE_RADIUS] = round(radius * POSITION_UNITS_PER_M)
    match_state[MATCH_ALIVE] = alive
    match_state[MATCH_COUNTDOWN] = countdown_ticks
    _note_scores(world, match_state)
    _note_flags(world, match_state)
    _queue_combat_events(world, wire, alive)


@njit(cache=True, nogil=True, **INNER)
def _note_scores(world: World, match_state: npt.NDArray[np.int32]) -> None:
    fields, teams = world.scores.shape
    match_state[MATCH_SCORES] = min(fields * teams, MAX_SCORES)
    for place in range(match_state[MATCH_SCORES]):
        match_state[MATCH_SCORES_AT + place] = world.scores[place // teams, place % teams]


@njit(cache=True, nogil=True, **INNER)
def _note_flags(world: World, match_state: npt.NDArray[np.int32]) -> None:
    """The match's flags, which are the first of its objects."""
    status = world.object_status
    flags = 0
    for entity in range(min(status.shape[1], MAX_OBJECTIVES)):
        if status[OBJECT_KIND, entity] == KIND_FLAG:
            at = MATCH_OBJECTIVES_AT + OBJECTIVE_COLUMNS * flags
            match_state[at + OBJECTIVE_STATE] = status[OBJECT_C, entity]
            match_state[at + OBJECTIVE_CARRIER] = status[OBJECT_B, entity]
            match_state[at + OBJECTIVE_TEAM] = status[OBJECT_A, entity]
            flags += 1
    match_state[MATCH_OBJECTIVES] = flags


@njit(cache=True, nogil=True, **INNER)
def _queue_combat_events(world: World, wire: ServerState, alive: int) -> None:
    """Queue hits for their shooters and kills for everybody.

    The wire repeats them until they are acknowledged.
    """
    for hit in range(world.counters[HIT_COUNT]):
        hits = (
            int64(world.hits[HIT_VICTIM, hit]),
            int64(world.hits[HIT_POINTS, hit]),
            int64(world.hits[HIT_INPUT, hit]) & CLIENT_TICK_MASK,
        )
        queue_reliable(wire, world.hits[HIT_ACTOR, hit], RELIABLE_HIT, hits)
    for death in range(world.counters[DEATH_COUNT]):
        kill = (
            int64(world.deaths[DEATH_KILLER, death]),
            int64(world.deaths[DEATH_VICTIM, death]),
            int64(max(world.deaths[DEATH_WEAPON, death], 0)),
            int64(alive),
            int64(world.deaths[DEATH_ASSIST, death]),
        )
        queue_reliable(wire, EVERYBODY, RELIABLE_KILL, kill)


@njit(cache=True, nogil=True, **STAGE)
def queue_match_over(
    wire: ServerState, placements: npt.NDArray[np.int32], kills: npt.NDArray[np.int32], winner: int
) -> None:
    """Queue for every client its own placement and kills (int32[N] each), and the winner's entity."""
    for player in range(len(placements)):
        result = (int64(placements[player]), int64(winner), int64(kills[player]))
        queue_reliable(wire, player, RELIABLE_MATCH_OVER, result)
