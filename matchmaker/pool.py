"""The pool: the tickets of one queue that a director knows, a structure of arrays.

A ticket's row never moves while it lives, so a match on its way to a server keeps its rows. The pool also counts what is left
of each stream entry, and says which may be acknowledged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matchmaker.matching import Tickets

FREE, SEARCHING, HELD = 0, 1, 2
FIRST_CAPACITY = 1_024

Rows = NDArray[np.int64]


class Pool:
    """Tickets by row.

    Args:
        regions: the number of the fleet's regions.
    """

    def __init__(self, regions: int) -> None:
        self.state = np.zeros(0, np.uint8)
        self.ticket_id = np.zeros((0, 2), np.uint64)
        self.player_id = np.zeros(0, np.int64)
        self.enqueued_at = np.zeros(0, np.float64)  # Unix seconds
        self.expires_at = np.zeros(0, np.float64)  # Unix seconds
        self.skill = np.zeros(0, np.float32)
        self.group = np.zeros(0, np.int32)
        self.latency_ms = np.zeros((0, regions), np.float32)
        self._entry = np.zeros(0, np.int64)  # number of the stream entry that it came in
        self._entries: dict[int, tuple[bytes, int]] = {}  # number → entry id, tickets left
        self._next_entry = 0
        self._free: Rows | None = None  # free rows; None: not known at the moment
        self._grow(FIRST_CAPACITY)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.state))

    def add(self, entry_id: bytes, records: NDArray[np.void]) -> Rows:
        """Take the tickets of one stream entry in (at least one); returns their rows."""
        free = np.flatnonzero(self.state == FREE) if self._free is None else self._free
        while len(free) < len(records):
            self._grow(len(self.state) * 2)
            free = np.flatnonzero(self.state == FREE)
        rows, self._free = free[: len(records)], free[len(records) :]
        self.state[rows] = SEARCHING
        self.ticket_id[rows] = records["ticket_id"]
        self.player_id[rows] = records["player_id"]
        self.enqueued_at[rows] = records["enqueued_at"]
        self.expires_at[rows] = records["expires_at"]
        self.skill[rows] = records["skill_mean"]
        self.group[rows] = records["group"]
        self.latency_ms[rows] = records["latency_ms"]
        self._entry[rows] = self._next_entry
        self._entries[self._next_entry] = (entry_id, len(records))
        self._next_entry += 1
        return rows

    def searching(self, now: float) -> Rows:
        """Rows of the tickets that may be matched at ``now``: neither held by a match nor past their time."""
        return np.flatnonzero((self.state == SEARCHING) & (self.expires_at > now))

    def tickets(self, rows: Rows) -> Tickets:
        """The matching kernel's view of these rows."""
        return Tickets(
            self.latency_ms[rows],
            self.skill[rows],
            self.enqueued_at[rows],
            self.group[rows],
            self.player_id[rows],
        )

    def hold(self, rows: Rows) -> None:
        """Keep tickets out of the search while their match gets a server."""
        self.state[rows] = HELD

    def give_back(self, rows: Rows) -> None:
        """Let held tickets search again, with their age."""
        self.state[rows] = SEARCHING

    def remove(self, rows: Rows) -> list[bytes]:
        """Drop tickets that have ended; returns the ids of the entries of which nothing is left."""
        self.state[rows] = FREE
        self._free = None
        finished = []
        for number, gone in zip(
            *map(np.ndarray.tolist, np.unique(self._entry[rows], return_counts=True)), strict=True
        ):
            entry_id, left = self._entries[number]
            if left == gone:
                del self._entries[number]
                finished.append(entry_id)
            else:
                self._entries[number] = (entry_id, left - gone)
        return finished

    def find(self, ticket_ids: NDArray[np.uint64]) -> Rows:
        """Rows of those of these tickets, uint64[N, 2], that the pool has, in the pool's order."""
        if len(ticket_ids) == 0:
            return np.zeros(0, np.int64)
        wanted = ticket_ids[np.argsort(ticket_ids[:, 1], kind="stable")]
        # The second half of a random UUID tells tickets apart; the first half is compared to be sure.
        place = np.minimum(np.searchsorted(wanted[:, 1], self.ticket_id[:, 1]), len(wanted) - 1)
        return np.flatnonzero((self.state != FREE) & (wanted[place] == self.ticket_id).all(axis=1))

    def _grow(self, capacity: int) -> None:
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray) and name != "_free":
                grown = np.zeros((capacity, *column.shape[1:]), column.dtype)
                grown[: len(column)] = column
                setattr(self, name, grown)
        self._free = None
