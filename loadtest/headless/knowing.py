"""What the clients of a match without a network know: packed as a server packs it, and asked as bots ask.

Each client has the whole roster. It sees whoever is shown within the horizon, and flags at any distance, as
they were when the last tick had been simulated; its own body is where it predicts it to be, which without a
network is where the body is.
"""

from __future__ import annotations

import math

import numpy as np

from dedicated_server.cards import KIND_FLAG, ModeCard
from dedicated_server.native import plain
from dedicated_server.native.compilation import STAGE, Longs, njit
from dedicated_server.protocol.client import state as client_state
from dedicated_server.protocol.client.knowledge import ModeView, find_flags, new_mode_view
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    FLAG_CONNECTED,
    pack_player,
    store_record,
)
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import (
    OBJECTIVE_CARRIER,
    OBJECTIVE_STATE,
    OBJECTIVE_TEAM,
    PHASE_PLAYING,
    POSITION_UNITS_PER_M,
    quantise_position,
)
from dedicated_server.protocol.movement import box_array
from dedicated_server.replication.entity_records import RADIANS, write_objects
from dedicated_server.replication.priority import HORIZON_M
from dedicated_server.simulation.damage import zone_radius_m
from dedicated_server.simulation.world import (
    ALIVE,
    HEALTH_POINTS,
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_KIND,
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    SHOWN,
    TEAM,
    TICK,
    X_M,
    Y_M,
    YAW,
    ZONE_X_M,
    ZONE_Y_M,
    World,
)


def new_knowledge(card: ModeCard, world: World) -> ModeView:
    """The view of all players of a match, each a client: who they are, and the whole roster."""
    players, entities = world.body.shape[1], world.body.shape[1] + world.objects.shape[1]
    wire = client_state.allocate(players, entities)
    wire = wire._replace(sessions=plain.with_attributes(wire.sessions))
    view = new_mode_view(
        wire, teams=card.teams, flags=card.objects.get("flag", 0), boxes=box_array(card.boxes)
    )
    wire.sessions["own_entity"] = np.arange(players)
    wire.sessions["team"] = world.status[TEAM]
    wire.roster_team[:, :players] = world.status[TEAM]
    return view


def new_records(world: World) -> Longs:
    """Room for the packed record of each entity: int64[E, RECORD_WORDS]."""
    return np.zeros((world.body.shape[1] + world.objects.shape[1], RECORD_WORDS), np.int64)


@njit(cache=True, nogil=True, **STAGE)
def pack_entities(world: World, records: Longs) -> None:
    """Pack the record of every entity: ``records`` is int64[E, RECORD_WORDS]."""
    status, players = world.status, world.body.shape[1]
    for player in range(players):
        flags = FLAG_CONNECTED | (FLAG_ALIVE if status[ALIVE, player] else 0)
        record = pack_player(
            world.body[X_M, player],
            world.body[Y_M, player],
            status[YAW, player] * RADIANS,
            math.ceil(world.body[HEALTH_POINTS, player]),
            flags,
        )
        store_record(records[player], record)
    write_objects(world, records)


@njit(cache=True, nogil=True, **STAGE)
def tell_clients(world: World, records: Longs, view: ModeView) -> None:
    """Give every client what it sees of a tick, and the state of the match."""
    players, objects = world.body.shape[1], world.objects.shape[1]
    wire, tick = view.wire, world.counters[TICK]
    for client in range(players):
        x_m, y_m = world.body[X_M, client], world.body[Y_M, client]
        view.own_m[client, 0] = x_m
        view.own_m[client, 1] = y_m
        for entity in range(players + objects):
            if _is_told(world, entity, x_m, y_m):
                wire.seen_tick[client, entity] = tick
                for word in range(records.shape[1]):
                    wire.seen[client, entity, word] = records[entity, word]
            else:
                wire.seen_tick[client, entity] = 0
        session = wire.sessions[client]
        session.match_phase = PHASE_PLAYING
        session.snapshot_tick = tick
        session.zone_x = quantise_position(world.rules[ZONE_X_M])
        session.zone_y = quantise_position(world.rules[ZONE_Y_M])
        session.zone_radius = round(zone_radius_m(world) * POSITION_UNITS_PER_M)
        _tell_scores(world, view, client)
        find_flags(view, client)


@njit(cache=True, nogil=True, **STAGE)
def _is_told(world: World, entity: int, x_m: float, y_m: float) -> bool:
    """Whether a client at a place is told of an entity."""
    players = world.body.shape[1]
    if entity < players:
        if not world.status[SHOWN, entity]:
            return False
        east, north = world.body[X_M, entity] - x_m, world.body[Y_M, entity] - y_m
    else:
        number = entity - players
        if not world.object_status[OBJECT_SHOWN, number]:
            return False
        if world.object_status[OBJECT_KIND, number] == KIND_FLAG:
            return True
        east, north = world.objects[OBJECT_X_M, number] - x_m, world.objects[OBJECT_Y_M, number] - y_m
    return bool(east * east + north * north <= HORIZON_M * HORIZON_M)


@njit(cache=True, nogil=True, **STAGE)
def _tell_scores(world: World, view: ModeView, client: int) -> None:
    fields, teams = world.scores.shape
    for field in range(fields):
        for team in range(teams):
            view.wire.scores[client, field * teams + team] = world.scores[field, team]
    flag = 0
    for number in range(world.objects.shape[1]):
        if world.object_status[OBJECT_KIND, number] == KIND_FLAG:
            view.wire.objectives[client, flag, OBJECTIVE_STATE] = world.object_status[OBJECT_C, number]
            view.wire.objectives[client, flag, OBJECTIVE_CARRIER] = world.object_status[OBJECT_B, number]
            view.wire.objectives[client, flag, OBJECTIVE_TEAM] = world.object_status[OBJECT_A, number]
            flag += 1
    view.wire.sessions[client].score_count = fields * teams
    view.wire.sessions[client].objective_count = flag
