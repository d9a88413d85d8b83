"""Which event ids are in the files already: sorted runs of 16 bytes an id, so that ten million of a day take 160 MB and not a gigabyte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.bytes_]
"""S16. NumPy compares these without their trailing zero bytes; as all have 16, that changes nothing."""


def as_ids(ids: Sequence[bytes]) -> Ids:
    """Ids of 16 bytes as an array."""
    return np.array(ids, dtype="S16")


class KnownIds:
    """A set of ids that only grows."""

    def __init__(self) -> None:
        self._runs: list[Ids] = []  # each sorted, each less than half as long as the one before

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Whether each of ``ids`` is known; bool[len(ids)]."""
        found = np.zeros(len(ids), dtype=np.bool_)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ids), len(run) - 1)
            found |= run[at] == ids
        return found

    def add(self, ids: Ids) -> None:
        """Take note of ids."""
        if not len(ids):
            return
        run = np.sort(ids)
        while self._runs and 2 * len(run) >= len(self._runs[-1]):
            run = np.sort(np.concatenate((self._runs.pop(), run)))
        self._runs.append(run)
