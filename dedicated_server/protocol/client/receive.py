"""What a client receives: a challenge or a refusal, then sealed snapshots, decoded into what it sees."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Row, Words, int64, njit
from dedicated_server.protocol import datagrams, fields, sealing
from dedicated_server.protocol import handshake as hs
from dedicated_server.protocol.bits import copy_bytes, read_uint, same_bytes, take_int
from dedicated_server.protocol.client.records import read_leaves, read_records
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_REFUSED,
    CLIENT_REQUESTING,
    CLIENT_RESPONDING,
    EVENT_RING,
    SENT_RING,
    ClientState,
)
from dedicated_server.protocol.fields import (
    AGE_BITS,
    BASE_AGE_AT,
    GAP_BITS,
    GAP_BITS_AT,
    HINT_BITS,
    HISTORY_TICKS,
    INPUT_LAG_AT,
    INPUT_LAG_BITS,
    INPUT_NEWEST_AT,
    INPUT_NEWEST_BITS,
    MATCH_AT,
    MATCH_BITS,
    MATCH_WIDTHS,
    MAX_TICK,
    MESSAGE_BITS,
    MESSAGE_KEEP_ALIVE,
    MESSAGE_SNAPSHOT,
    RELIABLE_A_AT,
    RELIABLE_A_BITS,
    RELIABLE_B_AT,
    RELIABLE_B_BITS,
    RELIABLE_BITS,
    RELIABLE_COUNT_BITS,
    RELIABLE_HEAD_BITS,
    RELIABLE_KIND_BITS,
    RELIABLE_NUMBER_BITS,
    RELIABLE_NUMBER_MASK,
    SNAPSHOT_HEAD_BITS,
    TICK_AT,
    TICK_BITS,
)

RECEIVED_DROPPED, RECEIVED_CHALLENGE, RECEIVED_KEEP_ALIVE, RECEIVED_SNAPSHOT, RECEIVED_REFUSAL = range(5)

_AGE_MASK = HISTORY_TICKS - 1
_ACK_MASK = (1 << 32) - 1
_RTT_GAIN = 0.125


@njit(cache=True, nogil=True, **STAGE)
def client_receive(state: ClientState, index: int, datagram: Bytes, length: int, now_s: float) -> int:
    """Read one datagram of client ``index``; return what it was, RECEIVED_….

    `client.sessions` describes the arguments.
    """
    session = state.sessions[index]
    if length < 1 or length > datagrams.MAX_DATAGRAM_BYTES:
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    session.received_bytes += length
    session.received_datagrams += 1
    kind = datagram[0]
    if kind == datagrams.FROM_SERVER:
        return _receive_sealed(state, session, index, datagram, length, now_s)
    if kind == datagrams.CHALLENGE:
        return _receive_challenge(state, session, datagram, length, now_s)
    if kind == datagrams.REFUSAL:
        return _receive_refusal(state, session, datagram, length)
    return _drop(state, datagrams.CLIENT_DROP_KIND)


@njit(cache=True, nogil=True, **INNER)
def _drop(state: ClientState, reason: int) -> int:
    state.drops[reason] += 1
    return RECEIVED_DROPPED


@njit(cache=True, nogil=True, **INNER)
def _receive_challenge(state: ClientState, session: Row, datagram: Bytes, length: int, now_s: float) -> int:
    if length != datagrams.CHALLENGE_BYTES:
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    if session.state != CLIENT_REQUESTING:
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    work = state.workspace
    hashed = work[datagrams.AT_HASHED :]
    hs.challenge_mac(
        work,
        datagrams.AT_MAC,
        hashed,
        session.down_key.ctypes.data,
        datagram,
        session.request,
        hs.AT_TOKEN_TAG,
    )
    if not same_bytes(work, datagrams.AT_MAC, datagram, hs.AT_CHALLENGE_MAC, datagrams.MAC_BYTES):
        return _drop(state, datagrams.CLIENT_DROP_CHALLENGE_FORGED)
    response = session.response
    copy_bytes(response, 0, session.request, 0, datagrams.REQUEST_BYTES)
    response[0] = datagrams.RESPONSE
    copy_bytes(response, hs.AT_RESPONSE_COOKIE, datagram, hs.AT_CHALLENGE_COOKIE, datagrams.COOKIE_BYTES)
    hs.response_mac(response, hs.AT_RESPONSE_MAC, response, session.up_key.ctypes.data)
    hs.session_key(session.send_key, hashed, session.up_key.ctypes.data, response, hs.AT_RESPONSE_COOKIE)
    hs.session_key(session.receive_key, hashed, session.down_key.ctypes.data, response, hs.AT_RESPONSE_COOKIE)
    session.state = CLIENT_RESPONDING
    session.repeat_at_s = now_s
    return RECEIVED_CHALLENGE


@njit(cache=True, nogil=True, **INNER)
def _receive_refusal(state: ClientState, session: Row, datagram: Bytes, length: int) -> int:
    """The server does not take the token: the client asks no more."""
    if length != datagrams.REFUSAL_BYTES:
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    if session.state != CLIENT_REQUESTING and session.state != CLIENT_RESPONDING:
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    work = state.workspace
    hs.refusal_mac(
        work,
        datagrams.AT_MAC,
        work[datagrams.AT_HASHED :],
        session.down_key.ctypes.data,
        datagram,
        session.request,
        hs.AT_TOKEN_TAG,
    )
    if not same_bytes(work, datagrams.AT_MAC, datagram, hs.AT_REFUSAL_MAC, datagrams.MAC_BYTES):
        return _drop(state, datagrams.CLIENT_DROP_REFUSAL_FORGED)
    session.refusal = int64(datagram[1])
    session.refused_ms = read_uint(datagram, datagrams.REFUSAL_TIME_AT, 8)
    session.state = CLIENT_REFUSED
    return RECEIVED_REFUSAL


@njit(cache=True, nogil=True, **INNER)
def _receive_sealed(
    state: ClientState, session: Row, index: int, datagram: Bytes, length: int, now_s: float
) -> int:
    if session.state != CLIENT_RESPONDING and session.state != CLIENT_CONNECTED:
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    if length <= datagrams.HEADER_BYTES + sealing.tag_bytes(session.cipher):
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    sequence = read_uint(datagram, datagrams.SEQUENCE_AT, datagrams.SEQUENCE_BYTES)
    freshness = sealing.check_sequence(session.replay, session.receive_newest, sequence)
    if freshness == sealing.TOO_OLD:
        return _drop(state, datagrams.CLIENT_DROP_TOO_OLD)
    if freshness == sealing.REPLAYED:
        return _drop(state, datagrams.CLIENT_DROP_REPLAYED)
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    sealing.write_sequence_nonce(nonce, sequence)
    at = datagram.ctypes.data
    plain_bytes = sealing.unseal(
        session.cipher, session.receive_key.ctypes.data, nonce.ctypes.data, at, datagrams.HEADER_BYTES,
        at + datagrams.HEADER_BYTES, length - datagrams.HEADER_BYTES, state.scratch.ctypes.data,
    )  # fmt: skip
    if plain_bytes < 0:
        return _drop(state, datagrams.CLIENT_DROP_FORGED)
    session.receive_newest = sealing.mark_sequence(session.replay, session.receive_newest, sequence)
    session.received_at_s = now_s
    session.state = CLIENT_CONNECTED
    bits = plain_bytes * 8
    message = take_int(state.scratch, 0, MESSAGE_BITS)
    if message == MESSAGE_KEEP_ALIVE:
        return RECEIVED_KEEP_ALIVE
    if message != MESSAGE_SNAPSHOT or bits < SNAPSHOT_HEAD_BITS:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    return _take_snapshot(state, session, index, bits, now_s)


@njit(cache=True, nogil=True, **INNER)
def _take_snapshot(state: ClientState, session: Row, index: int, bits: int, now_s: float) -> int:
    """Decode a snapshot. One older than the newest is dropped, as it would show the past."""
    words = state.scratch
    # A stream that ends early reads as zeros, not as what an earlier datagram left. The end is checked last.
    for word in range(bits >> 6, words.shape[0]):
        kept = bits - (word << 6)
        if kept <= 0:
            words[word] = np.uint64(0)
        else:
            words[word] &= (np.uint64(1) << np.uint64(kept)) - np.uint64(1)
    tick = take_int(words, TICK_AT, TICK_BITS)
    if tick > MAX_TICK or tick == 0:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    if tick <= session.snapshot_tick:
        return _drop(state, datagrams.CLIENT_DROP_LATE)
    base_age = take_int(words, BASE_AGE_AT, AGE_BITS)
    gap_bits = take_int(words, GAP_BITS_AT, GAP_BITS)
    position = _read_reliable(state, session, index, words, SNAPSHOT_HEAD_BITS, bits)
    position = _read_match(session, words, position)
    session.hints = 0
    has_hints = take_int(words, position, 1)
    position += 1
    if has_hints == 1:
        session.hints = take_int(words, position, HINT_BITS)
        position += HINT_BITS
    position = read_leaves(state, index, words, position)
    if position < 0 or position > bits:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    position, reason = read_records(state, index, words, position, bits, tick, base_age, gap_bits)
    if reason >= 0:
        return _drop(state, reason)
    _acknowledge(session, tick)
    state.history_ticks[index, tick & _AGE_MASK] = tick
    session.snapshot_tick = tick
    session.snapshot_at_s = now_s
    session.snapshots += 1
    newest = take_int(words, INPUT_NEWEST_AT, INPUT_NEWEST_BITS)
    _measure_round_trip(session, newest, take_int(words, INPUT_LAG_AT, INPUT_LAG_BITS), now_s)
    return RECEIVED_SNAPSHOT


@njit(cache=True, nogil=True, **INNER)
def _acknowledge(session: Row, tick: int) -> None:
    passed = tick - session.snapshot_tick
    if session.snapshot_tick == 0 or passed > 32:
        session.ack_bits = 0
    else:
        session.ack_bits = ((session.ack_bits << passed) | (1 << (passed - 1))) & _ACK_MASK


@njit(cache=True, nogil=True, **INNER)
def _measure_round_trip(session: Row, echo: int, lag: int, now_s: float) -> None:
    """Measure from the sending of a client tick to the snapshot that reports it, with the server's wait."""
    if echo > session.input_echo and echo <= session.input_tick:
        if session.input_tick - echo < SENT_RING:
            sample = now_s - session.sent_at_s[echo % SENT_RING]
            if session.rtt_s == 0.0:
                session.rtt_s = sample
            else:
                session.rtt_s += _RTT_GAIN * (sample - session.rtt_s)
        session.input_echo = echo
    if echo - lag > session.input_applied:
        session.input_applied = echo - lag


