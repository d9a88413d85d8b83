"""Interest: which entities each client is sent in this tick, most important first.

A client's view is a timing wheel: who is in it, by the tick in which a snapshot last carried them, as sets of
64 entities a word. A turn of a client is: what its last snapshot carried moves to that tick's bucket; every
fourth tick `visibility` renews who is in view, and how near; then the buckets are gone through, the longest
waiting first, until the list is as long as a datagram may need. So a turn costs what is sent, beside a few
operations a word of entities; who waits in view costs the 0.7 ns in which each is measured every fourth tick.

Memory: 68 bits for each pair of a client and an entity, and 1 KB a client for its list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE
from dedicated_server.native.compilation import INNER, STAGE, Floats, Ints, Words
from dedicated_server.native.memory import AllocateZeros, prefetch
from dedicated_server.protocol import sealing
from dedicated_server.protocol.bits import set_bits, trailing_zeros
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
    LAST_RING,
    LOOK_TICKS,
    MAX_EXTRA,
    MAX_LEAVING,
    MAX_SELECTED,
    NEWCOMER_TICKS,
    OVERHEAD_BYTES,
    PERIOD_TICKS,
    RINGS,
    STALE_TICKS,
    order_of_the_calm,
)
from dedicated_server.replication.visibility import NOWHERE_M, measure, place_entities, update_view
from dedicated_server.replication.wheel import (
    GROUP,
    OLDEST,
    WHEEL_TICKS,
    by_waiting,
    clear,
    list_members,
    put_in,
    set_of,
    take_out,
    turn,
)
from dedicated_server.simulation.world import ELAPSED, X_M, Y_M, World

NEVER: Final = 0  # ticks count from 1
PREFETCH_CLIENTS: Final = 4  # clients whose wheels are being fetched while one is served
CALM: Final = order_of_the_calm()
# Outermost ring of which who has waited so many ticks is due.
DUE_RING: Final = np.searchsorted(PERIOD_TICKS, np.arange(WHEEL_TICKS), side="right") - 1

_NOBODY = np.uint64(0)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
# Buckets in the order of waiting, as of `by_waiting`.
_STALE = _ALL >> np.uint64(STALE_TICKS)
_CALM = (_ALL >> _ONE) & ~_STALE


class Interest(NamedTuple):
    """The views of N clients of E entities, players first, in G words of 64; T teams."""

    waiting: Words  # [N, WHEEL_TICKS, G] the wheel of each client: who is in view, by last sending
    filled: Words  # [N] which of its buckets hold anybody
    turned_tick: Ints  # [N] where it stands
    within: Words  # [N, RINGS, G] who is in view within each ring; the last row is the whole view
    renewal_tick: Ints  # [N] next tick in which the view is renewed
    fitted: Ints  # [N] how many entities the last snapshot carried
    resume_at: Ints  # [N] the last of them: of those who wait longest, the next in number go first
    selected: Ints  # [N, K] entities to send, most important first; the client itself is always first
    selected_count: Ints  # [N] -1: no snapshot for this client in this tick
    left: Ints  # [N, L] went out of view in this tick
    left_count: Ints  # [N]
    team: Ints  # [N] of each player
    mates: Words  # [T, G] the players of each team
    far_seen: Ints  # numbers of the objects that are in view at any distance
    still: Words  # [G] entities that are never counted as nearer than STILL_RING
    # Scratch of a tick:
    east_m: Floats  # [64 * G] where entities are; NOWHERE_M: not shown
    north_m: Floats
    present: Words  # [G] players who are in the match
    far: Words  # [G] objects that are shown and in view at any distance
    # Scratch of a client's turn:
    near: Words  # [RINGS + 1, G] who is around
    sets: Words  # [3, G]


def new_interest(
    teams: npt.ArrayLike, zeros: AllocateZeros = np.zeros, *, kinds: Sequence[int] = ()
) -> Interest:
    """Allocate for players of these teams (int[N]) and objects of these kinds: nothing is in view."""
    team = np.asarray(teams, dtype=np.int32)
    players, entities = len(team), len(team) + len(kinds)
    groups = -(-entities // GROUP)
    most = min(entities, MAX_SELECTED)
    kind = np.asarray(kinds, dtype=np.int64)
    mates = zeros((int(team.max(initial=0)) + 1, groups), dtype=np.uint64)
    for player in range(players):
        _add(mates[team[player]], player)
    still = zeros(groups, dtype=np.uint64)
    for number in np.flatnonzero((kind == KIND_ITEM) | (kind == KIND_OBSTACLE)).tolist():
        _add(still, players + number)
    east_m = zeros(GROUP * groups)
    east_m[:] = NOWHERE_M
    return Interest(
        waiting=zeros((players, WHEEL_TICKS, groups), dtype=np.uint64),
        filled=zeros(players, dtype=np.uint64),
        turned_tick=zeros(players, dtype=np.int32),
        within=zeros((players, RINGS, groups), dtype=np.uint64),
        renewal_tick=np.full(players, NEVER, dtype=np.int32),
        fitted=zeros(players, dtype=np.int32),
        resume_at=zeros(players, dtype=np.int32),
        selected=zeros((players, most), dtype=np.int32),
        selected_count=np.full(players, -1, dtype=np.int32),
        left=zeros((players, min(entities, MAX_LEAVING)), dtype=np.int32),
        left_count=zeros(players, dtype=np.int32),
        team=team,
        mates=mates,
        far_seen=np.flatnonzero(kind == KIND_FLAG).astype(np.int32),
        still=still,
        east_m=east_m,
        north_m=zeros(GROUP * groups),
        present=zeros(groups, dtype=np.uint64),
        far=zeros(groups, dtype=np.uint64),
        near=zeros((RINGS + 1, groups), dtype=np.uint64),
        sets=zeros((3, groups), dtype=np.uint64),
    )


def _add(members: Words, entity: int) -> None:
    members[entity // GROUP] |= np.uint64(1 << (entity % GROUP))


@njit(cache=True, nogil=True, **STAGE)
def select_entities(world: World, interest: Interest, wire: ServerState, usual_bytes: int, tick: int) -> None:
    """Make the lists ``selected`` and ``left`` of every connected client for ``tick``.

    The wire says how many entities of each client's last list fitted. ``usual_bytes``: the budget of a
    datagram; a client with many stale entities gets a larger one, as far as its line carries that. `rates`
    says once in how many ticks a client is served; clients of the same rate take turns.
    """
    status, packed_count, budget_bytes = wire.status, wire.per_slot[PACKED_COUNT], wire.per_slot[BUDGET_BYTES]
    every, line_bytes = wire.per_slot[SNAPSHOT_EVERY], wire.per_slot[LINE_BYTES]
    before = tick - world.counters[ELAPSED]
    place_entities(
        world, interest.far_seen, interest.east_m, interest.north_m, interest.present, interest.far
    )
    for client in range(len(status)):
        if client + PREFETCH_CLIENTS < len(status):
            prefetch_view(interest, client + PREFETCH_CLIENTS)
        interest.selected_count[client] = -1
        interest.left_count[client] = 0
        if packed_count[client] >= 0:
            _note_sent(interest, client, packed_count[client], before)
        if wire.per_slot[NEWLY_CONNECTED, client]:  # also a reconnect: this client has nothing in view
            _forget_view(interest, client)
        if status[client] != CONNECTED or (tick + client) % every[client]:
            continue
        interest.filled[client] = turn(
            interest.waiting[client], interest.filled[client], interest.turned_tick[client], tick
        )
        interest.turned_tick[client] = tick
        if tick >= interest.renewal_tick[client]:
            _renew_view(world, interest, client, tick)
        stale = _choose(interest, client, tick)
        budget_bytes[client] = min(
            max(usual_bytes, min(OVERHEAD_BYTES + BYTES_PER_RECORD * stale, MAX_DATAGRAM_BYTES)),
            line_bytes[client],
        )


@njit(cache=True, nogil=True, **INNER)
def prefetch_view(interest: Interest, client: int) -> None:
    """Prefetch what a client's turn reads."""
    buckets, filled = interest.waiting[client], interest.filled[client]
    while filled != _NOBODY:
        prefetch(buckets[trailing_zeros(filled)].ctypes.data, 8 * buckets.shape[1])
        filled &= filled - _ONE
    within = interest.within[client]
    prefetch(within.ctypes.data, 8 * within.size)
    prefetch(interest.selected[client].ctypes.data, 4 * max(interest.fitted[client], 1))


