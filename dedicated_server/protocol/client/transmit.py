"""What a client sends: request, response, then an input a frame with all that the server has not used."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Row, int64, njit
from dedicated_server.protocol import datagrams, inputs, sealing
from dedicated_server.protocol.bits import append, copy_bytes, write_uint
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_DISMISSED,
    CLIENT_GONE,
    CLIENT_LEAVING,
    CLIENT_REFUSED,
    CLIENT_REQUESTING,
    CLIENT_RESPONDING,
    CLIENT_TIMED_OUT,
    SENT_RING,
    ClientState,
)
from dedicated_server.protocol.client_kinds import (
    CLIENT_NUMBER_MASK,
    CLIENT_PING,
    CLIENT_PING_BITS,
    CLIENT_PING_LEASTS,
    CLIENT_PING_WHAT,
    CLIENT_PING_WIDTHS,
    CLIENT_PING_X,
    CLIENT_PING_Y,
    SAYS_LEASTS,
    SAYS_WIDTHS,
)
from dedicated_server.protocol.fields import (
    CLIENT_TICK_MASK,
    MAX_TICK,
    MESSAGE_INPUTS,
    MESSAGE_LEAVE,
    PACE_FASTER,
    PACE_SHARE,
    PACE_SLOWER,
    TICK_MASK,
    VIEW_FRACTIONS,
    quantise_position,
)
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_RING,
    INPUT_TICK,
    INPUT_VIEW_FRACTION,
    INPUT_VIEW_TICK,
    INPUT_YAW,
    MAX_INPUTS,
)
from dedicated_server.protocol.reliable_kinds import RELIABLE_NUMBER_MASK
from dedicated_server.protocol.tables import write_fields

PACE_S = 0.5  # a pace that was told longer ago is forgotten


@njit(cache=True, nogil=True, **STAGE)
def client_transmit(
    state: ClientState,
    index: int,
    now_s: float,
    move_x: int,
    move_y: int,
    yaw: int,
    buttons: int,
    view_tick: float,
    out: Bytes,
) -> int:
    """Write what client ``index`` has to send now; return its length, or 0.

    `client.sessions` describes the arguments.
    """
    session = state.sessions[index]
    length = 0
    if session.state == CLIENT_CONNECTED:
        if now_s - session.received_at_s > datagrams.TIME_OUT_S:
            session.state = CLIENT_TIMED_OUT
        elif not _believes_hint(session, now_s):
            _take_inputs(session, now_s, move_x, move_y, yaw, buttons, view_tick)
            length = _write_inputs(state, session, out)
    elif session.state == CLIENT_REQUESTING or session.state == CLIENT_RESPONDING:
        if not _believes_hint(session, now_s):
            length = _repeat_handshake(session, now_s, out)
    elif session.state == CLIENT_DISMISSED:
        if session.leaves_left > 0:
            session.leaves_left -= 1
            length = _write_leave(state, session, out)
    elif session.state == CLIENT_LEAVING:
        if session.leaves_left <= 0:
            session.state = CLIENT_GONE
        else:
            session.leaves_left -= 1
            length = _write_leave(state, session, out)
    if length > 0:
        session.sent_bytes += length
        session.sent_datagrams += 1
    return length


@njit(cache=True, nogil=True, **STAGE)
def client_ping(state: ClientState, index: int, x_m: float, y_m: float, what: int) -> bool:
    """Have client ``index`` show its team a place; `client.sessions` describes the arguments.

    Return whether it will: not while another message waits, nor without a session.
    """
    session = state.sessions[index]
    if session.said_waiting != 0 or session.state != CLIENT_CONNECTED:
        return False
    session.said_number = (session.said_number + 1) & CLIENT_NUMBER_MASK
    session.said_waiting = 1
    session.said_kind = CLIENT_PING
    session.said[CLIENT_PING_X] = quantise_position(x_m)
    session.said[CLIENT_PING_Y] = quantise_position(y_m)
    session.said[CLIENT_PING_WHAT] = what
    return True


@njit(cache=True, nogil=True, **INNER)
def _believes_hint(session: Row, now_s: float) -> bool:
    """Give up where an unsealed answer was not followed by anything authentic."""
    if session.hint == 0 or now_s - session.hinted_at_s <= datagrams.UNSEALED_PATIENCE_S:
        return False
    session.reason = session.hint
    session.state = CLIENT_REFUSED
    return True


@njit(cache=True, nogil=True, **INNER)
def _repeat_handshake(session: Row, now_s: float, out: Bytes) -> int:
    if session.started_at_s < 0.0:
        session.started_at_s = now_s
        session.repeat_at_s = now_s
    if now_s - session.started_at_s > datagrams.ANSWER_S:
        session.state = CLIENT_TIMED_OUT
        return 0
    if session.state == CLIENT_RESPONDING and now_s - session.challenged_at_s > datagrams.ASK_AGAIN_S:
        session.state = CLIENT_REQUESTING
    if now_s < session.repeat_at_s:
        return 0
    session.repeat_at_s = now_s + datagrams.REPEAT_S
    if session.state == CLIENT_REQUESTING:
        copy_bytes(out, 0, session.request, 0, datagrams.REQUEST_BYTES)
        return datagrams.REQUEST_BYTES
    copy_bytes(out, 0, session.response, 0, datagrams.RESPONSE_BYTES)
    return datagrams.RESPONSE_BYTES


@njit(cache=True, nogil=True, **INNER)
def _take_inputs(
    session: Row, now_s: float, move_x: int, move_y: int, yaw: int, buttons: int, view_tick: float
) -> None:
    """Take a frame's input: once, and at the server's pace in one frame of fifty twice or not at all."""
    paced = now_s - session.snapshot_at_s < PACE_S
    if paced and session.pace == PACE_FASTER:
        session.due_inputs += PACE_SHARE[PACE_FASTER]
    elif paced and session.pace == PACE_SLOWER:
        session.due_inputs += PACE_SHARE[PACE_SLOWER]
    buttons = int64(buttons) | session.held_buttons
    session.held_buttons = 0
    if session.due_inputs <= -1.0:
        session.due_inputs += 1.0
        session.held_buttons = buttons  # what was pressed now is in the next
        return
    _take_input(session, now_s, move_x, move_y, yaw, buttons, view_tick)
    if session.due_inputs >= 1.0:
        session.due_inputs -= 1.0
        _take_input(session, now_s, move_x, move_y, yaw, buttons, view_tick)


@njit(cache=True, nogil=True, **INNER)
def _take_input(
    session: Row, now_s: float, move_x: int, move_y: int, yaw: int, buttons: int, view_tick: float
) -> None:
    session.input_tick += 1
    session.sent_at_s[session.input_tick % SENT_RING] = now_s
    row = session.inputs[session.input_tick % INPUT_RING]
    row[INPUT_TICK] = session.input_tick & MAX_TICK
    row[INPUT_MOVE_X] = move_x
    row[INPUT_MOVE_Y] = move_y
    row[INPUT_YAW] = yaw
    row[INPUT_BUTTONS] = buttons
    shown = int64(round(view_tick * VIEW_FRACTIONS))
    if shown <= 0:
        shown = session.snapshot_tick * VIEW_FRACTIONS
    row[INPUT_VIEW_TICK] = shown // VIEW_FRACTIONS
    row[INPUT_VIEW_FRACTION] = shown % VIEW_FRACTIONS


@njit(cache=True, nogil=True, **INNER)
def _write_inputs(state: ClientState, session: Row, out: Bytes) -> int:
    received = max(session.input_echo, session.input_applied)
    count = max(1, min(session.input_tick - received, MAX_INPUTS))
    words = state.scratch
    words[0] = np.uint64(0)
    head = (
        int64(MESSAGE_INPUTS),
        session.snapshot_tick & TICK_MASK,
        session.ack_bits,
        session.reliable_received & RELIABLE_NUMBER_MASK,
        session.input_tick & CLIENT_TICK_MASK,
        count,
        int64(session.said_waiting),
    )
    position = write_fields(words, 0, head, inputs.HEAD_WIDTHS, inputs.HEAD_LEASTS)
    position = inputs.write_inputs(
        words, position, session.inputs, session.input_tick, count, session.snapshot_tick
    )
    if session.said_waiting != 0:
        said = (int64(session.said_number), int64(session.said_kind), int64(CLIENT_PING_BITS))
        position = write_fields(words, position, said, SAYS_WIDTHS, SAYS_LEASTS)
        position = write_fields(words, position, session.said, CLIENT_PING_WIDTHS, CLIENT_PING_LEASTS)
    return _seal(state, session, position, out)


@njit(cache=True, nogil=True, **INNER)
def _write_leave(state: ClientState, session: Row, out: Bytes) -> int:
    state.scratch[0] = np.uint64(0)
    position = append(state.scratch, 0, MESSAGE_LEAVE, inputs.MESSAGE_BITS)
    return _seal(state, session, position, out)


@njit(cache=True, nogil=True, **INNER)
def _seal(state: ClientState, session: Row, bits: int, out: Bytes) -> int:
    out[0] = datagrams.FROM_CLIENT
    connection = session.own_entity | session.connection_tag << (8 * datagrams.CONNECTION_ENTITY_BYTES)
    write_uint(out, datagrams.CONNECTION_AT, connection, datagrams.CONNECTION_BYTES)
    write_uint(out, datagrams.UP_SEQUENCE_AT, session.send_sequence, datagrams.SEQUENCE_BYTES)
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    sealing.write_sequence_nonce(nonce, session.send_sequence)
    session.send_sequence += 1
    at = out.ctypes.data
    sealed_bytes = sealing.seal(
        session.cipher, session.send_key.ctypes.data, nonce.ctypes.data, at, datagrams.UP_HEADER_BYTES,
        state.scratch.ctypes.data, (bits + 7) >> 3, at + datagrams.UP_HEADER_BYTES,
    )  # fmt: skip
    return datagrams.UP_HEADER_BYTES + sealed_bytes
