"""The first stage of a tick: open datagrams, check replays, decode, acknowledge; end connections."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Ints, Words, int64, njit
from dedicated_server.protocol import datagrams, inputs, reasons, sealing
from dedicated_server.protocol.bits import (
    read_uint,
    set_bits,
    trailing_zeros,
)
from dedicated_server.protocol.fields import HISTORY_TICKS, MESSAGE_LEAVE
from dedicated_server.protocol.server import admission, paths
from dedicated_server.protocol.server.client_says import said_end, take_said
from dedicated_server.protocol.server.farewells import answer_farewell, begin_farewell, dismiss
from dedicated_server.protocol.server.line import begin_line, note_acknowledged, note_pause
from dedicated_server.protocol.server.refusals import answer_unsealed
from dedicated_server.protocol.server.reliable import acknowledge_reliable
from dedicated_server.protocol.server.state import (
    ACKED_TICK,
    BASELINE,
    FLOOR,
    GROUP,
    INPUT_NEWEST,
    LEAVING_COUNT,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    SENT_LEAVES,
    SENT_RECORDS,
    ServerState,
)
from dedicated_server.protocol.server.view_age import note_view_age

PAUSE_TICKS = 4  # missed in a row: to a round trip they are what jitter is
_TAKEN = -1
_DENSE = 16  # records of 64 from which going through all 64 is cheaper
_ONE = np.uint64(1)
_AGES = HISTORY_TICKS - 1


@njit(cache=True, nogil=True, **STAGE)
def open_batch(
    state: ServerState, batch: Bytes, lengths: Ints, senders: Bytes, count: int, now_s: float, tick: int
) -> None:
    """Open and read ``count`` datagrams; `wire` describes the arrays.

    Never raises, whatever the datagrams hold.
    """
    state.out_count[0] = 0
    identity = state.identity[0]
    identity.requests = identity.responses = identity.unsealed = 0
    if tick - identity.last_tick > PAUSE_TICKS:
        identity.resumed_tick = tick
    identity.last_tick = tick
    state.per_slot[NEWLY_CONNECTED, :] = 0
    state.per_slot[NEWLY_LOST, :] = 0
    for index in range(count):
        length = int64(lengths[index])
        state.counters[datagrams.RECEIVED] += 1
        state.counters[datagrams.RECEIVED_BYTES] += length
        reason = _receive(state, batch[index], length, senders[index], now_s, tick)
        if reason >= 0:
            state.drops[reason] += 1
    _end_connections(state, now_s)


@njit(cache=True, nogil=True, **INNER)
def _receive(state: ServerState, datagram: Bytes, length: int, sender: Bytes, now_s: float, tick: int) -> int:
    if length < 1 or length > datagrams.MAX_DATAGRAM_BYTES:
        return datagrams.DROP_LENGTH
    kind = datagram[0]
    if kind == datagrams.FROM_CLIENT:
        return _receive_sealed(state, datagram, length, sender, now_s, tick)
    if kind == datagrams.REQUEST:
        return admission.receive_request(state, datagram, length, sender, now_s)
    if kind == datagrams.RESPONSE:
        return admission.receive_response(state, datagram, length, sender, now_s, tick)
    return datagrams.DROP_KIND


@njit(cache=True, nogil=True, **INNER)
def _receive_sealed(
    state: ServerState, datagram: Bytes, length: int, sender: Bytes, now_s: float, tick: int
) -> int:
    if length <= datagrams.UP_HEADER_BYTES:
        return datagrams.DROP_LENGTH
    entity = paths.find_slot(state.slots, datagram)
    if entity < 0:
        answer_unsealed(state, length, sender, reasons.UNKNOWN_SESSION)
        return datagrams.DROP_UNKNOWN_CONNECTION
    slot = state.slots[entity]
    connected = state.status[entity] == datagrams.CONNECTED
    if not connected and slot.farewell == 0:
        return datagrams.DROP_NOT_CONNECTED
    cipher = slot.cipher
    if length <= datagrams.UP_HEADER_BYTES + sealing.tag_bytes(cipher):
        return datagrams.DROP_LENGTH
    sequence = read_uint(datagram, datagrams.UP_SEQUENCE_AT, datagrams.SEQUENCE_BYTES)
    freshness = sealing.check_sequence(slot.replay, slot.receive_newest, sequence)
    if freshness == sealing.TOO_OLD:
        return datagrams.DROP_TOO_OLD
    if freshness == sealing.REPLAYED:
        return datagrams.DROP_REPLAYED
    moves = not paths.is_at(slot, sender)
    if moves and sequence < slot.receive_newest:
        return datagrams.DROP_OLD_PATH
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    sealing.write_sequence_nonce(nonce, sequence)
    at = datagram.ctypes.data
    plain_bytes = sealing.unseal(
        cipher, slot.receive_key.ctypes.data, nonce.ctypes.data, at, datagrams.UP_HEADER_BYTES,
        at + datagrams.UP_HEADER_BYTES, length - datagrams.UP_HEADER_BYTES, state.scratch.ctypes.data,
    )  # fmt: skip
    if plain_bytes < 0:
        return datagrams.DROP_FORGED
    slot.receive_newest = sealing.mark_sequence(slot.replay, slot.receive_newest, sequence)
    if moves:
        paths.move(slot, sender)
        begin_line(state.lines[entity], tick)
        state.counters[datagrams.MOVES] += 1
    paths.credit_path(slot, length)
    if slot.farewell != 0:
        answered = answer_farewell(state, entity, plain_bytes * 8)
        if not connected:
            return _TAKEN if answered else datagrams.DROP_NOT_CONNECTED
        if answered:  # the session ends because the server said so: nobody counts as leaving
            _leave(state, entity)
            return _TAKEN
    slot.received_at_s = now_s
    return _take_message(state, entity, plain_bytes * 8, now_s, tick)


@njit(cache=True, nogil=True, **INNER)
def _leave(state: ServerState, entity: int) -> None:
    state.status[entity] = datagrams.LEFT
    state.per_slot[NEWLY_LOST, entity] = 1


@njit(cache=True, nogil=True, **INNER)
def _take_message(state: ServerState, entity: int, bits: int, now_s: float, tick: int) -> int:
    words = state.scratch
    head = state.heads
    slot = state.slots[entity]
    position = inputs.read_head(words, bits, slot.head_bits, head)
    if position < 0:
        return datagrams.DROP_MALFORMED
    if head[inputs.HEAD_MESSAGE] == MESSAGE_LEAVE:
        _leave(state, entity)
        state.counters[datagrams.LEAVES] += 1
        return _TAKEN
    said_at = inputs.inputs_end(words, position, bits, head[inputs.HEAD_INPUT_COUNT], slot.input_bits)
    end = said_at
    if end >= 0 and head[inputs.HEAD_SAYS] == 1:
        end = said_end(words, said_at, bits)
    if not inputs.is_padding(words, end, bits):
        return datagrams.DROP_MALFORMED
    if not inputs.widen_ticks(head, slot.sent_newest_tick, int64(state.per_slot[INPUT_NEWEST, entity])):
        return datagrams.DROP_MALFORMED
    if not 0 <= head[inputs.HEAD_ACK_TICK] <= slot.sent_newest_tick:
        return datagrams.DROP_FUTURE_ACK
    acked = int64(state.per_slot[ACKED_TICK, entity])
    oldest_view = note_view_age(slot, tick, max(acked, head[inputs.HEAD_ACK_TICK]), acked == 0)
    inputs.read_inputs(words, position, state.inputs[entity], head, slot.input_bits, oldest_view)
    if head[inputs.HEAD_INPUT_TICK] > state.per_slot[INPUT_NEWEST, entity]:
        state.per_slot[INPUT_NEWEST, entity] = head[inputs.HEAD_INPUT_TICK]
    acknowledge_reliable(slot, head[inputs.HEAD_RELIABLE_ACK])
    paths.prove_path(slot, head[inputs.HEAD_ACK_TICK], head[inputs.HEAD_ACK_BITS])
    _acknowledge_snapshots(state, entity, head[inputs.HEAD_ACK_TICK], head[inputs.HEAD_ACK_BITS], tick)
    if head[inputs.HEAD_SAYS] == 1:
        take_said(state, entity, words, said_at, bits, now_s)
    return _TAKEN


@njit(cache=True, nogil=True, **INNER)
def _acknowledge_snapshots(
    state: ServerState, entity: int, ack_tick: int, ack_bits: int, now_tick: int
) -> None:
    """Make each newly acknowledged snapshot the baseline of the entities that it held."""
    newest, counted = False, False
    if ack_tick > state.per_slot[ACKED_TICK, entity]:
        state.per_slot[ACKED_TICK, entity] = ack_tick
        newest = True
    slot = state.slots[entity]
    turn = -ack_tick & _AGES
    received = np.uint64((ack_bits << 1) | 1)
    around = (received << np.uint64(turn)) | ((received >> _ONE) >> np.uint64(_AGES - turn))
    fresh = slot.waiting & around  # one or two, of the 33 that every datagram repeats
    while fresh != 0:
        bit = trailing_zeros(fresh)
        fresh &= fresh - _ONE
        tick = ack_tick - ((bit - turn) & _AGES)
        place = -bit & _AGES
        if tick > 0 and state.sent_ticks[entity, place] == tick:
            state.sent_ticks[entity, place] = 0
            slot.waiting &= ~(_ONE << np.uint64(bit))
            state.lines[entity].delivered_bytes += state.sent_bytes[entity, place]
            counted |= tick == ack_tick
            _acknowledge_snapshot(state, entity, tick, state.sent[entity, place])
    if newest:
        _note_round_trip(state, entity, ack_tick, counted, now_tick)


@njit(cache=True, nogil=True, **INNER)
def _note_round_trip(state: ServerState, entity: int, ack_tick: int, counted: bool, now_tick: int) -> None:
    if ack_tick < state.identity[0].resumed_tick:
        note_pause(state.lines[entity], now_tick)
        return
    if counted or now_tick - ack_tick >= HISTORY_TICKS:  # and not a tick in which it was sent none
        note_acknowledged(state.lines[entity], now_tick - ack_tick, counted, now_tick)


@njit(cache=True, nogil=True, **INNER)
def _acknowledge_snapshot(state: ServerState, entity: int, tick: int, sent: Words) -> None:
    baselines = state.views[BASELINE, entity]
    floors = state.views[FLOOR, entity]
    for group in range(sent.shape[1]):
        first = group * GROUP
        records = sent[SENT_RECORDS, group]
        if set_bits(records) >= _DENSE:  # a crowd: eight entities at once
            for bit in range(min(GROUP, baselines.shape[0] - first)):
                other = first + bit
                known = max(baselines[other], floors[other])
                counts = (records >> np.uint64(bit)) & _ONE != 0 and tick > known
                baselines[other] = tick if counts else baselines[other]
        else:
            while records != 0:
                other = first + trailing_zeros(records)
                records &= records - _ONE
                if tick > floors[other] and tick > baselines[other]:
                    baselines[other] = tick
        leaves = sent[SENT_LEAVES, group]
        while leaves != 0:
            _end_leave(state, entity, first + trailing_zeros(leaves), tick)
            leaves &= leaves - _ONE


@njit(cache=True, nogil=True, **INNER)
def _end_leave(state: ServerState, entity: int, other: int, tick: int) -> None:
    """The client knows that ``other`` left, unless it came and left again since that snapshot."""
    if tick < state.views[FLOOR, entity, other]:
        return
    leaving, bit = state.leaving[entity], _ONE << np.uint64(other % GROUP)
    if leaving[other // GROUP] & bit != 0:
        leaving[other // GROUP] &= ~bit
        state.per_slot[LEAVING_COUNT, entity] -= 1


@njit(cache=True, nogil=True, **INNER)
def _end_connections(state: ServerState, now_s: float) -> None:
    """Time out the silent. Whoever was kicked has left, also if they had timed out before."""
    time_out_s = state.identity[0].time_out_s
    for entity in range(state.status.shape[0]):
        slot, status = state.slots[entity], state.status[entity]
        if slot.dismissal != 0:
            dismiss(state, entity)
        elif status == datagrams.CONNECTED and now_s - slot.received_at_s > time_out_s:
            state.status[entity] = datagrams.TIMED_OUT
            state.per_slot[NEWLY_LOST, entity] = 1
            state.counters[datagrams.TIME_OUTS] += 1
            begin_farewell(state, entity, reasons.TIMED_OUT, 0)  # said when the client sends again
