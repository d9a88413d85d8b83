"""How the server ends a session: a farewell with its reason, repeated until the client answers with a leave.

A farewell takes the place of snapshots. It is sent every 0.1 s, ten times, and once more whenever the client
goes on sending, so a client that slept hears it when it wakes. A session whose slot another one takes has
lost its keys to it; what its farewells need of them is kept beside, and nobody answers those.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Bytes, Row, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import datagrams, reasons, sealing
from dedicated_server.protocol.bits import copy_bytes, same_bytes, take_int, write_uint
from dedicated_server.protocol.fields import (
    FAREWELL_LEASTS,
    FAREWELL_WIDTHS,
    MESSAGE_FAREWELL,
    MESSAGE_LEAVE,
)
from dedicated_server.protocol.inputs import MESSAGE_BITS
from dedicated_server.protocol.server.state import (
    NEWLY_LOST,
    PROVED,
    SHUT,
    WORDS_ACKNOWLEDGED,
    WORDS_SAID,
    ServerState,
)
from dedicated_server.protocol.tables import write_fields

_LONG_AGO_S = -1e300


@njit(cache=True, nogil=True, **INNER)
def begin_farewell(state: ServerState, client: int, reason: int, times: int) -> None:
    """Say farewell to a client that is connected, from the next datagram on; ``times``: unless it answers."""
    slot = state.slots[client]
    slot.farewell = reason
    slot.farewell_left = times
    slot.sent_at_s = _LONG_AGO_S
    state.words[WORDS_SAID, reason] += 1


@njit(cache=True, nogil=True, **STAGE)
def close_sessions(state: ServerState, reason: int) -> None:
    """Say farewell to everybody who is connected, and let nobody in any more."""
    state.identity[0].closed = reason
    for client in range(state.status.shape[0]):
        if state.status[client] == datagrams.CONNECTED and state.slots[client].farewell == 0:
            begin_farewell(state, client, reason, datagrams.FAREWELL_REPEATS)


@njit(cache=True, nogil=True, **INNER)
def dismiss(state: ServerState, client: int) -> None:
    """End a session as ``dismissal`` says: a kicked player has left, one who is too slow may come back."""
    slot, status = state.slots[client], state.status[client]
    if slot.token_issued_ms == SHUT:
        if status != datagrams.CONNECTED and status != datagrams.TIMED_OUT:
            return
        state.status[client] = datagrams.LEFT
        state.counters[datagrams.KICKS] += 1
    else:
        # What waits is lost to the client. It is told anew what the match is like when it comes back.
        slot.reliable_first += slot.reliable_count
        slot.reliable_count = 0
        if status != datagrams.CONNECTED:
            slot.dismissal = 0
            return
        state.status[client] = datagrams.TIMED_OUT
    if status == datagrams.CONNECTED:
        begin_farewell(state, client, slot.dismissal, datagrams.FAREWELL_REPEATS)
    if slot.token_issued_ms != SHUT:
        slot.dismissal = 0
    state.per_slot[NEWLY_LOST, client] = 1


@njit(cache=True, nogil=True, **INNER)
def answer_farewell(state: ServerState, client: int, bits: int) -> bool:
    """Take in the message in ``scratch`` of a client to whom farewell was said; whether that was an answer.

    A client that has not heard it, as it sends other things, is told once more.
    """
    slot = state.slots[client]
    if bits < MESSAGE_BITS or take_int(state.scratch, 0, MESSAGE_BITS) != MESSAGE_LEAVE:
        slot.farewell_left = max(int64(slot.farewell_left), int64(1))
        return False
    state.words[WORDS_ACKNOWLEDGED, slot.farewell] += 1
    slot.farewell = 0
    slot.farewell_left = 0
    return True


@njit(cache=True, nogil=True, **INNER)
def write_farewell(state: ServerState, client: int) -> int:
    """Write the farewell of a client into its row of ``plain``; return its bits."""
    slot, words = state.slots[client], state.plain[client]
    words[0] = np.uint64(0)
    return write_fields(
        words, 0, (int64(MESSAGE_FAREWELL), int64(slot.farewell)), FAREWELL_WIDTHS, FAREWELL_LEASTS
    )


@njit(cache=True, nogil=True, **INNER)
def replace_session(state: ServerState, client: int, address: Bytes) -> None:
    """Keep of a session, which is about to lose its slot to one at ``address``, what its farewells need.

    A client that shakes hands anew from where it was has no use for them, and a path that has not proved
    itself does not get them.
    """
    slot = state.slots[client]
    farewell = slot.farewell
    slot.farewell = 0
    slot.farewell_left = 0
    if state.status[client] != datagrams.CONNECTED or farewell != 0:
        return
    if same_bytes(slot.address, 0, address, 0, ADDRESS_BYTES) or slot.path_credit_bytes != PROVED:
        return
    state.identity[0].replaced += int64(slot.old_left == 0)
    slot.old_left = datagrams.REPLACED_REPEATS
    slot.old_at_s = _LONG_AGO_S
    slot.old_cipher = slot.cipher
    slot.old_sequence = slot.send_sequence
    copy_bytes(slot.old_key, 0, slot.send_key, 0, len(slot.send_key))
    copy_bytes(slot.old_address, 0, slot.address, 0, ADDRESS_BYTES)
    state.words[WORDS_SAID, reasons.REPLACED] += 1


@njit(cache=True, nogil=True, **INNER)
def seal_last_words(state: ServerState, row: int, now_s: float) -> int:
    """Write the farewells of sessions that were replaced into rows to send; return the row behind them."""
    identity = state.identity[0]
    last = row + datagrams.LAST_WORDS_PER_BATCH
    for client in range(state.status.shape[0]):
        slot = state.slots[client]
        if slot.old_left == 0 or now_s - slot.old_at_s < datagrams.FAREWELL_REPEAT_S or row >= last:
            continue
        row = _seal_last_word(state, slot, row)
        slot.old_at_s = now_s
        slot.old_left -= 1
        if slot.old_left == 0:
            slot.old_key[:] = 0
            identity.replaced -= 1
    return row


@njit(cache=True, nogil=True, **INNER)
def _seal_last_word(state: ServerState, slot: Row, row: int) -> int:
    words, out = state.scratch, state.out_buf[row]
    words[0] = np.uint64(0)
    farewell = (int64(MESSAGE_FAREWELL), int64(reasons.REPLACED))
    bits = write_fields(words, 0, farewell, FAREWELL_WIDTHS, FAREWELL_LEASTS)
    state.out_len[row] = seal_down(
        state, slot.old_cipher, slot.old_key.ctypes.data, slot.old_sequence, words.ctypes.data, bits, out
    )
    slot.old_sequence += 1
    copy_bytes(state.out_addr[row], 0, slot.old_address, 0, ADDRESS_BYTES)
    return row + 1


@njit(cache=True, nogil=True, **INNER)
def seal_down(
    state: ServerState, cipher: int, key_at: int, sequence: int, plain_at: int, bits: int, out: Bytes
) -> int:
    """Seal a message to a client into a row to send; return the datagram's bytes."""
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    out[0] = datagrams.FROM_SERVER
    write_uint(out, datagrams.DOWN_SEQUENCE_AT, sequence, datagrams.SEQUENCE_BYTES)
    sealing.write_sequence_nonce(nonce, sequence)
    at = out.ctypes.data
    return datagrams.DOWN_HEADER_BYTES + sealing.seal(
        cipher, key_at, nonce.ctypes.data, at, datagrams.DOWN_HEADER_BYTES, plain_at, (bits + 7) >> 3,
        at + datagrams.DOWN_HEADER_BYTES,
    )  # fmt: skip
