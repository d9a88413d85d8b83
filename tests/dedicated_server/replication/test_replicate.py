"""The result of a tick in the wire's units; connects and disconnects; bytes sent."""

from __future__ import annotations

import math
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE, KIND_PROJECTILE
from dedicated_server.protocol import datagrams, entities, fields, sealing
from dedicated_server.protocol import reliable_kinds as kinds
from dedicated_server.protocol.datagrams import IP_UDP_BYTES
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.server.state import NEWLY_CONNECTED, NEWLY_LOST, PLAIN_BITS
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.replication.interest import count_sent_bytes
from dedicated_server.replication.replicate import HURT_TICKS, queue_match_over, replicate_world
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import DEATH, PLAYER_LEFT, drain
from dedicated_server.simulation.layout import RIFLES_ONLY

TICK = 200


def wire_of(players: int) -> ServerWire:
    return ServerWire(
        fleet_key=bytes(32),
        match_id=UUID(int=1),
        player_ids=range(1, players + 1),
        host="192.0.2.1",
        port=1,
        secret=bytes(SECRET_BYTES),
    )


def connected_wire_of(players: int) -> ServerWire:
    wire = wire_of(players)
    wire.status[:] = datagrams.CONNECTED
    return wire


def world_of(players: int, zone_m: float = 100.0) -> w.World:
    rules = np.zeros(w.RULES)
    rules[w.ZONE_START_M], rules[w.ZONE_HOLD_TICKS], rules[w.ZONE_CLOSED_TICKS] = zone_m, 1_000, 2_000
    world = w.new_world(range(players), np.zeros((2, players)), rules)
    world.counters[w.TICK] = TICK
    return world


class Published:
    def __init__(
        self, world: w.World, wire: ServerWire, phase: int = fields.PHASE_PLAYING, countdown: int = 5
    ) -> None:
        self.records = np.zeros((len(world.spawns[0]), RECORD_WORDS), dtype=np.int64)
        self.match_state = np.zeros(fields.MATCH_COLUMNS, dtype=np.int32)
        replicate_world(world, wire.state, self.records, self.match_state, phase, countdown)


def reliable_of(wire: ServerWire, slot: int) -> list[tuple[int, ...]]:
    client = wire.state.slots[slot]
    numbers = range(int(client["reliable_first"]), int(client["reliable_first"] + client["reliable_count"]))
    return [tuple(client["reliable"][number % len(client["reliable"])].tolist()) for number in numbers]


@settings(max_examples=100, deadline=None)
@given(
    x_m=st.floats(-1_000, 1_000),
    y_m=st.floats(-1_000, 1_000),
    yaw=st.integers(0, 65_535),
    health=st.floats(0, 100),
    alive=st.booleans(),
    firing=st.booleans(),
    hurt_ago=st.integers(0, 30),
    connected=st.booleans(),
)
def test_a_record_says_what_the_world_says_to_the_wires_resolution(
    x_m: float, y_m: float, yaw: int, health: float, alive: bool, firing: bool, hurt_ago: int, connected: bool
) -> None:
    world, wire = world_of(1), wire_of(1)
    world.body[w.X_M : w.Y_M + 1, 0] = x_m, y_m
    world.body[w.HEALTH_POINTS, 0] = health
    world.status[w.YAW, 0], world.status[w.ALIVE, 0], world.status[w.FIRING, 0] = yaw, alive, firing
    world.status[w.HURT_TICK, 0] = TICK - hurt_ago
    world.status[w.APPLIED_INPUT, 0] = 77
    wire.status[0] = datagrams.CONNECTED if connected else datagrams.TIMED_OUT

    record = entities.load_record(Published(world, wire).records[0])

    assert abs(entities.entity_x(record) - x_m) <= 0.5 / fields.POSITION_UNITS_PER_M
    assert abs(entities.entity_y(record) - y_m) <= 0.5 / fields.POSITION_UNITS_PER_M
    turn_apart = abs(entities.entity_yaw(record) / (2 * math.pi) - yaw / 65_536)
    assert min(turn_apart, 1 - turn_apart) <= 0.5 / 1_024 + 1e-9
    assert entities.entity_health(record) == math.ceil(health)
    assert entities.entity_flags(record) == (
        entities.FLAG_ALIVE * alive
        | entities.FLAG_FIRING * firing
        | entities.FLAG_OUTSIDE_ZONE * (x_m * x_m + y_m * y_m > 100.0**2)
        | entities.FLAG_HURT * (hurt_ago < HURT_TICKS)
        | entities.FLAG_CONNECTED * connected
    )
    assert wire.input_applied[0] == 77


