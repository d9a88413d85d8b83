"""How the server lets a player in: request, challenge, response, slot.

Nothing is remembered between request and response: the cookie carries it. The cheap checks come first. What
a token costs to open (2 µs) is bounded per batch, for requests and for responses apart: a flood of requests
cannot eat the tick, nor keep out who has already been challenged. A response's salt says which slot it is
for, so that one too many costs next to nothing, and its cookie is asked before its token is opened.

A client that is not let in is told why (`refusals`), for one that hears nothing tries for ten seconds and
learns nothing.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, Bytes, int64, njit
from dedicated_server.protocol import connect_token, datagrams, layout, reasons, sealing
from dedicated_server.protocol import handshake as hs
from dedicated_server.protocol.bits import copy_bytes, read_uint, same_bytes, write_uint
from dedicated_server.protocol.fields import HISTORY_TICKS
from dedicated_server.protocol.inputs import INPUT_RING, INPUT_TICK
from dedicated_server.protocol.server.farewells import replace_session
from dedicated_server.protocol.server.line import begin_line
from dedicated_server.protocol.server.paths import begin_path
from dedicated_server.protocol.server.refusals import answer_unsealed, answer_version, append_answer, refuse
from dedicated_server.protocol.server.roster import begin_roster
from dedicated_server.protocol.server.state import (
    ACKED_TICK,
    BASELINE,
    FLOOR,
    INPUT_APPLIED,
    INPUT_NEWEST,
    LEAVING_COUNT,
    NEWLY_CONNECTED,
    PHASE_SENT,
    SHUT,
    ServerState,
)

_DIRECTOR = connect_token.DIRECTOR_ENTITY
_LAYOUT = np.frombuffer(layout.SERVER_LAYOUT, np.uint8)
ADMITTED = -1


@njit(cache=True, nogil=True, **INNER)
def receive_request(state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float) -> int:
    """Answer an acceptable request with a challenge; returns ADMITTED or the reason to drop it."""
    reason = _check_size(state, datagram, length, datagrams.REQUEST_BYTES, address)
    if reason != ADMITTED:
        return reason
    identity = state.identity[0]
    if identity.requests >= datagrams.REQUESTS_PER_BATCH:
        return datagrams.DROP_HANDSHAKE_RATE
    identity.requests += 1
    if _is_expired(state, datagram, length, address, now_s, True):
        return datagrams.DROP_EXPIRED
    reason = _open_token(state, datagram, True)
    if reason != ADMITTED:
        _say_why(state, datagram, length, address, now_s, reason)
        return reason
    _write_challenge(state, datagram, address, now_s)
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def receive_response(
    state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float, tick: int
) -> int:
    """Give an acceptable response its slot; returns ADMITTED or the reason to drop it."""
    reason = _check_size(state, datagram, length, datagrams.RESPONSE_BYTES, address)
    if reason != ADMITTED:
        return reason
    reason = _check_cookie(state, datagram, address, now_s)
    if reason != ADMITTED:
        return reason
    identity = state.identity[0]
    if identity.responses >= identity.responses_per_batch:
        return datagrams.DROP_HANDSHAKE_RATE
    identity.responses += 1
    if _is_expired(state, datagram, length, address, now_s, False):
        return datagrams.DROP_EXPIRED
    reason = _open_token(state, datagram, False)
    if reason != ADMITTED:
        _say_why(state, datagram, length, address, now_s, reason)
        return reason
    private = state.workspace
    hs.response_mac(private, datagrams.AT_MAC, datagram, private.ctypes.data + hs.IN_UP_KEY)
    if not same_bytes(private, datagrams.AT_MAC, datagram, hs.AT_RESPONSE_MAC, datagrams.MAC_BYTES):
        return datagrams.DROP_RESPONSE_FORGED
    entity = read_uint(private, hs.IN_ENTITY, hs.ENTITY_BYTES)
    counter = read_uint(datagram, hs.AT_RESPONSE_COOKIE + hs.IN_COOKIE_COUNTER, hs.COUNTER_BYTES)
    _begin_session(state, entity, counter, datagram, address, now_s, tick)
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _check_size(state: ServerState, datagram: Bytes, length: int, size: int, address: Bytes) -> int:
    """Another version is told from a wrong size first: its datagrams may have another size."""
    if length < hs.AT_EXPIRES:
        return datagrams.DROP_LENGTH
    if not hs.is_our_version(datagram):
        answer_version(state, datagram, length, address)
        return datagrams.DROP_VERSION
    return ADMITTED if length == size else datagrams.DROP_LENGTH


@njit(cache=True, nogil=True, **INNER)
def _check_cookie(state: ServerState, datagram: Bytes, address: Bytes, now_s: float) -> int:
    """Check what a response repeats of the challenge: in time, for a slot that may have it, and our own.

    What the salt says of the slot is not yet authentic. It can only get a response dropped.
    """
    cookie_at = hs.AT_RESPONSE_COOKIE
    now_ms = int64(now_s * 1000.0)
    challenged_ms = read_uint(datagram, cookie_at + hs.IN_COOKIE_TIME, 8)
    if now_ms - challenged_ms > datagrams.CHALLENGE_S * 1000.0 or challenged_ms > now_ms:
        return datagrams.DROP_CHALLENGE_EXPIRED
    entity = read_uint(datagram, cookie_at + hs.IN_COOKIE_ENTITY, hs.ENTITY_BYTES)
    if entity < state.slots.shape[0]:
        slot = state.slots[entity]
        counter = read_uint(datagram, cookie_at + hs.IN_COOKIE_COUNTER, hs.COUNTER_BYTES)
        if counter <= slot.challenge_counter:
            return datagrams.DROP_RESPONSE_REPLAYED
        if now_s - slot.session_at_s < datagrams.SESSION_S:
            return datagrams.DROP_SESSION_RATE
    work = state.workspace
    hashed = work[datagrams.AT_HASHED :]
    cookie_key = state.identity[0].cookie_key
    hs.cookie_mac(work, datagrams.AT_MAC, hashed, cookie_key, address, datagram, datagram, cookie_at)
    if not same_bytes(work, datagrams.AT_MAC, datagram, cookie_at + hs.IN_COOKIE_MAC, datagrams.MAC_BYTES):
        return datagrams.DROP_COOKIE_FORGED
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _is_expired(
    state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float, director_may: bool
) -> bool:
    """Whether a token is too old. Its player is told so, or what else is wrong with it."""
    unix_ms = int64((now_s + state.identity[0].token_ahead_s) * 1000.0)
    if read_uint(datagram, hs.AT_EXPIRES, 8) > unix_ms:
        return False
    reason = _open_token(state, datagram, director_may)
    if reason == ADMITTED:
        reason = datagrams.DROP_EXPIRED
        state.counters[datagrams.EXPIRED_TOLD] += 1
    _say_why(state, datagram, length, address, now_s, reason)
    return True


@njit(cache=True, nogil=True, **INNER)
def _open_token(state: ServerState, datagram: Bytes, director_may: bool) -> int:
    """Open the private part into the workspace; check match, server and player.

    With ``director_may`` a director's own token is admitted: it asks for a challenge, and gets no slot.
    """
    identity = state.identity[0]
    private = state.workspace
    at = datagram.ctypes.data
    if not sealing.unseal_token(
        identity.fleet_key.ctypes.data, at + hs.AT_NONCE, at + hs.AT_TOKEN, hs.AT_NONCE - hs.AT_TOKEN,
        at + hs.AT_SEALED, hs.AT_LENGTHS - hs.AT_SEALED, private.ctypes.data,
    ):  # fmt: skip
        return datagrams.DROP_TOKEN_FORGED
    if not same_bytes(private, hs.IN_MATCH, identity.match_id, 0, 16):
        return datagrams.DROP_OTHER_MATCH
    if not same_bytes(private, hs.IN_ADDRESS, identity.address, 0, 18) and not same_bytes(
        private, hs.IN_ADDRESS, identity.other_address, 0, 18
    ):
        return datagrams.DROP_OTHER_SERVER
    entity = read_uint(private, hs.IN_ENTITY, 2)
    if entity == _DIRECTOR and director_may:
        return ADMITTED
    if entity >= state.slots.shape[0] or state.slots[entity].player_id != read_uint(private, hs.IN_PLAYER, 8):
        return datagrams.DROP_OTHER_PLAYER
    slot = state.slots[entity]
    if slot.token_issued_ms == SHUT:
        return datagrams.DROP_KICKED
    if identity.closed != 0:
        return datagrams.DROP_CLOSED
    # The token in use may come from another address: only its player can make a response of it.
    in_use = same_bytes(slot.token_tag, 0, datagram, hs.AT_TOKEN_TAG, hs.TAG_BYTES)
    if not in_use and read_uint(private, hs.IN_ISSUED, 8) <= slot.token_issued_ms:
        return datagrams.DROP_TOKEN_USED
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _say_why(
    state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float, reason: int
) -> None:
    """Tell a client why it is not let in, by the key of its token where that has opened."""
    if reason == datagrams.DROP_TOKEN_FORGED:
        answer_unsealed(state, length, address, reasons.UNKNOWN_TOKEN)
    else:
        refuse(state, datagram, address, now_s, reason)


@njit(cache=True, nogil=True, **INNER)
def _write_challenge(state: ServerState, datagram: Bytes, address: Bytes, now_s: float) -> None:
    identity = state.identity[0]
    out = state.out_buf[state.out_count[0]]
    cookie_at = hs.AT_CHALLENGE_COOKIE
    out[0] = datagrams.CHALLENGE
    identity.challenge_counter += 1
    copy_bytes(out, cookie_at, identity.salt_prefix, 0, hs.IN_COOKIE_COUNTER)
    write_uint(out, cookie_at + hs.IN_COOKIE_COUNTER, identity.challenge_counter, hs.COUNTER_BYTES)
    copy_bytes(out, cookie_at + hs.IN_COOKIE_ENTITY, state.workspace, hs.IN_ENTITY, hs.ENTITY_BYTES)
    write_uint(out, cookie_at + hs.IN_COOKIE_TIME, int64(now_s * 1000.0), 8)
    hashed = state.workspace[datagrams.AT_HASHED :]
    hs.cookie_mac(
        out, cookie_at + hs.IN_COOKIE_MAC, hashed, identity.cookie_key, address, datagram, out, cookie_at
    )
    copy_bytes(out, hs.AT_LAYOUT, _LAYOUT, 0, datagrams.SERVER_LAYOUT_BYTES)
    hs.challenge_mac(
        out, hs.AT_CHALLENGE_MAC, hashed, state.workspace.ctypes.data + hs.IN_DOWN_KEY, out, datagram,
        hs.AT_TOKEN_TAG,
    )  # fmt: skip
    append_answer(state, address, datagrams.CHALLENGE_BYTES)
    state.counters[datagrams.CHALLENGES] += 1


@njit(cache=True, nogil=True, **INNER)
def _begin_session(
    state: ServerState, entity: int, counter: int, datagram: Bytes, address: Bytes, now_s: float, tick: int
) -> None:
    slot = state.slots[entity]
    replace_session(state, entity, address)
    first_time = slot.challenge_counter < 0
    private = state.workspace
    hashed = private[datagrams.AT_HASHED :]
    hs.session_key(
        slot.receive_key, hashed, private.ctypes.data + hs.IN_UP_KEY, datagram, hs.AT_RESPONSE_COOKIE
    )
    hs.session_key(
        slot.send_key, hashed, private.ctypes.data + hs.IN_DOWN_KEY, datagram, hs.AT_RESPONSE_COOKIE
    )
    slot.connection_tag = hs.connection_tag(
        hashed, private.ctypes.data + hs.IN_UP_KEY, datagram, hs.AT_RESPONSE_COOKIE
    )
    slot.cipher = int64(datagram[hs.AT_CIPHER])
    slot.head_bits = int64(datagram[hs.AT_LENGTHS + layout.LENGTH_CLIENT_MESSAGE])
    slot.input_bits = int64(datagram[hs.AT_LENGTHS + layout.LENGTH_INPUT])
    slot.challenge_counter = counter
    slot.token_issued_ms = read_uint(private, hs.IN_ISSUED, 8)
    copy_bytes(slot.token_tag, 0, datagram, hs.AT_TOKEN_TAG, hs.TAG_BYTES)
    slot.send_sequence = 0
    slot.receive_newest = -1
    slot.replay[:] = 0
    slot.received_at_s = now_s
    slot.sent_at_s = -1e300  # the first keep-alive is due at once: it tells the client that it is in
    slot.session_at_s = now_s
    begin_path(slot, address)
    _forget_what_the_client_had(state, entity, tick)
    state.status[entity] = datagrams.CONNECTED
    state.per_slot[NEWLY_CONNECTED, entity] = 1
    state.counters[datagrams.CONNECTS if first_time else datagrams.RECONNECTS] += 1


@njit(cache=True, nogil=True, **INNER)
def _forget_what_the_client_had(state: ServerState, entity: int, tick: int) -> None:
    """Begin with no baselines, no inputs, and the unacknowledged reliable messages, counted from 1."""
    slot = state.slots[entity]
    slot.sent_newest_tick = 0
    slot.waiting = np.uint64(0)
    slot.said_newest = 0
    slot.dismissal = 0
    for row in (INPUT_NEWEST, INPUT_APPLIED, ACKED_TICK, LEAVING_COUNT):
        state.per_slot[row, entity] = 0
    state.leaving[entity, :] = np.uint64(0)
    state.per_slot[PHASE_SENT, entity] = -1
    begin_roster(slot)
    begin_line(state.lines[entity], tick)
    for place in range(INPUT_RING):
        state.inputs[entity, place, INPUT_TICK] = 0
    for place in range(HISTORY_TICKS):
        state.sent_ticks[entity, place] = 0
    state.views[BASELINE, entity, :] = 0
    state.views[FLOOR, entity, :] = tick - 1
    slot.reliable_base = slot.reliable_first - 1
