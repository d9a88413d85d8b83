"""The tickets of a pool that stand in a book: which rows of the pool each of them is, and how it is.

A party is one ticket there, and several rows of the pool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matchmaker.matching.pool import EXPIRY_GRACE_S, FREE, SEARCHING, Pool
from matchmaker.rules.flexmatch.ticket_table import Rows, ranges

ENDED, HELD, WAITING = range(3)


class EnteredTickets:
    """The tickets in the book, U of them with P players, in order of their rows there.

    Attributes:
        row: int64[U], ascending; first: int64[U], where a ticket's players begin; size: int64[U].
        state: uint8[U], ENDED, HELD or WAITING; start_s: float64[U].
        expires_s: float64[U], from when a ticket is nobody's any more.
        pool_row: int64[P]; ticket_id: uint64[P, 2]; player_id: int64[P].
    """

    def __init__(self) -> None:
        self.row = np.zeros(0, np.int64)
        self.first = np.zeros(0, np.int64)
        self.size = np.zeros(0, np.int64)
        self.state = np.zeros(0, np.uint8)
        self.start_s = np.zeros(0, np.float64)
        self.expires_s = np.zeros(0, np.float64)
        self.pool_row = np.zeros(0, np.int64)
        self.ticket_id = np.zeros((0, 2), np.uint64)
        self.player_id = np.zeros(0, np.int64)

    def add(self, rows: Rows, pool: Pool, players: Rows, size: Rows) -> None:
        """Append tickets: their rows in the book, the pool's rows of their players, and how many each has."""
        begin = np.cumsum(size) - size
        self.first = np.append(self.first, len(self.pool_row) + begin)
        self.row, self.size = np.append(self.row, rows), np.append(self.size, size)
        self.state = np.append(self.state, np.full(len(rows), WAITING, np.uint8))
        self.start_s = np.append(self.start_s, np.maximum.reduceat(pool.enqueued_at[players], begin))
        expires_s = np.minimum.reduceat(pool.expires_at[players], begin) + EXPIRY_GRACE_S
        self.expires_s = np.append(self.expires_s, expires_s)
        self.pool_row = np.append(self.pool_row, players)
        self.ticket_id = np.concatenate((self.ticket_id, pool.ticket_id[players]))
        self.player_id = np.append(self.player_id, pool.player_id[players])

    def players(self, at: Rows) -> Rows:
        """Where the players of some tickets stand, one ticket after the other."""
        return ranges(self.first[at], self.size[at])

    def each(self, at: Rows, of_player: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What holds of all players of each of some tickets; ``of_player`` is in the order of `players`."""
        size = self.size[at]
        return np.logical_and.reduceat(of_player, np.cumsum(size) - size) if len(at) else np.zeros(0, bool)

    def keep(self, at: Rows) -> None:
        """Drop all tickets but these, which ascend."""
        players = self.players(at)
        self.pool_row, self.ticket_id = self.pool_row[players], self.ticket_id[players]
        self.player_id = self.player_id[players]
        self.row, self.size, self.state = self.row[at], self.size[at], self.state[at]
        self.start_s, self.expires_s = self.start_s[at], self.expires_s[at]
        self.first = np.cumsum(self.size) - self.size

    def look(self, at: Rows, pool: Pool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of some tickets are in the pool still, with all of their players; and which of them may be
        matched.
        """
        players = self.players(at)
        rows = self.pool_row[players]
        same = (pool.state[rows] != FREE) & (pool.ticket_id[rows] == self.ticket_id[players]).all(axis=1)
        return self.each(at, same), self.each(at, same & (pool.state[rows] == SEARCHING))

    def since(self, at: Rows, pool: Pool) -> NDArray[np.float64]:
        """When some tickets, at least one, began to wait, as the pool has it."""
        size = self.size[at]
        begin = np.cumsum(size) - size
        return np.maximum.reduceat(pool.enqueued_at[self.pool_row[self.players(at)]], begin)