@njit(cache=True, nogil=True, **INNER)
def _read_reliable(
    state: ClientState, session: Row, index: int, words: Words, position: int, bits: int
) -> int:
    """Deliver the new messages in order, each once; return the position behind them."""
    has_messages = take_int(words, position, 1)
    position += 1
    if has_messages == 0:
        return position
    count = take_int(words, position, RELIABLE_COUNT_BITS)
    first = take_int(words, position + RELIABLE_COUNT_BITS, RELIABLE_NUMBER_BITS)
    position += RELIABLE_HEAD_BITS
    for message in range(count):
        if position + RELIABLE_BITS > bits:
            return position + RELIABLE_BITS
        ahead = (first + message - session.reliable_received) & RELIABLE_NUMBER_MASK
        if ahead == 1:
            row = state.events[index, session.events_count % EVENT_RING]
            row[0] = take_int(words, position, RELIABLE_KIND_BITS)
            row[1] = take_int(words, position + RELIABLE_A_AT, RELIABLE_A_BITS)
            row[2] = take_int(words, position + RELIABLE_B_AT, RELIABLE_B_BITS)
            session.events_count += 1
            session.reliable_received += 1
            if row[0] == fields.RELIABLE_MATCH_OVER:
                session.match_over = 1
        position += RELIABLE_BITS
    return position


