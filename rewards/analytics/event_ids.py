"""Sets of event ids that a day's millions of events fit into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.bytes_]
"""Event ids, S16.

NumPy compares these without their trailing zero bytes; as all have 16, that changes nothing.
"""


def as_ids(ids: Sequence[bytes]) -> Ids:
    """Make an array of ids of 16 bytes."""
    return np.array(ids, dtype="S16")


class KnownIds:
    """A set of ids that only grows, in sorted runs of 16 bytes an id.

    A day's ten million ids take 160 MB; in a Python set they would take a gigabyte.
    """

    def __init__(self) -> None:
        self._runs: list[Ids] = []  # each sorted, each less than half as long as the one before

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def contains(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Tell which of ``ids`` are known: bool[len(ids)]."""
        found = np.zeros(len(ids), dtype=np.bool_)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ids), len(run) - 1)
            found |= run[at] == ids
        return found

    def add(self, ids: Ids) -> None:
        """Add ids, none of which is known."""
        if not len(ids):
            return
        run = np.sort(ids)
        while self._runs and 2 * len(run) >= len(self._runs[-1]):
            run = np.sort(np.concatenate((self._runs.pop(), run)))
        self._runs.append(run)
