"""Mutations: whole batches of datagrams made from real ones of every kind, that are no longer authentic.

An old datagram, which the server has taken in, may come unchanged. A fresh one, which it has not, is always
changed: it differs from an authentic one by as little as a bit, and nothing but its MAC tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dedicated_server.native.compilation import Bytes, Ints
from dedicated_server.protocol.datagrams import (
    CONNECTION_AT,
    CONNECTION_BYTES,
    MAX_DATAGRAM_BYTES,
    ROW_BYTES,
    SEQUENCE_BYTES,
    UP_SEQUENCE_AT,
)

KINDS: Final = 9  # of datagrams, and one that is none
MUTATIONS: Final = (
    "unchanged", "random", "cut", "flipped", "lengthened", "spliced", "renumbered", "rekinded", "reconnected"
)  # fmt: skip
UNCHANGED, RANDOM, CUT, FLIPPED, LENGTHENED, SPLICED, RENUMBERED, REKINDED, RECONNECTED = range(
    len(MUTATIONS)
)


@dataclass(frozen=True, slots=True)
class Original:
    """A real datagram.

    ``player``: whose address it belongs to; −1: nobody's. ``fresh``: whether the server would take it in.
    """

    datagram: bytes
    player: int = -1
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Mutated datagrams: uint8[M, ROW_BYTES], int32[M]; of each its mutation and the row of its original."""

    data: Bytes
    lengths: Ints
    mutation: Ints
    original: Ints


def mutate(originals: Sequence[Original], count: int, random: np.random.Generator) -> Batch:
    """Make ``count`` datagrams, each from one of at least two originals of different bytes."""
    real = np.zeros((len(originals), ROW_BYTES), np.uint8)
    for row, one in enumerate(originals):
        real[row, : len(one.datagram)] = np.frombuffer(one.datagram, np.uint8)
    real_lengths = np.array([len(one.datagram) for one in originals], np.int32)
    fresh = np.array([one.fresh for one in originals])
    original = random.integers(0, len(originals), count).astype(np.int32)
    mutation = random.integers(0, len(MUTATIONS), count).astype(np.int32)
    mutation[(mutation == UNCHANGED) & fresh[original]] = FLIPPED
    data, lengths = real[original], real_lengths[original]

    def rows_of(kind: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.flatnonzero(mutation == kind)

    rows = rows_of(RANDOM)
    data[rows] = random.integers(0, 256, (len(rows), ROW_BYTES), dtype=np.uint8)
    data[rows, 0] = random.integers(0, KINDS, len(rows))
    lengths[rows] = random.integers(0, MAX_DATAGRAM_BYTES + 2, len(rows))

    rows = rows_of(CUT)
    lengths[rows] = random.integers(0, lengths[rows])

    rows = rows_of(FLIPPED)
    bits = np.uint8(1) << random.integers(0, 8, len(rows)).astype(np.uint8)
    data[rows, random.integers(0, lengths[rows])] ^= bits

    rows = rows_of(LENGTHENED)
    lengths[rows] += random.integers(1, 60, len(rows)).astype(np.int32)

    rows = rows_of(SPLICED)
    other = (original[rows] + random.integers(1, len(originals), len(rows))) % len(originals)
    seam = random.integers(1, np.minimum(lengths[rows], real_lengths[other]))
    behind = np.arange(ROW_BYTES) >= seam[:, None]
    data[rows] = np.where(behind, real[other], data[rows])
    lengths[rows] = real_lengths[other]
    for whole in (other, original[rows]):  # a seam where both are alike makes one of them again
        same = rows[(data[rows] == real[whole]).all(axis=1) & fresh[whole]]
        data[same, lengths[same] - 1] ^= np.uint8(1)

    rows = rows_of(RENUMBERED)
    later = random.integers(1, 2**24, len(rows), dtype=np.uint32).view(np.uint8).reshape(-1, SEQUENCE_BYTES)
    data[rows, UP_SEQUENCE_AT : UP_SEQUENCE_AT + SEQUENCE_BYTES] ^= later

    rows = rows_of(REKINDED)
    data[rows, 0] = (data[rows, 0] + random.integers(1, KINDS, len(rows)).astype(np.uint8)) % KINDS

    rows = rows_of(RECONNECTED)
    shift = random.integers(1, 2**32, len(rows), dtype=np.uint32).view(np.uint8).reshape(-1, CONNECTION_BYTES)
    data[rows, CONNECTION_AT : CONNECTION_AT + CONNECTION_BYTES] ^= shift
    return Batch(data, lengths, mutation, original)
