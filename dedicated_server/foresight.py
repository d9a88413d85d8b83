"""Foresight: what the next tick will read, brought near in the moment before it is due.

In that moment the thread is awake and waits (`pacing`). Asking for a match's memory then, all at once, takes 20 µs of it, and 70 of the
560 µs that a tick of 100 players took on a machine whose caches others use as well.
"""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt
from numba import njit

from dedicated_server.compilation import INNER, STAGE
from dedicated_server.native.memory import load_state
from dedicated_server.protocol.datagrams import REPLAY_WINDOW
from dedicated_server.protocol.fetch import fetch
from dedicated_server.protocol.server.state import (
    HISTORY_TICKS,
    INPUT_NEWEST,
    INPUT_RING,
    PACKED_COUNT,
    SLOT_HEAD_BYTES,
    ServerState,
)
from dedicated_server.simulation.world import POSITION_HISTORY_TICKS
from dedicated_server.tick.stages import TICK_TYPE

MOST_PLAYERS: Final = (
    256  # a larger match does not fit the second-level cache, and would push out what it asked for first
)
RECENT_TICKS: Final = 6  # clients acknowledge one of the last few snapshots
HEAD_BYTES: Final = 64  # of a snapshot, and
RECORD_BYTES: Final = 5  # of each of its records


@njit(cache=True, nogil=True, **STAGE)
def foresee(pinned: int, tick: int) -> None:
    """Fetch what ``tick`` will read of the TickArrays pinned at that address. Changes nothing."""
    arrays = load_state(pinned, TICK_TYPE)
    wire, world, grid, interest, hints = (
        arrays.wire,
        arrays.world,
        arrays.grid,
        arrays.interest,
        arrays.hints,
    )
    players = wire.status.shape[0]
    if players > MOST_PLAYERS:
        return
    _fetch_shared(wire, tick)
    _fetch_whole(wire.per_slot)
    _fetch_whole(wire.addresses)
    _fetch_whole(world.status)
    _fetch_whole(world.body)
    _fetch_whole(world.trail[tick % POSITION_HISTORY_TICKS])
    _fetch_whole(grid.start)
    _fetch_whole(grid.entity)
    _fetch_whole(grid.cell)
    _fetch_whole(grid.x_m)
    _fetch_whole(grid.y_m)
    _fetch_whole(interest.in_view)
    _fetch_whole(interest.look_tick)
    _fetch_whole(hints.heat)
    _fetch_whole(hints.told)
    _fetch_whole(arrays.records)
    _fetch_whole(arrays.sent_bytes)
    for client in range(players):
        in_view = interest.in_view[client]
        packed = max(wire.per_slot[PACKED_COUNT, client], 1)
        fetch(interest.entity[client].ctypes.data, 4 * in_view)
        fetch(interest.sent_tick[client].ctypes.data, 4 * in_view)
        fetch(interest.ring[client].ctypes.data, in_view)
        fetch(interest.selected[client].ctypes.data, 4 * packed)
        fetch(interest.selected_place[client].ctypes.data, 4 * packed)
        fetch(wire.views[0, client].ctypes.data, 4 * players)
        fetch(wire.views[1, client].ctypes.data, 4 * players)
        fetch(wire.plain[client].ctypes.data, HEAD_BYTES + RECORD_BYTES * packed)
        _fetch_for_datagram(wire, client)
        for age in range(RECENT_TICKS):
            sent = wire.sent[client, (tick - age) % HISTORY_TICKS]
            fetch(sent.ctypes.data, 8 * sent.size)


@njit(cache=True, nogil=True, **INNER)
def _fetch_for_datagram(wire: ServerState, client: int) -> None:
    """Fetch what opening the next datagram of a client needs."""
    slot = wire.slots[client]
    fetch(wire.slots[client : client + 1].ctypes.data, SLOT_HEAD_BYTES)
    fetch(slot.replay.ctypes.data + 4 * ((slot.receive_newest + 1) % REPLAY_WINDOW), 4)
    input_row = wire.inputs[client, (wire.per_slot[INPUT_NEWEST, client] + 1) % INPUT_RING]
    fetch(input_row.ctypes.data, input_row.nbytes)
    acknowledged = (slot.sent_newest_tick - 1) % HISTORY_TICKS  # most clients are a tick behind
    fetch(wire.sent_ticks[client, acknowledged:].ctypes.data, 4)


@njit(cache=True, nogil=True, **INNER)
def _fetch_whole(array: npt.NDArray[Any]) -> None:
    fetch(array.ctypes.data, array.nbytes)


@njit(cache=True, nogil=True, **INNER)
def _fetch_shared(wire: ServerState, tick: int) -> None:
    """Fetch what snapshots of all clients are made from."""
    players = wire.status.shape[0]
    for age in range(RECENT_TICKS):
        fetch(wire.history[(tick - age) % HISTORY_TICKS].ctypes.data, 8 * players)
        fetch(wire.codes[age].ctypes.data, 16 * players)
    fetch(wire.status.ctypes.data, players)
