"""The stages of a tick around the match itself, each one compiled call over all players.

`engine.Engine.tick` calls them in their order; the work is in the packages that they call. All arrays travel
as one address, that of a `native.memory.StateHandle`.

`prefetch_tick` is called in the moment before a tick is due, when the thread is awake and waits (`pacing`).
It asks for all memory that the tick will read. That takes 20 µs of the wait, and saves 70 of the 560 µs that
a tick of 100 players took on a machine whose caches others use as well.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from numba import njit, typeof

from dedicated_server.native.compilation import INNER, STAGE
from dedicated_server.native.memory import AllocateZeros, load_state, prefetch, prefetch_array
from dedicated_server.protocol.datagrams import REPLAY_WINDOW
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import HISTORY_TICKS, MATCH_COLUMNS
from dedicated_server.protocol.inputs import INPUT_RING
from dedicated_server.protocol.server.receive import open_batch
from dedicated_server.protocol.server.snapshot import encode_batch, prefetch_plain
from dedicated_server.protocol.server.state import (
    DEFAULT_BUDGET_BYTES,
    INPUT_NEWEST,
    PACKED_COUNT,
    SLOT_HEAD_BYTES,
    ServerState,
)
from dedicated_server.protocol.server.transmit import seal_batch
from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.replication.combat_hints import CombatHints, new_combat_hints, update_combat_hints
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.replication.interest import (
    Interest,
    count_sent_bytes,
    new_interest,
    prefetch_view,
    select_entities,
)
from dedicated_server.replication.rates import set_rates
from dedicated_server.replication.replicate import replicate_world
from dedicated_server.simulation.grid import Grid, new_grid
from dedicated_server.simulation.world import OBJECT_KIND, POSITION_HISTORY_TICKS, RULES, World, new_world
from dedicated_server.transport.base import Inbox, new_inbox
from launchday import kernel_cache

# A larger match does not fit the second-level cache: its prefetches would push each other out.
MAX_PREFETCH_PLAYERS: Final = 256
KERNELS: Final = "dedicated_server"  # as the cache of kernels names them
RECENT_TICKS: Final = 6  # clients acknowledge one of the last few snapshots


class TickArrays(NamedTuple):
    """All arrays of one match and its clients; N players, E entities with the objects."""

    inbox: Inbox
    wire: ServerState
    world: World
    grid: Grid
    interest: Interest
    hints: CombatHints
    records: npt.NDArray[np.int64]  # [E, RECORD_WORDS] the wire's form of each entity
    match_state: npt.NDArray[np.int32]  # [MATCH_COLUMNS] and of the match
    sent_bytes: npt.NDArray[np.int64]  # [N] to each client so far, headers included
    joined: npt.NDArray[np.bool_]  # [N] has been connected
    lost: npt.NDArray[np.bool_]  # [N] timed out and not back, or never came


def gather_arrays(
    inbox: Inbox,
    wire: ServerState,
    world: World,
    grid: Grid,
    teams: npt.ArrayLike,
    zeros: AllocateZeros = np.zeros,
) -> TickArrays:
    """Gather the arrays that exist, and allocate the rest; ``teams``: int[N], ``zeros`` allocates."""
    players = len(wire.status)
    return TickArrays(
        inbox=inbox,
        wire=wire,
        world=world,
        grid=grid,
        interest=new_interest(teams, zeros, kinds=world.object_status[OBJECT_KIND].tolist()),
        hints=new_combat_hints(players, zeros),
        records=zeros((wire.history.shape[1], RECORD_WORDS), dtype=np.int64),
        match_state=zeros(MATCH_COLUMNS, dtype=np.int32),
        sent_bytes=zeros(players, dtype=np.int64),
        joined=zeros(players, dtype=np.bool_),
        lost=zeros(players, dtype=np.bool_),
    )


def _example() -> TickArrays:
    wire = ServerWire(
        fleet_key=bytes(32), match_id=UUID(int=0), player_ids=[1], host="127.0.0.1", port=1, secret=bytes(48)
    )
    world = new_world([0], np.zeros((2, 1)), np.zeros(RULES))
    return gather_arrays(new_inbox(1), wire.state, world, new_grid(1, 1.0, 1.0), [0])


TICK_TYPE: Final = typeof(_example())


def kernels_are_near() -> bool:
    """Whether the stages below are in this process, are being put there, or lie compiled on the disk."""
    return (
        bool(getattr(seal_datagrams, "signatures", True))  # plain Python, where numba is switched off
        or kernel_cache.is_compiled(KERNELS)
        or KERNELS in kernel_cache.parts_being_compiled()
    )


@njit(cache=True, nogil=True, **STAGE)
def open_datagrams(
    state: int, count: int, now_s: float, tick: int, playing: bool, silent_since_s: float
) -> int:
    """Open what arrived, answer handshakes, apply connects and disconnects.

    Return how many players have ever connected.

    ``state``: address of the TickArrays, here and below. ``count``: datagrams in the inbox. ``now_s``: Unix
    time. ``silent_since_s``: see `replication.connections`.
    """
    arrays = load_state(state, TICK_TYPE)
    inbox = arrays.inbox
    open_batch(arrays.wire, inbox.data, inbox.length, inbox.address, count, now_s, tick)
    joined = apply_connection_changes(
        arrays.world, arrays.wire, arrays.joined, arrays.lost, playing, silent_since_s
    )
    return int(joined)


@njit(cache=True, nogil=True, **STAGE)
def update_interest(state: int, tick: int, phase: int, countdown_ticks: int, every: int) -> None:
    """Put the tick's result into the wire's units, and select for each client the entities that it is sent.

    ``phase``: PHASE_… of `protocol.fields`. ``every``: what the server's load allows, see `rates`.
    """
    arrays = load_state(state, TICK_TYPE)
    update_combat_hints(arrays.world, arrays.hints)
    replicate_world(arrays.world, arrays.wire, arrays.records, arrays.match_state, phase, countdown_ticks)
    set_rates(arrays.world, arrays.wire, tick, phase, every)
    select_entities(arrays.world, arrays.interest, arrays.wire, DEFAULT_BUDGET_BYTES, tick)


@njit(cache=True, nogil=True, **STAGE)
def encode_snapshots(state: int, tick: int) -> None:
    """Encode every client's snapshot, and count its bytes."""
    arrays = load_state(state, TICK_TYPE)
    interest = arrays.interest
    encode_batch(
        arrays.wire,
        tick,
        arrays.records,
        interest.selected,
        interest.selected_count,
        interest.left,
        interest.left_count,
        arrays.match_state,
        arrays.hints.hint_bits,
    )
    count_sent_bytes(arrays.sent_bytes, arrays.wire)


