"""The pool: the tickets of one queue that a director knows, a structure of arrays.

A ticket's row never moves while it lives, so a match on its way to a server keeps its rows. The pool also
counts what is left of each stream entry, and says which may be acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matchmaker.matching.arrays import Tickets
from matchmaker.tickets.ticket import RecordFormat, RequeueRecord

FREE, SEARCHING, HELD = 0, 1, 2
FIRST_CAPACITY = 1_024
# A ticket expires where the cache says so. Time in which nobody could serve it is granted again there, up to
# a minute; a ticket that is older than that is nobody's any more, whether or not an API is up to say so.
EXPIRY_GRACE_S = 60.0

Rows = NDArray[np.int64]
_NO_ROWS: Rows = np.zeros(0, np.int64)


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
        self.skill_deviation = np.zeros(0, np.float32)
        self.group = np.zeros(0, np.int32)
        self.platform = np.zeros(0, np.int32)
        self.ciphers = np.zeros(0, np.uint16)
        self.party = np.zeros(0, np.uint64)  # 0: none
        self.party_size = np.zeros(0, np.int32)
        self.latency_ms = np.zeros((0, regions), np.float32)
        self._entry = np.zeros(0, np.int64)  # number of the stream entry that it came in
        self._entries: dict[int, tuple[bytes, int]] = {}  # number → entry id, tickets left
        self._next_entry = 0
        self._attributes: dict[
            int, str
        ] = {}  # row → the attributes of its ticket, where the mode's rules read any
        # Row → numbers of the stream entries that made its ticket older.
        self._backdated: dict[int, list[int]] = {}
        self._touched: list[Rows] | None = None  # rows whose tickets changed; None: nobody wants to know
        self._free: Rows | None = None  # free rows; None: not known at the moment
        self._grow(FIRST_CAPACITY)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.state))

    def add(self, entry_id: bytes, records: NDArray[np.void], attributes: Sequence[str] = ()) -> Rows:
        """Add the tickets of one stream entry (at least one), with their attributes; return their rows."""
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
        self.skill_deviation[rows] = records["skill_deviation"]
        self.group[rows] = records["group"]
        self.platform[rows] = records["platform"]
        self.ciphers[rows] = records["ciphers"]
        self.party[rows] = records["party"]
        self.party_size[rows] = records["party_size"]
        self.latency_ms[rows] = records["latency_ms"]
        self._attributes.update(zip(rows.tolist(), attributes, strict=False))
        self._entry[rows] = self._next_entry
        self._entries[self._next_entry] = (entry_id, len(records))
        self._next_entry += 1
        return rows

    def watch(self) -> None:
        """Keep from now on which rows change, for `take_touched`."""
        self._touched = []

    def take_touched(self) -> Rows:
        """Return the rows whose tickets were held, released, removed or made older since the last call."""
        if not self._touched:
            return _NO_ROWS
        touched, self._touched = self._touched, []
        return np.unique(np.concatenate(touched))

    def requeue_record(self, rows: Rows) -> RequeueRecord:
        """Return the tickets of these rows as the stream had them."""
        found = np.zeros(len(rows), RecordFormat(self.latency_ms.shape[1]).dtype)
        for field in found.dtype.names or ():
            found[field] = getattr(self, "skill" if field == "skill_mean" else field)[rows]
        attributes = [self._attributes.get(row, "") for row in rows.tolist()] if self._attributes else []
        return RequeueRecord(found.tobytes(), attributes)

    def backdate(
        self, entry_id: bytes, ticket_ids: NDArray[np.uint64], since: NDArray[np.float64]
    ) -> list[bytes]:
        """Tickets, uint64[N, 2], are older than they were: since float64[N], Unix seconds.

        The entry that said so is kept until they have ended, for the next director.

        Returns:
            The entry's id where the pool has none of them.
        """
        at = [(int(row), i) for i in range(len(since)) for row in self.find(ticket_ids[i : i + 1])]
        self._touch(np.array([row for row, _ in at], np.int64))
        for row, i in at:
            self.enqueued_at[row] = min(self.enqueued_at[row], since[i])
            self._backdated.setdefault(row, []).append(self._next_entry)
        if not at:
            return [entry_id]
        self._entries[self._next_entry] = (entry_id, len(at))
        self._next_entry += 1
        return []

    def searching(self, now: float) -> Rows:
        """Return the rows of tickets that may be matched at ``now``: neither held nor long expired."""
        return np.flatnonzero((self.state == SEARCHING) & (self.expires_at + EXPIRY_GRACE_S > now))

    def units(self, rows: Rows) -> tuple[Tickets, Rows, NDArray[np.int64]]:
        """Return what the kernel is to match of these rows: solo players, and parties that are complete.

        Returns:
            The kernel's tickets, U of them; ``members`` and ``first``, int64[U + 1]: the rows of ticket ``t``
            are ``members[first[t] : first[t + 1]]``. A party is as old as its last player, as near to a
            region as the one farthest from it, and as good as all of them on average.
        """
        together = rows[self.party[rows] != 0]
        if not len(together):
            return self._columns(rows, None), rows, np.arange(len(rows) + 1)
        together = together[np.lexsort((self.player_id[together], self.party[together]))]
        _, first, count = np.unique(self.party[together], return_index=True, return_counts=True)
        complete = count == self.party_size[together[first]]
        together, count = together[np.repeat(complete, count)], count[complete]
        alone = rows[self.party[rows] == 0]
        members = np.concatenate((alone, together))
        size = np.concatenate((np.ones(len(alone), np.int64), count))
        first = np.concatenate(((0,), np.cumsum(size)))
        return self._columns(members[first[:-1]], (members, first)), members, first

    def _columns(self, rows: Rows, parties: tuple[Rows, NDArray[np.int64]] | None) -> Tickets:
        tickets = Tickets(
            self.latency_ms[rows],
            self.skill[rows],
            self.enqueued_at[rows],
            self.group[rows],
            self.player_id[rows],
            np.ones(len(rows), np.int32),
            self.platform[rows],
        )
        if parties is None or not len(rows):
            return tickets
        members, first = parties
        size = np.diff(first).astype(np.int32)
        return tickets._replace(
            latency_ms=np.maximum.reduceat(_measured(self.latency_ms[members]), first[:-1]),
            skill=(np.add.reduceat(self.skill[members], first[:-1]) / size).astype(np.float32),
            enqueued_at=np.maximum.reduceat(self.enqueued_at[members], first[:-1]),
            size=size,
        )

    def hold(self, rows: Rows) -> None:
        """Keep tickets out of the search while their match gets a server."""
        self.state[rows] = HELD
        self._touch(rows)

    def release(self, rows: Rows) -> None:
        """Let held tickets search again, with their age."""
        self.state[rows] = SEARCHING
        self._touch(rows)

    def remove(self, rows: Rows) -> list[bytes]:
        """Drop tickets that have ended; return the ids of the entries of which nothing is left."""
        self.state[rows] = FREE
        self._free = None
        self._touch(rows)
        if self._attributes:
            for row in rows.tolist():
                self._attributes.pop(row, None)
        finished = []
        numbers = self._entry[rows]
        if self._backdated:
            also = [number for row in rows.tolist() for number in self._backdated.pop(row, ())]
            numbers = np.concatenate((numbers, np.array(also, np.int64)))
        for number, gone in zip(*map(np.ndarray.tolist, np.unique(numbers, return_counts=True)), strict=True):
            entry_id, left = self._entries[number]
            if left == gone:
                del self._entries[number]
                finished.append(entry_id)
            else:
                self._entries[number] = (entry_id, left - gone)
        return finished

    def find(self, ticket_ids: NDArray[np.uint64]) -> Rows:
        """Return the rows of those of these tickets, uint64[N, 2], that the pool has, in the pool's order."""
        if len(ticket_ids) == 0:
            return np.zeros(0, np.int64)
        wanted = ticket_ids[np.argsort(ticket_ids[:, 1], kind="stable")]
        # The second half of a random UUID tells tickets apart; the first half is compared to be sure.
        place = np.minimum(np.searchsorted(wanted[:, 1], self.ticket_id[:, 1]), len(wanted) - 1)
        return np.flatnonzero((self.state != FREE) & (wanted[place] == self.ticket_id).all(axis=1))

    def _touch(self, rows: Rows) -> None:
        if self._touched is not None and len(rows):
            self._touched.append(rows.copy())

    def _grow(self, capacity: int) -> None:
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray) and name != "_free":
                grown = np.zeros((capacity, *column.shape[1:]), column.dtype)
                grown[: len(column)] = column
                setattr(self, name, grown)
        self._free = None


def _measured(latency_ms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return round trips with those not measured infinite, so that the longest of a party is."""
    return np.where(np.isnan(latency_ms), np.float32(np.inf), latency_ms)
