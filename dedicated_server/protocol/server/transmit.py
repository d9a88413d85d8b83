"""The last stage of the wire: seal each client's datagram, behind the handshake's replies."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import STAGE, int64, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import datagrams, sealing
from dedicated_server.protocol.bits import copy_bytes
from dedicated_server.protocol.server.farewells import seal_down, seal_last_words, write_farewell
from dedicated_server.protocol.server.paths import spend_credit
from dedicated_server.protocol.server.state import PLAIN_BITS, PROVED, ServerState


@njit(cache=True, nogil=True, **STAGE)
def seal_batch(state: ServerState, now_s: float) -> None:
    """Seal what `encode_batch` wrote, a keep-alive for whoever has heard nothing for 0.2 s, and farewells."""
    row = state.out_count[0]
    for client in range(state.status.shape[0]):
        slot = state.slots[client]
        bits = int64(state.per_slot[PLAIN_BITS, client])
        says_farewell = slot.farewell_left > 0
        if says_farewell:
            if now_s - slot.sent_at_s < datagrams.FAREWELL_REPEAT_S:
                continue
            bits = write_farewell(state, client)
        elif state.status[client] != datagrams.CONNECTED or slot.farewell != 0:
            continue  # after a farewell nothing else is said
        elif bits == 0:
            if now_s - slot.sent_at_s < datagrams.KEEP_ALIVE_S:
                continue
            state.plain[client, 0] = np.uint64(0)  # MESSAGE_KEEP_ALIVE
            bits = int64(8)
            state.counters[datagrams.KEEP_ALIVES] += 1
        if slot.path_credit_bytes != PROVED:
            length = datagrams.DOWN_HEADER_BYTES + ((bits + 7) >> 3) + sealing.tag_bytes(slot.cipher)
            is_snapshot = state.per_slot[PLAIN_BITS, client] != 0 and not says_farewell
            if not spend_credit(state, client, length, is_snapshot):
                state.per_slot[PLAIN_BITS, client] = 0
                continue
        state.out_len[row] = seal_down(
            state, slot.cipher, slot.send_key.ctypes.data, slot.send_sequence,
            state.plain[client].ctypes.data, bits, state.out_buf[row],
        )  # fmt: skip
        slot.farewell_left -= int64(says_farewell)
        slot.send_sequence += 1
        slot.sent_at_s = now_s
        copy_bytes(state.out_addr[row], 0, slot.address, 0, ADDRESS_BYTES)
        state.per_slot[PLAIN_BITS, client] = 0
        row += 1
    if state.identity[0].replaced > 0:
        row = seal_last_words(state, row, now_s)
    state.counters[datagrams.SENT] += row
    for sent in range(row):
        state.counters[datagrams.SENT_BYTES] += state.out_len[sent]
    state.out_count[0] = row