@njit(cache=True, nogil=True, **STAGE)
def seal_datagrams(state: int, now_s: float) -> None:
    """Seal the snapshots into the rows to send, behind the replies to handshakes."""
    seal_batch(load_state(state, TICK_TYPE).wire, now_s)


@njit(cache=True, nogil=True, **STAGE)
def prefetch_tick(state: int, tick: int) -> None:
    """Prefetch what ``tick`` will read of the TickArrays at the address ``state``. Changes nothing."""
    arrays = load_state(state, TICK_TYPE)
    wire, world, grid, interest, hints = (
        arrays.wire,
        arrays.world,
        arrays.grid,
        arrays.interest,
        arrays.hints,
    )
    players, entities = wire.views.shape[1], wire.views.shape[2]
    if players > MAX_PREFETCH_PLAYERS:
        return
    _prefetch_shared(wire, tick)
    prefetch_array(wire.per_slot)
    prefetch_array(world.status)
    prefetch_array(world.body)
    prefetch_array(world.position_history[tick % POSITION_HISTORY_TICKS])
    prefetch_array(grid.start)
    prefetch_array(grid.entity)
    prefetch_array(grid.cell)
    prefetch_array(grid.x_m)
    prefetch_array(grid.y_m)
    prefetch_array(interest.filled)
    prefetch_array(interest.renewal_tick)
    prefetch_array(hints.heatmap)
    prefetch_array(hints.hint_bits)
    prefetch_array(arrays.records)
    prefetch_array(arrays.sent_bytes)
    for client in range(players):
        packed = max(wire.per_slot[PACKED_COUNT, client], 1)
        prefetch_view(interest, client)
        prefetch(wire.views[0, client].ctypes.data, 4 * entities)
        prefetch(wire.views[1, client].ctypes.data, 4 * entities)
        prefetch_plain(wire, client, packed)
        _prefetch_for_datagram(wire, client)
        for age in range(RECENT_TICKS):
            sent = wire.sent[client, (tick - age) % HISTORY_TICKS]
            prefetch(sent.ctypes.data, 8 * sent.size)


@njit(cache=True, nogil=True, **INNER)
def _prefetch_for_datagram(wire: ServerState, client: int) -> None:
    """Prefetch what opening the next datagram of a client needs."""
    slot = wire.slots[client]
    prefetch(wire.slots[client : client + 1].ctypes.data, SLOT_HEAD_BYTES)
    prefetch(slot.replay.ctypes.data + 4 * ((slot.receive_newest + 1) % REPLAY_WINDOW), 4)
    input_row = wire.inputs[client, (wire.per_slot[INPUT_NEWEST, client] + 1) % INPUT_RING]
    prefetch(input_row.ctypes.data, input_row.nbytes)
    acknowledged = (slot.sent_newest_tick - 1) % HISTORY_TICKS  # most clients are a tick behind
    prefetch(wire.sent_ticks[client, acknowledged:].ctypes.data, 4)


@njit(cache=True, nogil=True, **INNER)
def _prefetch_shared(wire: ServerState, tick: int) -> None:
    """Prefetch what the snapshots of all clients are made from."""
    for age in range(RECENT_TICKS):
        prefetch_array(wire.history[(tick - age) % HISTORY_TICKS])
        prefetch_array(wire.codes[age])
    prefetch_array(wire.status)
