"""Snapshots: what each client sees in this tick, as differences to what it is known to have.

Layout, bit-packed: SNAPSHOT_FIELDS; then, each behind a flag bit, the reliable section, the match state with
scores and objectives, the vitals, the hints, and the leaves (count in 6 bits, entity indexes of 11); then the
number of records in 9 bits, and the records by ascending entity index, as `records` writes them.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Ints, Longs, Words, int64, njit
from dedicated_server.native.memory import prefetch
from dedicated_server.protocol import datagrams, fields, sealing
from dedicated_server.protocol.bits import append, trailing_zeros
from dedicated_server.protocol.entities import load_record, store_record
from dedicated_server.protocol.fields import (
    CLIENT_TICK_MASK,
    HINT_LEASTS,
    HINT_WIDTHS,
    HISTORY_TICKS,
    INDEX_BITS,
    INPUT_LAG_BITS,
    LEAVE_COUNT_BITS,
    MATCH_LEASTS,
    MATCH_WIDTHS,
    MESSAGE_SNAPSHOT,
    OBJECTIVE_LEASTS,
    OBJECTIVE_WIDTHS,
    RECORD_COUNT_BITS,
    SCORE_LEASTS,
    SCORE_WIDTHS,
    SNAPSHOT_LEASTS,
    SNAPSHOT_WIDTHS,
    TICK_MASK,
)
from dedicated_server.protocol.server.line import COMFORT_BYTES, note_sent
from dedicated_server.protocol.server.records import (
    common_age,
    gap_bits_for,
    select_what_fits,
    write_records,
)
from dedicated_server.protocol.server.reliable import write_reliable
from dedicated_server.protocol.server.roster import queue_roster
from dedicated_server.protocol.server.state import (
    BASELINE,
    BUDGET_BYTES,
    FLOOR,
    GROUP,
    INPUT_APPLIED,
    INPUT_NEWEST,
    LEAVING_COUNT,
    MAX_LEAVES,
    MEMBERS,
    PACE,
    PACKED_COUNT,
    PHASE_SENT,
    PLAIN_BITS,
    SENT_LEAVES,
    SENT_RECORDS,
    SLOT_HEAD_BYTES,
    ServerState,
)
from dedicated_server.protocol.server.vitals import write_vitals
from dedicated_server.protocol.tables import write_fields

MATCH_EVERY_TICKS = 8
PREFETCH_CLIENTS = 4  # clients whose memory is being fetched while one snapshot is written
HEAD_BYTES = 64  # prefetched of the memory that a snapshot will be written to: for its head,
RECORD_BYTES = 5  # and for each record
DENSE = 16  # entities in a line of memory: with one selected in every line, lines are fetched in a row

MAX_INPUT_LAG = (1 << INPUT_LAG_BITS) - 1
_AGE_MASK = HISTORY_TICKS - 1
_ONE = np.uint64(1)


@njit(cache=True, nogil=True, **STAGE)
def encode_batch(
    state: ServerState,
    tick: int,
    world: Longs,
    selected: Ints,
    selected_count: Ints,
    left: Ints,
    left_count: Ints,
    match_state: Ints,
    hints: Ints,
) -> None:
    """Write every connected client's snapshot of ``tick``; `wire` describes the arrays."""
    for entity in range(state.history.shape[1]):
        store_record(state.history[tick & _AGE_MASK, entity], load_record(world[entity]))
    clients = state.status.shape[0]
    for client in range(min(PREFETCH_CLIENTS, clients)):
        _prefetch_snapshot(state, tick, client, selected[client], selected_count[client])
    for client in range(clients):
        ahead = client + PREFETCH_CLIENTS
        if ahead < clients:
            _prefetch_snapshot(state, tick, ahead, selected[ahead], selected_count[ahead])
        _remember_leaves(state, client, tick, left[client], left_count[client])
        state.per_slot[PLAIN_BITS, client] = 0
        state.per_slot[PACKED_COUNT, client] = -1
        if state.status[client] == datagrams.CONNECTED and selected_count[client] >= 0:
            _encode_snapshot(
                state, tick, client, selected[client], selected_count[client], match_state, hints[client]
            )


