"""The replay window: each sequence number is accepted once, and only while among the newest 256.

The check comes before a datagram is opened, because it is cheaper; the mark after, because only an
authentic datagram may move the window. Swapped, one forged number would shut out the real client.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.protocol.arrays import Window, int64
from dedicated_server.protocol.datagrams import REPLAY_WINDOW

FRESH, TOO_OLD, REPLAYED = range(3)


@njit(cache=True, nogil=True, **STAGE)
def check(window: Window, newest: int, sequence: int) -> int:
    """FRESH, TOO_OLD or REPLAYED; ``window`` uint32[256] holds sequence + 1, ``newest`` begins at −1."""
    if sequence + REPLAY_WINDOW <= newest:
        return TOO_OLD
    if int64(window[sequence % REPLAY_WINDOW]) == sequence + 1:
        return REPLAYED
    return FRESH


@njit(cache=True, nogil=True, **STAGE)
def mark(window: Window, newest: int, sequence: int) -> int:
    """Remember an authentic sequence number; returns the new newest."""
    window[sequence % REPLAY_WINDOW] = np.uint32(sequence + 1)
    return max(newest, sequence)