@njit(cache=True, nogil=True, **INNER)
def _note_sent(interest: Interest, client: int, packed: int, tick: int) -> None:
    """Waiting starts anew, at ``tick``, for what the last snapshot carried: the head of the list."""
    sent, selected = interest.sets[0], interest.selected[client]
    interest.fitted[client] = packed
    if packed > 1:
        set_of(selected[1:packed], sent)
        filled = take_out(interest.waiting[client], interest.filled[client], sent)
        interest.filled[client] = put_in(interest.waiting[client], filled, tick, sent)
        interest.resume_at[client] = selected[packed - 1]


@njit(cache=True, nogil=True, **INNER)
def _forget_view(interest: Interest, client: int) -> None:
    clear(interest.waiting[client], interest.filled[client])
    interest.filled[client] = _NOBODY
    interest.within[client, LAST_RING] = _NOBODY
    interest.renewal_tick[client] = NEVER
    interest.fitted[client] = 0


@njit(cache=True, nogil=True, **INNER)
def _renew_view(world: World, interest: Interest, client: int, tick: int) -> None:
    """Renew a client's view. Clients take turns, so that renewing costs the same in every tick."""
    afar, come, gone = interest.sets[0], interest.sets[1], interest.sets[2]
    mates = interest.mates[interest.team[client]]
    for group in range(len(afar)):
        afar[group] = (mates[group] & interest.present[group]) | interest.far[group]
    measure(
        interest.east_m, interest.north_m, world.body[X_M, client], world.body[Y_M, client], interest.near
    )
    count, comes = update_view(
        interest.near,
        interest.within[client],
        afar,
        interest.still,
        client,
        interest.left[client],
        come,
        gone,
    )
    if count > 0:
        interest.filled[client] = take_out(interest.waiting[client], interest.filled[client], gone)
    if comes:
        interest.filled[client] = put_in(
            interest.waiting[client], interest.filled[client], tick - NEWCOMER_TICKS, come
        )
    interest.left_count[client] = count
    interest.renewal_tick[client] = tick + LOOK_TICKS - (tick + client) % LOOK_TICKS


