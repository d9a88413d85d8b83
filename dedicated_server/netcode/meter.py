"""Meter: bytes to each client, as its line sees them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.compilation import STAGE
from dedicated_server.protocol import sealing
from dedicated_server.protocol.datagrams import HEADER_BYTES
from dedicated_server.protocol.server.state import PLAIN_BITS, ServerState

IP_UDP_BYTES: Final = 28


@njit(cache=True, nogil=True, **STAGE)
def meter(sent_bytes: npt.NDArray[np.int64], wire: ServerState) -> None:
    """Add to ``sent_bytes`` (int64[N]) what the snapshots now encoded will take on the line, headers included."""
    for client in range(len(sent_bytes)):
        bits = wire.per_slot[PLAIN_BITS, client]
        if bits > 0:
            sealed = HEADER_BYTES + sealing.tag_bytes(wire.slots[client].cipher)
            sent_bytes[client] += IP_UDP_BYTES + sealed + ((bits + 7) >> 3)