def test_the_match_state_names_zone_phase_living_and_countdown() -> None:
    world, wire = world_of(3), wire_of(3)
    world.rules[w.ZONE_X_M], world.rules[w.ZONE_Y_M] = 10.0, -20.0
    world.status[w.ALIVE, 1] = 0

    state = Published(world, wire, fields.PHASE_WAITING, 864_000).match_state

    assert state[fields.MATCH_PHASE] == fields.PHASE_WAITING
    assert state[fields.MATCH_ZONE_X] == (1_024 + 10) * 64
    assert state[fields.MATCH_ZONE_Y] == (1_024 - 20) * 64
    assert state[fields.MATCH_ZONE_RADIUS] == 100 * 64
    assert state[fields.MATCH_ALIVE] == 2
    assert state[fields.MATCH_COUNTDOWN] == 864_000


def test_a_hit_is_told_to_the_shooter_and_a_kill_to_everybody() -> None:
    world, wire = world_of(3), connected_wire_of(3)
    world.counters[w.HIT_COUNT] = 1
    world.hits[: w.HIT_ROWS, 0] = 2, 1, 17, 1, 900
    world.status[w.ALIVE, 1] = 0
    world.counters[w.DEATH_COUNT], world.deaths[:, 0] = 1, (1, 2, 0, 0)

    Published(world, wire)

    kill = (kinds.RELIABLE_KILL, 2, 1, 0, 2, 0)
    assert reliable_of(wire, 0) == [kill]
    assert reliable_of(wire, 2) == [(kinds.RELIABLE_HIT, 1, 17, 900, 0, 0), kill]


def test_a_death_by_the_zone_names_no_killer() -> None:
    world, wire = world_of(2), connected_wire_of(2)
    world.status[w.ALIVE, 1] = 0
    world.counters[w.DEATH_COUNT], world.deaths[:, 0] = 1, (1, w.NOBODY, w.NOBODY, w.NOBODY)
    Published(world, wire)
    assert reliable_of(wire, 0) == [(kinds.RELIABLE_KILL, -1, 1, 0, 1, -1)]


def test_everybody_is_told_their_own_placement_and_who_won() -> None:
    wire = wire_of(3)
    placements, kills = np.array([[2, 3, 1], [4, 0, 1]], dtype=np.int32)
    queue_match_over(wire.state, placements, kills, 2)
    assert [reliable_of(wire, slot) for slot in range(3)] == [
        [(kinds.RELIABLE_MATCH_OVER, 2, 2, 4, 0, 0)],
        [(kinds.RELIABLE_MATCH_OVER, 3, 2, 0, 0, 0)],
        [(kinds.RELIABLE_MATCH_OVER, 1, 2, 1, 0, 0)],
    ]


def come_and_go(
    world: w.World, wire: ServerWire, joined: list[bool], playing: bool
) -> tuple[int, list[bool], list[bool]]:
    here, lost = np.array(joined), np.zeros(len(joined), dtype=bool)
    come = apply_connection_changes(world, wire.state, here, lost, playing, -math.inf)
    return come, here.tolist(), lost.tolist()


def test_who_connects_has_come_and_counts_inputs_from_the_beginning() -> None:
    world, wire = world_of(2), wire_of(2)
    world.status[w.APPLIED_INPUT] = 500
    wire.status[1] = datagrams.CONNECTED
    wire.state.per_slot[NEWLY_CONNECTED, 1] = 1
    assert come_and_go(world, wire, [False, False], playing=True) == (1, [False, True], [False, False])
    assert world.status[w.APPLIED_INPUT].tolist() == [500, 0]


def test_who_times_out_is_lost_but_stays_standing() -> None:
    world, wire = world_of(2), wire_of(2)
    wire.status[0] = datagrams.TIMED_OUT
    wire.state.per_slot[NEWLY_LOST, 0] = 1
    assert come_and_go(world, wire, [True, True], playing=True) == (2, [True, True], [True, False])
    assert world.status[w.ALIVE].tolist() == [1, 1]


