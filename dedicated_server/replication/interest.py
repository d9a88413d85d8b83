"""Interest: which entities each client is sent in this tick, most important first.

A client's view is a list of entities: each with its band of distance and the tick in which a snapshot last
carried it. `visibility` renews the list every fourth tick, through the grid; `priority` picks from it in
every tick. Both read memory forwards, and neither does anything for pairs that are far apart, so the cost is
that of what can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE
from dedicated_server.native.compilation import INNER, STAGE
from dedicated_server.native.memory import AllocateZeros, prefetch
from dedicated_server.protocol import sealing
from dedicated_server.protocol.datagrams import CONNECTED, DOWN_HEADER_BYTES, IP_UDP_BYTES, MAX_DATAGRAM_BYTES
from dedicated_server.protocol.server.state import (
    BUDGET_BYTES,
    LINE_BYTES,
    NEWLY_CONNECTED,
    PACKED_COUNT,
    PLAIN_BITS,
    SNAPSHOT_EVERY,
    ServerState,
)
from dedicated_server.replication.priority import (
    BYTES_PER_RECORD,
    KEYS,
    LOOK_TICKS,
    MAX_EXTRA,
    MAX_LEAVING,
    MAX_SELECTED,
    OVERHEAD_BYTES,
    STILL_RING,
    collect_due,
    compute_priorities,
    sort_by_priority,
)
from dedicated_server.replication.visibility import query_neighbours, update_visible_set
from dedicated_server.simulation.grid import Grid
from dedicated_server.simulation.world import ELAPSED, World

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

NEVER: Final = 0  # ticks count from 1
PREFETCH_CLIENTS: Final = 4  # clients whose lists are being fetched while one is served


class Interest(NamedTuple):
    """The views of N clients of E entities, players first: a row a client."""

    entity: Ints  # [N, E] who is in view, the first ``in_view`` of the row; the client itself is always first
    ring: npt.NDArray[np.uint8]  # [N, E] of each of them
    sent_tick: Ints  # [N, E] last tick in which a snapshot carried each of them, as priority counts it
    in_view: Ints  # [N] how many
    renewal_tick: Ints  # [N] next tick in which the view is renewed
    selected: Ints  # [N, K] entities to send, most important first
    selected_place: Ints  # [N, K] where in the view each of them stands
    selected_count: Ints  # [N] -1: no snapshot for this client in this tick
    left: Ints  # [N, L] went out of view in this tick
    left_count: Ints  # [N]
    team: Ints  # [N] of each player
    team_start: Ints  # [T + 1] the players of team t are members[team_start[t] : team_start[t + 1]]
    members: Ints  # [N]
    far_seen: Ints  # numbers of the objects that are in view at any distance
    least_ring: npt.NDArray[np.uint8]  # [E] nearest ring in which an entity is counted, however near it is
    near: Ints  # [2 * E + 1] scratch: who is around a client,
    near_square: Floats  # and how far, in square metres
    mark: npt.NDArray[np.uint8]  # [E] scratch: ring of each of those + 1, 0: not around
    keys: npt.NDArray[np.uint8]  # [E] scratch: priorities by place in the view
    starts: Ints  # [KEYS] scratch of the counting sort


def new_interest(
    teams: npt.ArrayLike, zeros: AllocateZeros = np.zeros, *, kinds: Sequence[int] = ()
) -> Interest:
    """Allocate for players of these teams (int[N]) and objects of these kinds: nothing is in view."""
    team = np.asarray(teams, dtype=np.int32)
    players, entities = len(team), len(team) + len(kinds)
    most = min(entities, MAX_SELECTED)
    kind = np.asarray(kinds, dtype=np.int64)
    least_ring = zeros(entities, dtype=np.uint8)
    least_ring[players:] = np.where((kind == KIND_ITEM) | (kind == KIND_OBSTACLE), STILL_RING, 0)
    return Interest(
        entity=zeros((players, entities), dtype=np.int32),
        ring=zeros((players, entities), dtype=np.uint8),
        sent_tick=zeros((players, entities), dtype=np.int32),
        in_view=zeros(players, dtype=np.int32),
        renewal_tick=np.full(players, NEVER, dtype=np.int32),
        selected=zeros((players, most), dtype=np.int32),
        selected_place=zeros((players, most), dtype=np.int32),
        selected_count=np.full(players, -1, dtype=np.int32),
        left=zeros((players, min(entities, MAX_LEAVING)), dtype=np.int32),
        left_count=zeros(players, dtype=np.int32),
        team=team,
        team_start=np.cumsum([0, *np.bincount(team)], dtype=np.int32),
        members=np.argsort(team, kind="stable").astype(np.int32),
        far_seen=np.flatnonzero(kind == KIND_FLAG).astype(np.int32),
        least_ring=least_ring,
        near=zeros(2 * entities + 1, dtype=np.int32),
        near_square=zeros(2 * entities + 1),
        mark=zeros(entities, dtype=np.uint8),
        keys=zeros(entities, dtype=np.uint8),
        starts=zeros(KEYS, dtype=np.int32),
    )


@njit(cache=True, nogil=True, **STAGE)
def select_entities(
    world: World,
    grid: Grid,
    interest: Interest,
    wire: ServerState,
    usual_bytes: int,
    tick: int,
) -> None:
    """Make the lists ``selected`` and ``left`` of every connected client for ``tick``.

    The wire says how many entities of each client's last list fitted. ``usual_bytes``: the budget of a
    datagram; a client with many stale entities gets a larger one, as far as its line carries that. `rates`
    says once in how many ticks a client is served; clients of the same rate take turns.
    """
    status, packed_count, budget_bytes = wire.status, wire.per_slot[PACKED_COUNT], wire.per_slot[BUDGET_BYTES]
    every, line_bytes = wire.per_slot[SNAPSHOT_EVERY], wire.per_slot[LINE_BYTES]
    before = tick - world.counters[ELAPSED]
    for client in range(len(status)):
        if client + PREFETCH_CLIENTS < len(status):
            prefetch_view(interest, client + PREFETCH_CLIENTS, packed_count[client + PREFETCH_CLIENTS])
        view, sent_tick = interest.entity[client], interest.sent_tick[client]
        selected, selected_place = interest.selected[client], interest.selected_place[client]
        packed = packed_count[client]
        for index in range(packed):  # waiting starts anew for what the last snapshot carried
            sent_tick[selected_place[index]] = before
        interest.selected_count[client] = -1
        interest.left_count[client] = 0
        if wire.per_slot[NEWLY_CONNECTED, client]:  # also a reconnect: this client has nothing in view
            interest.in_view[client] = 0
            interest.renewal_tick[client] = NEVER
        if status[client] != CONNECTED or (tick + client) % every[client]:
            continue
        if tick >= interest.renewal_tick[client]:
            _renew_view(world, grid, interest, client, tick)
        count = interest.in_view[client]
        keys = interest.keys[:count]
        due, stale = compute_priorities(interest.ring[client, :count], sent_tick, tick, keys)
        chosen = min(due, len(selected), packed + packed // 4 + MAX_EXTRA)
        if due > packed:
            sort_by_priority(keys, interest.starts, selected_place[:chosen])
        else:  # so many fitted the last time, so the order decides nothing: a third of the cost of a crowd
            collect_due(keys, due, selected_place[:chosen])
        for index in range(chosen):
            selected[index] = view[selected_place[index]]
        interest.selected_count[client] = chosen
        budget_bytes[client] = min(
            max(usual_bytes, min(OVERHEAD_BYTES + BYTES_PER_RECORD * stale, MAX_DATAGRAM_BYTES)),
            line_bytes[client],
        )


@njit(cache=True, nogil=True, **INNER)
def prefetch_view(interest: Interest, client: int, packed: int) -> None:
    """Prefetch the lists of a client; ``packed``: how many entities its last snapshot carried."""
    in_view, packed = interest.in_view[client], max(packed, 1)
    prefetch(interest.entity[client].ctypes.data, 4 * in_view)
    prefetch(interest.sent_tick[client].ctypes.data, 4 * in_view)
    prefetch(interest.ring[client].ctypes.data, in_view)
    prefetch(interest.selected[client].ctypes.data, 4 * packed)
    prefetch(interest.selected_place[client].ctypes.data, 4 * packed)


@njit(cache=True, nogil=True, **INNER)
def _renew_view(world: World, grid: Grid, interest: Interest, client: int, tick: int) -> None:
    """Renew a client's view. Clients take turns, so that renewing costs the same in every tick."""
    team = interest.team[client]
    mates = interest.members[interest.team_start[team] : interest.team_start[team + 1]]
    near = query_neighbours(
        world, grid, mates, interest.far_seen, interest.near, interest.near_square, client
    )
    interest.in_view[client], interest.left_count[client] = update_visible_set(
        interest.near[:near],
        interest.near_square,
        interest.entity[client],
        interest.ring[client],
        interest.sent_tick[client],
        interest.in_view[client],
        interest.left[client],
        interest.mark,
        interest.least_ring,
        tick,
    )
    interest.renewal_tick[client] = tick + LOOK_TICKS - (tick + client) % LOOK_TICKS


@njit(cache=True, nogil=True, **STAGE)
def count_sent_bytes(sent_bytes: npt.NDArray[np.int64], wire: ServerState) -> None:
    """Add to ``sent_bytes`` (int64[N]) the size of the snapshots now encoded, IP and UDP headers included."""
    for client in range(len(sent_bytes)):
        bits = wire.per_slot[PLAIN_BITS, client]
        if bits > 0:
            sealed = DOWN_HEADER_BYTES + sealing.tag_bytes(wire.slots[client].cipher)
            sent_bytes[client] += IP_UDP_BYTES + sealed + ((bits + 7) >> 3)