@njit(cache=True, nogil=True, **INNER)
def _choose(interest: Interest, client: int, tick: int) -> int:
    """Make a client's list ``selected``; returns how many are stale."""
    row, fitted = interest.selected[client], interest.fitted[client]
    row[0] = client
    count, stale = _collect_due(interest, client, tick, interest.sets[0])
    if count < min(fitted, len(row)):  # so many fitted the last time, so the order decides nothing
        count = 1
        for group in range(interest.sets.shape[1]):
            count = list_members(interest.sets[0, group], group, row, count, len(row))
    else:
        count = _list_in_order(interest, client, tick, min(len(row), fitted + fitted // 4 + MAX_EXTRA))
    interest.selected_count[client] = count
    return int(stale)


@njit(cache=True, nogil=True, **INNER)
def _collect_due(interest: Interest, client: int, tick: int, due: Words) -> tuple[int, int]:
    """Put who is due into the set ``due`` (uint64[G]); returns how many are, and how many are stale."""
    buckets, within = interest.waiting[client], interest.within[client]
    due[:] = _NOBODY
    filled = by_waiting(interest.filled[client], tick)
    late = filled & _STALE
    while late != _NOBODY:
        bucket = buckets[(tick - OLDEST + trailing_zeros(late)) & OLDEST]
        late &= late - _ONE
        for group in range(len(due)):
            due[group] |= bucket[group]
    stale = 0
    if filled & _STALE != _NOBODY:
        for group in range(len(due)):
            stale += set_bits(due[group])
    calm = filled & _CALM
    while calm != _NOBODY:
        waited = OLDEST - trailing_zeros(calm)
        calm &= calm - _ONE
        bucket, near = buckets[(tick - waited) & OLDEST], within[DUE_RING[waited]]
        for group in range(len(due)):
            due[group] |= bucket[group] & near[group]
    count = 0
    for group in range(len(due)):
        count += set_bits(due[group])
    return count, stale


@njit(cache=True, nogil=True, **INNER)
def _list_in_order(interest: Interest, client: int, tick: int, limit: int) -> int:
    """List who is due behind the client itself, most important first, up to ``limit``; returns how many."""
    buckets, within, row = interest.waiting[client], interest.within[client], interest.selected[client]
    count = 1
    filled = by_waiting(interest.filled[client], tick)
    late = filled & _STALE
    while late != _NOBODY and count < limit:
        waited = OLDEST - trailing_zeros(late)
        late &= late - _ONE
        bucket = buckets[(tick - waited) & OLDEST]
        # Who has waited OLDEST or longer is all one, so they take turns: nobody is passed over for ever.
        begin = interest.resume_at[client] if waited == OLDEST else 0
        first, behind = begin // GROUP, _ALL << np.uint64(begin % GROUP)
        count = list_members(bucket[first] & behind, first, row, count, limit)
        for group in range(first + 1, len(bucket)):
            count = list_members(bucket[group], group, row, count, limit)
        for group in range(first):
            count = list_members(bucket[group], group, row, count, limit)
        count = list_members(bucket[first] & ~behind, first, row, count, limit)
    for place in range(len(CALM)):
        waited, ring = CALM[place, 0], CALM[place, 1]
        if count >= limit:
            break
        if (filled >> np.uint64(OLDEST - waited)) & _ONE == _NOBODY:
            continue
        bucket = buckets[(tick - waited) & OLDEST]
        for group in range(len(bucket)):
            nearer = within[ring - 1, group] if ring > 0 else _NOBODY
            count = list_members(bucket[group] & within[ring, group] & ~nearer, group, row, count, limit)
    return count


@njit(cache=True, nogil=True, **STAGE)
def count_sent_bytes(sent_bytes: npt.NDArray[np.int64], wire: ServerState) -> None:
    """Add to ``sent_bytes`` (int64[N]) the size of the snapshots now encoded, IP and UDP headers included."""
    for client in range(len(sent_bytes)):
        bits = wire.per_slot[PLAIN_BITS, client]
        if bits > 0:
            sealed = DOWN_HEADER_BYTES + sealing.tag_bytes(wire.slots[client].cipher)
            sent_bytes[client] += IP_UDP_BYTES + sealed + ((bits + 7) >> 3)