def test_who_leaves_in_the_middle_of_a_life_ends_it_and_is_not_lost() -> None:
    world, wire = world_of(2), wire_of(2)
    wire.status[0] = datagrams.LEFT
    wire.state.per_slot[NEWLY_LOST, 0] = 1
    assert come_and_go(world, wire, [True, True], playing=True) == (2, [True, True], [False, False])
    assert world.status[w.ALIVE].tolist() == [0, 1]
    assert drain(world)["kind"].tolist() == [PLAYER_LEFT, DEATH]


def test_who_leaves_before_the_start_dies_of_nothing() -> None:
    world, wire = world_of(1), wire_of(1)
    wire.status[0] = datagrams.LEFT
    wire.state.per_slot[NEWLY_LOST, 0] = 1
    come_and_go(world, wire, [True], playing=False)
    assert world.status[w.ALIVE].tolist() == [1]


@given(bits=st.lists(st.integers(0, 9_000), min_size=1, max_size=8), cipher=st.sampled_from([0, 1]))
def test_the_meter_counts_every_byte_that_the_line_sees(bits: list[int], cipher: int) -> None:
    wire, sent = wire_of(len(bits)), np.zeros(len(bits), dtype=np.int64)
    ciphers = [sealing.CIPHER_AEGIS_128L, sealing.CIPHER_CHACHA20_POLY1305]
    wire.state.slots["cipher"] = ciphers[cipher]
    wire.state.per_slot[PLAIN_BITS] = bits
    count_sent_bytes(sent, wire.state)
    around = (
        IP_UDP_BYTES
        + datagrams.DOWN_HEADER_BYTES
        + (sealing.AEGIS_TAG_BYTES, sealing.CHACHA_TAG_BYTES)[cipher]
    )
    assert sent.tolist() == [math.ceil(count / 8) + around if count else 0 for count in bits]


def test_objects_follow_the_players_and_flags_and_scores_are_in_the_state_of_the_match() -> None:
    kinds_of = [KIND_FLAG, KIND_FLAG, KIND_ITEM, KIND_PROJECTILE, KIND_OBSTACLE]
    layout = RIFLES_ONLY._replace(kinds=np.array(kinds_of), limits=np.array([3, 0]))
    rules = np.zeros(w.RULES)
    world = w.new_world([0, 0, 1, 1], np.zeros((2, 4)), rules, layout=layout)
    wire = wire_of(4)
    world.objects[: w.OBJECT_Y_M + 1] = np.arange(5), -np.arange(5)
    world.object_status[w.OBJECT_A] = 0, 1, 9, 2, 1
    world.object_status[w.OBJECT_B] = w.NOBODY, 3, w.NOBODY, 0, 0
    world.object_status[w.OBJECT_C] = 2, 1, 0, 0, 0
    world.object_status[w.OBJECT_YAW, 3] = 16_384
    world.objects[w.OBJECT_EAST_M : w.OBJECT_NORTH_M + 1, 4] = 2.5, 1.0
    world.scores[:] = [[1, 2], [30, 40]]
    records = np.zeros((9, RECORD_WORDS), dtype=np.int64)
    state = np.zeros(fields.MATCH_COLUMNS, dtype=np.int32)
    replicate_world(world, wire.state, records, state, fields.PHASE_PLAYING, 5)

    assert entities.field_array(records, "kind").tolist() == [0, 0, 0, 0, *kinds_of]
    assert entities.x_array(records[4:]).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert entities.field_array(records, "carrier")[4:6].tolist() == [0, 4]
    assert entities.field_array(records, "state")[4:6].tolist() == [2, 1]
    assert entities.field_array(records, "what")[6] == 9
    assert entities.field_array(records, "owner")[7] == 3
    assert entities.field_array(records, "yaw")[7] == 256
    assert entities.field_array(records, "half_east")[8] == 20
    assert entities.field_array(records, "standing")[8] == 1
    assert state[fields.MATCH_SCORES] == 4
    assert state[fields.MATCH_SCORES_AT :][:4].tolist() == [1, 2, 30, 40]
    assert state[fields.MATCH_OBJECTIVES] == 2
    assert state[fields.MATCH_OBJECTIVES_AT :][:6].tolist() == [2, -1, 0, 1, 3, 1]
