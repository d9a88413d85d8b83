"""The last stage of the wire: seal each client's datagram, behind the handshake's replies."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import STAGE, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import datagrams, sealing
from dedicated_server.protocol.bits import copy_bytes, write_uint
from dedicated_server.protocol.server.paths import spend_credit
from dedicated_server.protocol.server.state import PLAIN_BITS, PROVED, ServerState


@njit(cache=True, nogil=True, **STAGE)
def seal_batch(state: ServerState, now_s: float) -> None:
    """Seal what `encode_batch` wrote, and a keep-alive for whoever has heard nothing for 0.2 s."""
    row = state.out_count[0]
    nonce = state.workspace[datagrams.AT_SEQUENCE_NONCE :]
    for client in range(state.status.shape[0]):
        if state.status[client] != datagrams.CONNECTED:
            continue
        slot = state.slots[client]
        bits = int64(state.per_slot[PLAIN_BITS, client])
        if bits == 0:
            if now_s - slot.sent_at_s < datagrams.KEEP_ALIVE_S:
                continue
            state.plain[client, 0] = np.uint64(0)  # MESSAGE_KEEP_ALIVE
            bits = int64(8)
            state.counters[datagrams.KEEP_ALIVES] += 1
        if slot.path_credit_bytes != PROVED:
            length = datagrams.DOWN_HEADER_BYTES + ((bits + 7) >> 3) + sealing.tag_bytes(slot.cipher)
            if not spend_credit(state, client, length, state.per_slot[PLAIN_BITS, client] != 0):
                state.per_slot[PLAIN_BITS, client] = 0
                continue
        out = state.out_buf[row]
        out[0] = datagrams.FROM_SERVER
        write_uint(out, datagrams.DOWN_SEQUENCE_AT, slot.send_sequence, datagrams.SEQUENCE_BYTES)
        sealing.write_sequence_nonce(nonce, slot.send_sequence)
        at = out.ctypes.data
        sealed_bytes = sealing.seal(
            slot.cipher, slot.send_key.ctypes.data, nonce.ctypes.data, at, datagrams.DOWN_HEADER_BYTES,
            state.plain[client].ctypes.data, (bits + 7) >> 3, at + datagrams.DOWN_HEADER_BYTES,
        )  # fmt: skip
        slot.send_sequence += 1
        slot.sent_at_s = now_s
        state.out_len[row] = datagrams.DOWN_HEADER_BYTES + sealed_bytes
        copy_bytes(state.out_addr[row], 0, slot.address, 0, ADDRESS_BYTES)
        state.per_slot[PLAIN_BITS, client] = 0
        row += 1
    state.counters[datagrams.SENT] += row
    for sent in range(row):
        state.counters[datagrams.SENT_BYTES] += state.out_len[sent]
    state.out_count[0] = row
