"""What the server answers to a handshake that it does not accept.

Where the token opened, a refusal under the token's key names the reason, as often as the client asks. Where
it did not, or the datagram is of another version, there is no key that both ends know: the answer is
unsealed, smaller than what it answers, and there are few of them in a batch. Only what looks like no client
of any version is dropped without a word.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, Bytes, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import connect_token, datagrams, reasons
from dedicated_server.protocol import handshake as hs
from dedicated_server.protocol.bits import copy_bytes, read_uint, same_bytes, write_uint
from dedicated_server.protocol.server.state import WORDS_REFUSED, WORDS_UNSEALED, ServerState

# Why a handshake whose token opened was dropped, as its client is told; 0: it is not told.
REASON_OF_DROP = np.zeros(len(datagrams.DROP_REASONS), np.int64)
REASON_OF_DROP[datagrams.DROP_EXPIRED] = reasons.EXPIRED
REASON_OF_DROP[datagrams.DROP_OTHER_MATCH] = reasons.OTHER_MATCH
REASON_OF_DROP[datagrams.DROP_OTHER_SERVER] = reasons.OTHER_SERVER
REASON_OF_DROP[datagrams.DROP_OTHER_PLAYER] = reasons.OTHER_PLAYER
REASON_OF_DROP[datagrams.DROP_KICKED] = reasons.KICKED
REASON_OF_DROP[datagrams.DROP_CLOSED] = reasons.GOING_AWAY
REASON_OF_DROP[datagrams.DROP_TOKEN_USED] = reasons.SUPERSEDED

_VERSION = np.frombuffer(connect_token.VERSION, np.uint8)
_FAMILY_BYTES = len(connect_token.VERSION) - 2  # of every version: the letters before the number
_CIPHERS = sum(1 << cipher for cipher in connect_token.CIPHERS)


@njit(cache=True, nogil=True, **INNER)
def refuse(state: ServerState, datagram: Bytes, address: Bytes, now_s: float, drop: int) -> None:
    """Tell a client why its handshake was dropped, which opened its token into the workspace."""
    reason = int64(REASON_OF_DROP[drop])
    if drop == datagrams.DROP_KICKED:
        reason = state.slots[read_uint(state.workspace, hs.IN_ENTITY, 2)].dismissal
    elif drop == datagrams.DROP_CLOSED:
        reason = state.identity[0].closed
    if reason == 0:
        return
    out = state.out_buf[state.out_count[0]]
    out[0] = datagrams.REFUSAL
    out[1] = reason
    unix_ms = int64((now_s + state.identity[0].token_ahead_s) * 1000.0)
    write_uint(out, datagrams.REFUSAL_TIME_AT, unix_ms, 8)
    hs.refusal_mac(
        out, hs.AT_REFUSAL_MAC, state.workspace[datagrams.AT_HASHED :],
        state.workspace.ctypes.data + hs.IN_DOWN_KEY, out, datagram, hs.AT_TOKEN_TAG,
    )  # fmt: skip
    append_answer(state, address, datagrams.REFUSAL_BYTES)
    state.words[WORDS_REFUSED, reason] += 1


@njit(cache=True, nogil=True, **INNER)
def answer_unsealed(state: ServerState, length: int, address: Bytes, reason: int) -> None:
    """Answer a datagram of ``length`` bytes under no key, where the batch has room for it."""
    identity = state.identity[0]
    if length <= datagrams.VERSION_BYTES or identity.unsealed >= datagrams.UNSEALED_PER_BATCH:
        return
    identity.unsealed += 1
    out = state.out_buf[state.out_count[0]]
    out[0] = datagrams.VERSION
    out[datagrams.VERSION_REASON_AT] = reason
    copy_bytes(out, datagrams.VERSION_VERSION_AT, _VERSION, 0, len(_VERSION))
    out[datagrams.VERSION_CIPHERS_AT] = _CIPHERS
    append_answer(state, address, datagrams.VERSION_BYTES)
    state.words[WORDS_UNSEALED, reason] += 1


@njit(cache=True, nogil=True, **INNER)
def answer_version(state: ServerState, datagram: Bytes, length: int, address: Bytes) -> None:
    """Answer a request or response of another version of this protocol, or with an unknown cipher."""
    if same_bytes(datagram, hs.AT_TOKEN, _VERSION, 0, _FAMILY_BYTES):
        answer_unsealed(state, length, address, reasons.OTHER_VERSION)


@njit(cache=True, nogil=True, **INNER)
def append_answer(state: ServerState, address: Bytes, length: int) -> None:
    """Send what was written into the next row, ``length`` bytes, to the address that it answers."""
    row = state.out_count[0]
    state.out_len[row] = length
    copy_bytes(state.out_addr[row], 0, address, 0, ADDRESS_BYTES)
    state.out_count[0] = row + 1
