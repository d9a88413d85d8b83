"""The stages of the tick, each against the parts that it is made of, called one by one."""

from __future__ import annotations

import math
from uuid import UUID

import numpy as np
import pytest
from numba import njit, typeof

from dedicated_server.native.compilation import STAGE
from dedicated_server.native.memory import StateHandle, load_state, store_state
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.protocol.fields import PHASE_PLAYING
from dedicated_server.protocol.server.receive import open_batch
from dedicated_server.protocol.server.snapshot import encode_batch
from dedicated_server.protocol.server.state import DEFAULT_BUDGET_BYTES, NEWLY_CONNECTED
from dedicated_server.protocol.server.transmit import seal_batch
from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.replication.combat_hints import update_combat_hints
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.replication.interest import count_sent_bytes, select_entities
from dedicated_server.replication.rates import set_rates
from dedicated_server.replication.replicate import replicate_world
from dedicated_server.simulation import world as w
from dedicated_server.simulation.grid import new_grid
from dedicated_server.simulation.match import fill_grid
from dedicated_server.tick.stages import (
    TICK_TYPE,
    TickArrays,
    encode_snapshots,
    gather_arrays,
    open_datagrams,
    seal_datagrams,
    update_interest,
)
from dedicated_server.transport.base import new_inbox

PLAYERS = 12
NOW_S = 1_700_000_000.0
PAIR = typeof((np.zeros((1, 1)), (np.zeros(1, dtype=np.int32),)))


def arrays_of_a_match() -> TickArrays:
    """Twelve connected players in a row, some noise in the inbox."""
    wire = ServerWire(
        fleet_key=bytes(32),
        match_id=UUID(int=1),
        player_ids=range(1, PLAYERS + 1),
        host="192.0.2.1",
        port=1,
        secret=bytes(48),
    )
    rules = np.zeros(w.RULES)
    rules[w.MAP_HALF_M], rules[w.ZONE_START_M], rules[w.ZONE_CLOSED_TICKS] = 500.0, 50.0, 600.0
    spawns = np.stack([np.linspace(-300, 300, PLAYERS), np.zeros(PLAYERS)])
    world = w.new_world(range(PLAYERS), spawns, rules)
    grid = new_grid(PLAYERS, 500.0, 100.0)
    fill_grid(world, grid)
    wire.status[:] = CONNECTED
    wire.state.slots["received_at_s"] = NOW_S
    wire.newly_connected[:] = 1
    arrays = gather_arrays(new_inbox(4), wire.state, world, grid, range(PLAYERS))
    arrays.inbox.data[:] = np.random.default_rng(3).integers(0, 256, arrays.inbox.data.shape)
    arrays.inbox.length[:] = 100, 1, 1_200, 1_216
    return arrays


def bits_of(arrays: object) -> bytes:
    """Every bit of (nested) named tuples of arrays."""
    if isinstance(arrays, tuple):
        return b"".join(bits_of(part) for part in arrays)
    assert isinstance(arrays, np.ndarray)
    return arrays.tobytes()


def test_each_stage_does_what_its_parts_do() -> None:
    staged, stepwise = arrays_of_a_match(), arrays_of_a_match()
    handle = StateHandle(staged, TICK_TYPE)
    assert bits_of(staged) == bits_of(stepwise)
    for tick in range(1, 30):
        now_s = NOW_S + tick / 60
        for arrays in (staged, stepwise):
            arrays.world.counters[w.TICK] = tick
        a, interest = stepwise, stepwise.interest

        come = open_datagrams(handle.address, 4, now_s, tick, True, -math.inf)
        open_batch(a.wire, a.inbox.data, a.inbox.length, a.inbox.address, 4, now_s, tick)
        assert come == apply_connection_changes(a.world, a.wire, a.joined, a.lost, True, -math.inf)
        assert bits_of(staged) == bits_of(stepwise)
        for arrays in (staged, stepwise):
            arrays.wire.per_slot[NEWLY_CONNECTED] = tick == 1

        update_interest(handle.address, tick, PHASE_PLAYING, 9, 1)
        update_combat_hints(a.world, a.hints)
        replicate_world(a.world, a.wire, a.records, a.match_state, PHASE_PLAYING, 9)
        set_rates(a.world, a.wire, tick, PHASE_PLAYING, 1)
        select_entities(a.world, interest, a.wire, DEFAULT_BUDGET_BYTES, tick)
        assert bits_of(staged) == bits_of(stepwise)

        encode_snapshots(handle.address, tick)
        encode_batch(
            a.wire,
            tick,
            a.records,
            interest.selected,
            interest.selected_count,
            interest.left,
            interest.left_count,
            a.match_state,
            a.hints.hint_bits,
        )
        count_sent_bytes(a.sent_bytes, a.wire)
        assert bits_of(staged) == bits_of(stepwise)

        seal_datagrams(handle.address, now_s)
        seal_batch(a.wire, now_s)
        assert bits_of(staged) == bits_of(stepwise)
        assert staged.wire.out_count[0] == PLAYERS
    assert staged.sent_bytes.all()


@njit(**STAGE)
def add_through(address: int, amount: float) -> int:
    square, (line,) = load_state(address, PAIR)
    square[1, 2] += amount
    line[3] = 7
    return len(line)


def test_compiled_code_reads_and_writes_the_stored_arrays_themselves() -> None:
    square, line = np.zeros((2, 3)), np.zeros(5, dtype=np.int32)
    handle = StateHandle((square, (line,)), PAIR)
    assert add_through(handle.address, 2.5) == 5
    assert square[1, 2] == 2.5
    assert line.tolist() == [0, 0, 0, 7, 0]


def test_an_array_is_written_down_with_its_address_and_shape() -> None:
    square, line = np.zeros((2, 3)), np.zeros(5, dtype=np.int32)
    memory = np.zeros(16, dtype=np.int64)
    store_state((square, (line,)), memory.ctypes.data)
    assert memory[2:9].tolist() == [6, 8, square.ctypes.data, 2, 3, 24, 8]
    assert memory[11:16].tolist() == [5, 4, line.ctypes.data, 5, 4]


@pytest.mark.parametrize(
    "arrays",
    [
        (np.zeros((2, 3)), (np.zeros(5),)),
        (np.zeros((2, 3)), np.zeros(5, dtype=np.int32)),
        (np.zeros((6, 3))[::2], (np.zeros(5, dtype=np.int32),)),
    ],
)
def test_arrays_of_another_type_are_refused(arrays: object) -> None:
    with pytest.raises(TypeError, match="expected"):
        StateHandle(arrays, PAIR)