@njit(cache=True, nogil=True, **INNER)
def _read_match(session: Row, words: Words, position: int) -> int:
    if take_int(words, position, 1) == 0:
        return position + 1
    position += 1
    session.match_phase = take_int(
        words, position + MATCH_AT[fields.MATCH_PHASE], MATCH_WIDTHS[fields.MATCH_PHASE]
    )
    session.zone_x = take_int(
        words, position + MATCH_AT[fields.MATCH_ZONE_X], MATCH_WIDTHS[fields.MATCH_ZONE_X]
    )
    session.zone_y = take_int(
        words, position + MATCH_AT[fields.MATCH_ZONE_Y], MATCH_WIDTHS[fields.MATCH_ZONE_Y]
    )
    session.zone_radius = take_int(
        words, position + MATCH_AT[fields.MATCH_ZONE_RADIUS], MATCH_WIDTHS[fields.MATCH_ZONE_RADIUS]
    )
    session.alive_count = take_int(
        words, position + MATCH_AT[fields.MATCH_ALIVE], MATCH_WIDTHS[fields.MATCH_ALIVE]
    )
    session.countdown_ticks = take_int(
        words, position + MATCH_AT[fields.MATCH_COUNTDOWN], MATCH_WIDTHS[fields.MATCH_COUNTDOWN]
    )
    return position + MATCH_BITS
