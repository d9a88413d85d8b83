"""What a client receives: a challenge or a refusal, then sealed snapshots, decoded into what it sees, and a
farewell at the end.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Row, int64, njit
from dedicated_server.protocol import datagrams, layout, sealing
from dedicated_server.protocol import handshake as hs
from dedicated_server.protocol.bits import copy_bytes, nearest, read_uint, same_bytes, take_int
from dedicated_server.protocol.client.records import read_leaves, read_records
from dedicated_server.protocol.client.sections import read_hints, read_match, read_reliable, read_vitals
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_DISMISSED,
    CLIENT_REFUSED,
    CLIENT_REQUESTING,
    CLIENT_RESPONDING,
    SENT_RING,
    ClientState,
)
from dedicated_server.protocol.fields import (
    CLIENT_TICK_BITS,
    FAREWELL_LEASTS,
    FAREWELL_REASON,
    FAREWELL_WIDTHS,
    HISTORY_TICKS,
    MESSAGE_BITS,
    MESSAGE_FAREWELL,
    MESSAGE_KEEP_ALIVE,
    MESSAGE_SNAPSHOT,
    SNAPSHOT_BASE_AGE,
    SNAPSHOT_GAP_BITS,
    SNAPSHOT_INPUT_LAG,
    SNAPSHOT_INPUT_NEWEST,
    SNAPSHOT_LEASTS,
    SNAPSHOT_PACE,
    SNAPSHOT_TICK,
    SNAPSHOT_WIDTHS,
    TICK_BITS,
)
from dedicated_server.protocol.tables import read_fields

RECEIVED_DROPPED, RECEIVED_CHALLENGE, RECEIVED_KEEP_ALIVE, RECEIVED_SNAPSHOT, RECEIVED_REFUSAL = range(5)
RECEIVED_FAREWELL, RECEIVED_HINT = range(5, 7)

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
    if kind == datagrams.VERSION:
        return _receive_hint(state, session, datagram, length, now_s)
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
    copy_bytes(session.lengths, 0, datagram, hs.AT_LAYOUT, datagrams.SERVER_LENGTHS_BYTES)
    copy_bytes(
        session.entity_layout,
        0,
        datagram,
        hs.AT_LAYOUT + datagrams.SERVER_LENGTHS_BYTES,
        datagrams.ENTITY_LAYOUT_BYTES,
    )
    response = session.response
    copy_bytes(response, 0, session.request, 0, datagrams.REQUEST_BYTES)
    response[0] = datagrams.RESPONSE
    copy_bytes(response, hs.AT_RESPONSE_COOKIE, datagram, hs.AT_CHALLENGE_COOKIE, datagrams.COOKIE_BYTES)
    hs.response_mac(response, hs.AT_RESPONSE_MAC, response, session.up_key.ctypes.data)
    hs.session_key(session.send_key, hashed, session.up_key.ctypes.data, response, hs.AT_RESPONSE_COOKIE)
    hs.session_key(session.receive_key, hashed, session.down_key.ctypes.data, response, hs.AT_RESPONSE_COOKIE)
    session.connection_tag = hs.connection_tag(
        hashed, session.up_key.ctypes.data, response, hs.AT_RESPONSE_COOKIE
    )
    session.state = CLIENT_RESPONDING
    session.hint = 0
    session.repeat_at_s = now_s
    session.challenged_at_s = now_s
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
    session.reason = int64(datagram[1])
    session.refused_ms = read_uint(datagram, datagrams.REFUSAL_TIME_AT, 8)
    session.state = CLIENT_REFUSED
    return RECEIVED_REFUSAL


@njit(cache=True, nogil=True, **INNER)
def _receive_hint(state: ClientState, session: Row, datagram: Bytes, length: int, now_s: float) -> int:
    """An unsealed answer: believed when nothing authentic follows it (`transmit`)."""
    if length < datagrams.VERSION_BYTES:
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    if (
        session.state != CLIENT_REQUESTING
        and session.state != CLIENT_RESPONDING
        and session.state != CLIENT_CONNECTED
    ):
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    if session.hint == 0:
        session.hinted_at_s = now_s
    session.hint = int64(datagram[datagrams.VERSION_REASON_AT])
    return RECEIVED_HINT


@njit(cache=True, nogil=True, **INNER)
def _receive_sealed(
    state: ClientState, session: Row, index: int, datagram: Bytes, length: int, now_s: float
) -> int:
    # Who asks again may hear from the session that their last response began.
    answered = session.state == CLIENT_REQUESTING and session.challenged_at_s >= 0.0
    if (
        session.state != CLIENT_RESPONDING
        and session.state != CLIENT_CONNECTED
        and session.state != CLIENT_DISMISSED
        and not answered
    ):
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    if length <= datagrams.DOWN_HEADER_BYTES + sealing.tag_bytes(session.cipher):
        return _drop(state, datagrams.CLIENT_DROP_LENGTH)
    sequence = read_uint(datagram, datagrams.DOWN_SEQUENCE_AT, datagrams.SEQUENCE_BYTES)
    freshness = sealing.check_sequence(session.replay, session.receive_newest, sequence)
    if freshness == sealing.TOO_OLD:
        return _drop(state, datagrams.CLIENT_DROP_TOO_OLD)
    if freshness == sealing.REPLAYED:
        return _drop(state, datagrams.CLIENT_DROP_REPLAYED)
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    sealing.write_sequence_nonce(nonce, sequence)
    at = datagram.ctypes.data
    plain_bytes = sealing.unseal(
        session.cipher, session.receive_key.ctypes.data, nonce.ctypes.data, at, datagrams.DOWN_HEADER_BYTES,
        at + datagrams.DOWN_HEADER_BYTES, length - datagrams.DOWN_HEADER_BYTES, state.scratch.ctypes.data,
    )  # fmt: skip
    if plain_bytes < 0:
        return _drop(state, datagrams.CLIENT_DROP_FORGED)
    session.receive_newest = sealing.mark_sequence(session.replay, session.receive_newest, sequence)
    session.received_at_s = now_s
    session.hint = 0
    bits = plain_bytes * 8
    message = take_int(state.scratch, 0, MESSAGE_BITS)
    if message == MESSAGE_FAREWELL:
        return _take_farewell(state, session, bits)
    if session.state == CLIENT_DISMISSED:  # sent before the farewell, and overtaken by it
        return _drop(state, datagrams.CLIENT_DROP_STATE)
    session.state = CLIENT_CONNECTED
    if message == MESSAGE_KEEP_ALIVE:
        return RECEIVED_KEEP_ALIVE
    if message != MESSAGE_SNAPSHOT:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    return _take_snapshot(state, session, index, bits, now_s)


@njit(cache=True, nogil=True, **INNER)
def _take_farewell(state: ClientState, session: Row, bits: int) -> int:
    """The session is over: answer with a leave, and once more for each farewell that is repeated."""
    row = state.row
    length = session.lengths[layout.LENGTH_FAREWELL]
    if read_fields(state.scratch, 0, bits, length, FAREWELL_WIDTHS, FAREWELL_LEASTS, row) > bits:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    session.reason = row[FAREWELL_REASON]
    session.leaves_left = 1 if session.state == CLIENT_DISMISSED else datagrams.LEAVE_REPEATS
    session.state = CLIENT_DISMISSED
    return RECEIVED_FAREWELL


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
    head, lengths = state.row, session.lengths
    position = read_fields(
        words, 0, bits, lengths[layout.LENGTH_SNAPSHOT], SNAPSHOT_WIDTHS, SNAPSHOT_LEASTS, head
    )
    if position > bits:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
    tick, base_age, gap_bits = head[SNAPSHOT_TICK], head[SNAPSHOT_BASE_AGE], head[SNAPSHOT_GAP_BITS]
    newest, lag, pace = head[SNAPSHOT_INPUT_NEWEST], head[SNAPSHOT_INPUT_LAG], head[SNAPSHOT_PACE]
    if session.snapshot_tick > 0:
        tick = nearest(session.snapshot_tick, tick, TICK_BITS)
    if tick <= session.snapshot_tick:
        return _drop(state, datagrams.CLIENT_DROP_LATE)
    position = read_reliable(state, session, index, words, position, bits)
    position = read_match(state, session, index, words, position, bits)
    position = read_vitals(state, session, index, words, position, bits)
    position = read_hints(state, session, words, position, bits)
    if position > bits:
        return _drop(state, datagrams.CLIENT_DROP_MALFORMED)
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
    session.pace = pace
    _measure_round_trip(session, nearest(session.input_tick, newest, CLIENT_TICK_BITS), lag, now_s)
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
    if echo > session.input_tick:  # low bits of a session that has heard no input yet
        return
    if echo > session.input_echo:
        if session.input_tick - echo < SENT_RING:
            sample = now_s - session.sent_at_s[echo % SENT_RING]
            if session.rtt_s == 0.0:
                session.rtt_s = sample
            else:
                session.rtt_s += _RTT_GAIN * (sample - session.rtt_s)
        session.input_echo = echo
    if echo - lag > session.input_applied:
        session.input_applied = echo - lag
