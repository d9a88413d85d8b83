"""Sets of entities as kernels have them, and as Python has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dedicated_server.replication.interest import Interest
from dedicated_server.replication.priority import LAST_RING


def members_of(words: npt.NDArray[np.uint64]) -> set[int]:
    """The entities of a set: entity e is bit e % 64 of word e / 64."""
    return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


def words_of(entities: Iterable[int], groups: int) -> npt.NDArray[np.uint64]:
    """A set of ``groups`` words."""
    bits = np.zeros(64 * groups, np.uint8)
    bits[list(entities)] = 1
    return np.packbits(bits, bitorder="little").view(np.uint64)


def in_view(interest: Interest, client: int) -> set[int]:
    """Whom a client has in view, itself among them."""
    return members_of(interest.within[client, LAST_RING]) | {client}
