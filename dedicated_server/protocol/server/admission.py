"""How the server lets a player in: request, challenge, response, slot.

Nothing is remembered between request and response: the cookie carries it. The cheap checks come first, and
what a token costs to open (2 µs) is bounded per batch, so that a flood cannot eat the tick.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, njit
from dedicated_server.protocol import addresses, datagrams, sealing
from dedicated_server.protocol import handshake as hs
from dedicated_server.protocol.arrays import Bytes, int64
from dedicated_server.protocol.server.state import (
    ACKED_TICK,
    BASELINE,
    FLOOR,
    HISTORY_TICKS,
    INPUT_APPLIED,
    INPUT_NEWEST,
    INPUT_RING,
    INPUT_TICK,
    LEAVING_COUNT,
    NEWLY_CONNECTED,
    PHASE_SENT,
    ServerState,
)

ADMITTED = -1
# The workspace: a token's private part, then what is hashed, then a MAC to compare.
_AT_HASHED = 128
_AT_MAC = 384


@njit(cache=True, nogil=True, **INNER)
def receive_request(state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float) -> int:
    """Answer an acceptable request with a challenge; returns ADMITTED or the reason to drop it."""
    if length != datagrams.REQUEST_BYTES:
        return datagrams.DROP_LENGTH
    reason = _check_before_opening(state, datagram, address, now_s, False)
    if reason != ADMITTED:
        return reason
    reason = _open_token(state, datagram, address)
    if reason != ADMITTED:
        return reason
    _write_challenge(state, datagram, address, now_s)
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def receive_response(
    state: ServerState, datagram: Bytes, length: int, address: Bytes, now_s: float, tick: int
) -> int:
    """Give an acceptable response its slot; returns ADMITTED or the reason to drop it."""
    if length != datagrams.RESPONSE_BYTES:
        return datagrams.DROP_LENGTH
    reason = _check_before_opening(state, datagram, address, now_s, True)
    if reason != ADMITTED:
        return reason
    reason = _open_token(state, datagram, address)
    if reason != ADMITTED:
        return reason
    private = state.workspace
    hs.response_mac(private, _AT_MAC, datagram, private.ctypes.data + hs.IN_UP_KEY)
    if not hs.same(private, _AT_MAC, datagram, hs.AT_RESPONSE_MAC, datagrams.MAC_BYTES):
        return datagrams.DROP_RESPONSE_FORGED
    entity = hs.read_uint(private, hs.IN_ENTITY, 2)
    counter = hs.read_uint(datagram, hs.AT_RESPONSE_COOKIE + hs.IN_COOKIE_COUNTER, 8)
    if counter <= state.slots[entity].challenge_counter:
        return datagrams.DROP_RESPONSE_REPLAYED
    _begin_session(state, entity, counter, datagram, address, now_s, tick)
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _check_before_opening(
    state: ServerState, datagram: Bytes, address: Bytes, now_s: float, is_response: bool
) -> int:
    identity = state.identity[0]
    if identity.handshakes >= datagrams.HANDSHAKES_PER_BATCH:
        return datagrams.DROP_HANDSHAKE_RATE
    identity.handshakes += 1
    if not hs.is_our_version(datagram):
        return datagrams.DROP_VERSION
    now_ms = int64(now_s * 1000.0)
    if hs.read_uint(datagram, hs.AT_EXPIRES, 8) <= now_ms:
        return datagrams.DROP_EXPIRED
    if is_response:
        challenged_ms = hs.read_uint(datagram, hs.AT_RESPONSE_COOKIE + hs.IN_COOKIE_TIME, 8)
        if now_ms - challenged_ms > datagrams.CHALLENGE_S * 1000.0 or challenged_ms > now_ms:
            return datagrams.DROP_CHALLENGE_EXPIRED
        work = state.workspace
        hs.cookie_mac(
            work,
            _AT_MAC,
            work[_AT_HASHED:],
            identity.cookie_key,
            address,
            datagram,
            datagram,
            hs.AT_RESPONSE_COOKIE,
        )
        if not hs.same(
            work, _AT_MAC, datagram, hs.AT_RESPONSE_COOKIE + hs.IN_COOKIE_MAC, datagrams.MAC_BYTES
        ):
            return datagrams.DROP_COOKIE_FORGED
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _open_token(state: ServerState, datagram: Bytes, address: Bytes) -> int:
    """Open the private part into the workspace and check whom, what and where it is for."""
    identity = state.identity[0]
    private = state.workspace
    at = datagram.ctypes.data
    if not sealing.unseal_token(
        identity.fleet_key.ctypes.data, at + hs.AT_NONCE, at + hs.AT_TOKEN, hs.AT_NONCE - hs.AT_TOKEN,
        at + hs.AT_SEALED, hs.AT_RESPONSE_COOKIE - hs.AT_SEALED, private.ctypes.data,
    ):  # fmt: skip
        return datagrams.DROP_TOKEN_FORGED
    if not hs.same(private, hs.IN_MATCH, identity.match_id, 0, 16):
        return datagrams.DROP_OTHER_MATCH
    if not hs.same(private, hs.IN_ADDRESS, identity.address, 0, 18):
        return datagrams.DROP_OTHER_SERVER
    entity = hs.read_uint(private, hs.IN_ENTITY, 2)
    if entity >= state.slots.shape[0] or state.slots[entity].player_id != hs.read_uint(
        private, hs.IN_PLAYER, 8
    ):
        return datagrams.DROP_OTHER_PLAYER
    slot = state.slots[entity]
    if hs.same(slot.token_tag, 0, datagram, hs.AT_TOKEN_TAG, hs.TAG_BYTES):
        # A token serves one address. A player who moves to another asks for a new token.
        if slot.token_issued_ms >= 0 and addresses.address_key(slot.address) != addresses.address_key(
            address
        ):
            return datagrams.DROP_TOKEN_USED
    elif hs.read_uint(private, hs.IN_ISSUED, 8) <= slot.token_issued_ms:
        return datagrams.DROP_TOKEN_USED
    return ADMITTED


@njit(cache=True, nogil=True, **INNER)
def _write_challenge(state: ServerState, datagram: Bytes, address: Bytes, now_s: float) -> None:
    identity = state.identity[0]
    row = state.out_count[0]
    out = state.out_buf[row]
    cookie_at = hs.AT_CHALLENGE_COOKIE
    out[0] = datagrams.CHALLENGE
    identity.challenge_counter += 1
    hs.copy(out, cookie_at, identity.salt_prefix, 0, hs.IN_COOKIE_COUNTER)
    hs.write_uint(out, cookie_at + hs.IN_COOKIE_COUNTER, identity.challenge_counter, 8)
    hs.write_uint(out, cookie_at + hs.IN_COOKIE_TIME, int64(now_s * 1000.0), 8)
    hashed = state.workspace[_AT_HASHED:]
    hs.cookie_mac(
        out, cookie_at + hs.IN_COOKIE_MAC, hashed, identity.cookie_key, address, datagram, out, cookie_at
    )
    hs.challenge_mac(
        out, hs.AT_CHALLENGE_MAC, hashed, state.workspace.ctypes.data + hs.IN_DOWN_KEY, out, datagram,
        hs.AT_TOKEN_TAG,
    )  # fmt: skip
    state.out_len[row] = datagrams.CHALLENGE_BYTES
    hs.copy(state.out_addr[row], 0, address, 0, 16)
    state.out_count[0] = row + 1
    state.counters[datagrams.CHALLENGES] += 1


@njit(cache=True, nogil=True, **INNER)
def _begin_session(
    state: ServerState, entity: int, counter: int, datagram: Bytes, address: Bytes, now_s: float, tick: int
) -> None:
    slot = state.slots[entity]
    first_time = slot.challenge_counter < 0
    private = state.workspace
    hashed = private[_AT_HASHED:]
    hs.session_key(
        slot.receive_key, hashed, private.ctypes.data + hs.IN_UP_KEY, datagram, hs.AT_RESPONSE_COOKIE
    )
    hs.session_key(
        slot.send_key, hashed, private.ctypes.data + hs.IN_DOWN_KEY, datagram, hs.AT_RESPONSE_COOKIE
    )
    slot.cipher = int64(datagram[hs.AT_CIPHER])
    slot.challenge_counter = counter
    slot.token_issued_ms = hs.read_uint(private, hs.IN_ISSUED, 8)
    hs.copy(slot.token_tag, 0, datagram, hs.AT_TOKEN_TAG, hs.TAG_BYTES)
    slot.send_sequence = 0
    slot.receive_newest = -1
    slot.replay[:] = 0
    slot.received_at_s = now_s
    slot.sent_at_s = -1e300  # the first keep-alive is due at once: it tells the client that it is in
    addresses.bind(state.addresses, state.slots, entity, address)
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
    for row in (INPUT_NEWEST, INPUT_APPLIED, ACKED_TICK, LEAVING_COUNT):
        state.per_slot[row, entity] = 0
    state.per_slot[PHASE_SENT, entity] = -1
    for place in range(INPUT_RING):
        state.inputs[entity, place, INPUT_TICK] = 0
    for place in range(HISTORY_TICKS):
        state.sent_ticks[entity, place] = 0
    state.views[BASELINE, entity, :] = 0
    state.views[FLOOR, entity, :] = tick - 1
    slot.reliable_base = slot.reliable_first - 1
