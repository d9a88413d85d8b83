"""Hostile datagrams by the batch, as a server meets them on an open port; for tests and benchmarks.

A sixth of them are random. The others are datagrams that the server has already received: cut short, with a
bit flipped, made longer, unchanged, or under a sequence number still to come. The last kind costs a server
most, as it must open the datagram to find the forgery. A batch is made in a few array operations, so that a
million takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dedicated_server.native.compilation import Bytes, Ints
from dedicated_server.protocol.datagrams import (
    FROM_SERVER,
    MAX_DATAGRAM_BYTES,
    ROW_BYTES,
    UP_HEADER_BYTES,
    UP_SEQUENCE_AT,
)

RANDOM, CUT, FLIPPED, LENGTHENED, REPLAYED, RENUMBERED = range(6)
_SEQUENCE = slice(UP_SEQUENCE_AT, UP_HEADER_BYTES)
TRUNCATED_BYTES = MAX_DATAGRAM_BYTES + 1  # the length by which a transport marks what did not fit its row


class HostileDatagrams:
    """An endless supply, drawn from ``random``.

    Args:
        random: the stream of random numbers.
        real: datagrams that clients sent and the server accepted.
    """

    def __init__(self, random: np.random.Generator, real: Sequence[bytes]) -> None:
        self._random = random
        self._real = np.zeros((len(real), ROW_BYTES), np.uint8)
        self._real_lengths = np.array([len(datagram) for datagram in real], np.int32)
        for row, datagram in enumerate(real):
            self._real[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)

    def batch(self, count: int) -> tuple[Bytes, Ints]:
        """Make ``count`` datagrams.

        Uint8[count, ROW_BYTES], and lengths int32[count] from 0 to just above the largest.
        """
        random = self._random
        kinds = random.integers(0, 6, count)
        copied = random.integers(0, len(self._real), count)
        data, lengths = self._real[copied], self._real_lengths[copied]

        rows = np.flatnonzero(kinds == RANDOM)
        data[rows] = random.integers(0, 256, (len(rows), ROW_BYTES), dtype=np.uint8)
        data[rows, 0] = random.integers(0, FROM_SERVER + 2, len(rows))
        lengths[rows] = random.integers(0, TRUNCATED_BYTES + 1, len(rows))

        rows = np.flatnonzero(kinds == CUT)
        lengths[rows] = random.integers(0, lengths[rows])

        rows = np.flatnonzero(kinds == FLIPPED)
        flips = np.uint8(1) << random.integers(0, 8, len(rows)).astype(np.uint8)
        data[rows, random.integers(0, lengths[rows])] ^= flips

        rows = np.flatnonzero(kinds == LENGTHENED)
        lengths[rows] = np.minimum(lengths[rows] + random.integers(1, 60, len(rows)), MAX_DATAGRAM_BYTES)

        rows = np.flatnonzero(kinds == RENUMBERED)
        later = random.integers(2**16, 2**24, len(rows), dtype=np.uint32)
        data[rows, _SEQUENCE] = later[:, None].view(np.uint8)
        return data, lengths