@njit(cache=True, nogil=True, **INNER)
def prefetch_plain(state: ServerState, client: int, records: int) -> None:
    """Prefetch the memory into which a client's snapshot of so many records will be written."""
    prefetch(state.plain[client].ctypes.data, HEAD_BYTES + RECORD_BYTES * records)


@njit(cache=True, nogil=True, **INNER)
def _prefetch_snapshot(
    state: ServerState, tick: int, client: int, selected: Ints, selected_count: int
) -> None:
    """Prefetch what the snapshot of one client needs and others do not."""
    count = max(selected_count, 0)
    prefetch(state.slots[client : client + 1].ctypes.data, SLOT_HEAD_BYTES)
    prefetch_plain(state, client, count)
    sent = state.sent[client, tick & _AGE_MASK]
    prefetch(sent.ctypes.data, 8 * sent.size)
    baselines = state.views[BASELINE, client]
    if DENSE * count > len(baselines):
        prefetch(baselines.ctypes.data, 4 * len(baselines))
    else:
        for place in range(count):
            prefetch(baselines.ctypes.data + 4 * int64(selected[place]), 1)


@njit(cache=True, nogil=True, **INNER)
def _remember_leaves(state: ServerState, client: int, tick: int, left: Ints, left_count: int) -> None:
    leaving = state.leaving[client]
    for place in range(left_count):
        other = int64(left[place])
        state.views[BASELINE, client, other] = 0
        state.views[FLOOR, client, other] = tick
        bit = _ONE << np.uint64(other % GROUP)
        state.per_slot[LEAVING_COUNT, client] += leaving[other // GROUP] & bit == 0
        leaving[other // GROUP] |= bit


@njit(cache=True, nogil=True, **INNER)
def _encode_snapshot(
    state: ServerState,
    tick: int,
    client: int,
    selected: Ints,
    selected_count: int,
    match_state: Ints,
    hints: int,
) -> None:
    slot = state.slots[client]
    words = state.plain[client]
    budget = min(int64(state.per_slot[BUDGET_BYTES, client]), datagrams.MAX_DATAGRAM_BYTES)
    sealed_bytes = datagrams.DOWN_HEADER_BYTES + sealing.tag_bytes(slot.cipher)
    budget_bits = 8 * (budget - sealed_bytes)
    base_age = common_age(state.views[BASELINE, client], selected, selected_count, tick)
    gap_bits = gap_bits_for(state.history.shape[1], selected_count, budget_bits)

    queue_roster(state, client)
    position = _write_head(state, words, tick, client, base_age, gap_bits)
    position = write_reliable(state, words, position, slot, budget_bits // 2 - position)
    phase = match_state[fields.MATCH_PHASE]
    due = (tick + client) % MATCH_EVERY_TICKS == 0 or phase != state.per_slot[PHASE_SENT, client]
    position = append(words, position, int64(due), 1)
    if due:
        state.per_slot[PHASE_SENT, client] = phase
        position = _write_match(words, position, match_state)
    turn = tick // MATCH_EVERY_TICKS
    position = write_vitals(state, words, position, client, turn, due, budget_bits // 2)
    position = append(words, position, int64(hints != 0), 1)
    if hints != 0:
        position = write_fields(words, position, (int64(hints) & 0xFFFF,), HINT_WIDTHS, HINT_LEASTS)
    sent = state.sent[client, tick & _AGE_MASK]
    position = _write_leaves(state, words, position, client, selected, selected_count, sent[SENT_LEAVES])

    fitting = select_what_fits(
        state, tick, client, selected, selected_count, base_age, gap_bits,
        budget_bits - position - RECORD_COUNT_BITS,
    )  # fmt: skip
    position = append(words, position, fitting, RECORD_COUNT_BITS)
    position = write_records(state, words, position, tick, client, base_age, gap_bits)
    for group in range(sent.shape[1]):
        sent[SENT_RECORDS, group] = state.sets[MEMBERS, group]
    state.sent_ticks[client, tick & _AGE_MASK] = tick
    size_bytes = datagrams.IP_UDP_BYTES + sealed_bytes + ((position + 7) >> 3)
    wanted_bytes = max(size_bytes, COMFORT_BYTES) if fitting < selected_count else size_bytes
    note_sent(state.lines[client], wanted_bytes)
    state.sent_bytes[client, tick & _AGE_MASK] = size_bytes
    slot.waiting |= _ONE << np.uint64(-tick & _AGE_MASK)
    slot.sent_newest_tick = tick
    state.per_slot[PLAIN_BITS, client] = position
    state.per_slot[PACKED_COUNT, client] = fitting
    state.counters[datagrams.SNAPSHOTS] += 1
    state.counters[datagrams.SNAPSHOT_BITS] += position
    state.counters[datagrams.OVER_BUDGET] += int64(fitting < selected_count)


@njit(cache=True, nogil=True, **INNER)
def _write_head(
    state: ServerState, words: Words, tick: int, client: int, base_age: int, gap_bits: int
) -> int:
    newest = int64(state.per_slot[INPUT_NEWEST, client])
    lag = max(0, min(newest - state.per_slot[INPUT_APPLIED, client], MAX_INPUT_LAG))
    values = (
        int64(MESSAGE_SNAPSHOT),
        int64(tick) & TICK_MASK,
        newest & CLIENT_TICK_MASK,
        int64(lag),
        int64(base_age),
        int64(gap_bits),
        int64(state.per_slot[PACE, client]),
    )
    words[0] = np.uint64(0)
    return write_fields(words, 0, values, SNAPSHOT_WIDTHS, SNAPSHOT_LEASTS)


@njit(cache=True, nogil=True, **INNER)
def _write_match(words: Words, position: int, match_state: Ints) -> int:
    """The match's table, its scores and its objectives; a client gets them every 8th tick, in turns."""
    position = write_fields(
        words, position, match_state[: fields.MATCH_SCORES_AT], MATCH_WIDTHS, MATCH_LEASTS
    )
    for score in range(min(int64(match_state[fields.MATCH_SCORES]), fields.MAX_SCORES)):
        at = fields.MATCH_SCORES_AT + score
        position = write_fields(words, position, match_state[at : at + 1], SCORE_WIDTHS, SCORE_LEASTS)
    for objective in range(min(int64(match_state[fields.MATCH_OBJECTIVES]), fields.MAX_OBJECTIVES)):
        at = fields.MATCH_OBJECTIVES_AT + objective * fields.OBJECTIVE_COLUMNS
        values = match_state[at : at + fields.OBJECTIVE_COLUMNS]
        position = write_fields(words, position, values, OBJECTIVE_WIDTHS, OBJECTIVE_LEASTS)
    return position


@njit(cache=True, nogil=True, **INNER)
def _write_leaves(
    state: ServerState,
    words: Words,
    position: int,
    client: int,
    selected: Ints,
    selected_count: int,
    sent: Words,
) -> int:
    """Write the entities that left, until acknowledged; one that is selected again has come back instead."""
    leaving = state.leaving[client]
    count = int64(state.per_slot[LEAVING_COUNT, client])
    sent[:] = np.uint64(0)
    if count > 0:
        for place in range(selected_count):
            back = int64(selected[place])
            bit = _ONE << np.uint64(back % GROUP)
            count -= int64(leaving[back // GROUP] & bit != 0)
            leaving[back // GROUP] &= ~bit
        state.per_slot[LEAVING_COUNT, client] = count
    count = min(count, MAX_LEAVES)
    position = append(words, position, int64(count > 0), 1)
    if count == 0:
        return position
    position = append(words, position, count, LEAVE_COUNT_BITS)
    for group in range(len(leaving)):
        members = leaving[group]
        while members != 0 and count > 0:
            position = append(words, position, GROUP * group + trailing_zeros(members), INDEX_BITS)
            sent[group] |= members & (~members + _ONE)
            members &= members - _ONE
            count -= 1
    return position
