"""Rates: once in how many ticks each client gets a snapshot, and how large it may be.

`set_rates` is called before `interest`, which serves clients by what is written here.
"""

from __future__ import annotations

from numba import njit

from dedicated_server.native.compilation import INLINE
from dedicated_server.protocol.server.state import SNAPSHOT_EVERY, ServerState


@njit(cache=True, nogil=True, **INLINE)
def set_rates(wire: ServerState, every: int) -> None:
    """Write each client's SNAPSHOT_EVERY: ``every`` is what the server's own load allows."""
    for client in range(len(wire.status)):
        wire.per_slot[SNAPSHOT_EVERY, client] = every
