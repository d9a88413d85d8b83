"""Connections to the store: bounded in number and in every wait, and never waited for once they are late.

asyncpg waits without a bound for what a dead connection owes it: the answer to a cancellation, the reset
before a connection goes back to the pool. So nothing here cancels a statement. A connection whose statement
was late, or whose caller has gone, is terminated, and its place in the pool is free at once; the pool and
what is under way on its other connections go on. After a failover that drops packets every old connection is
dead, so one that has not answered since another was late is opened anew before it is used again, and the
kernel ends the idle ones (`launchday.resilience.sockets`). So it is where the store turns out to take no
writes any more, or a host of a newer timeline was found: the old primary may be there still.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from launchday.clock import Clock
from launchday.resilience import deadline, store_address

IDLE_S = 20.0  # of a transaction, longer than anybody here takes for all of one: then the store ends it


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that knows when the store last answered on it (monotonic seconds)."""

    __slots__ = ("answered_at",)
    answered_at: float


async def _keep_session(_: asyncpg.Connection) -> None:
    """Nothing to reset: our statements leave nothing behind in a session, and asking costs a round trip."""


class Connections:
    """At most ``size`` connections to one store, opened when first needed and kept.

    Args:
        url: see `launchday.resilience.store_address`.
        clock: bounds the waits.
        size: most connections at the same time.
        connect_s: seconds for opening one.
    """

    def __init__(self, url: str, clock: Clock, size: int, connect_s: float = store_address.CONNECT_S) -> None:
        self._url = url
        self._clock = clock
        self._size = size
        self._connect_s = connect_s
        self._timeline = 0
        self._pool: asyncpg.Pool | None = None
        self._late_at = -1.0  # when a statement was last late

    @contextlib.asynccontextmanager
    async def lend(self, patience_s: float) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection while the block lasts: ``patience_s`` seconds, or what is left of the request.

        Waiting for a free one counts.

        Raises DeadlineExceededError when the time is over, and what asyncpg raises.
        """
        async with deadline.within(self._clock, patience_s):
            pool = await self._opened()
            connection = await pool.acquire()
            while connection.answered_at <= self._late_at:  # the pool gives what is open before it opens
                _end(connection)
                connection = await pool.acquire()
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                self._late_at = self._clock.monotonic()  # it was replaced: the others lead there, too
                _end(connection)
                raise
            except asyncpg.PostgresError:
                await self._give_back(connection)  # an answer, if not the one hoped for: it is in order
                raise
            except BaseException:
                self._late_at = self._clock.monotonic()
                _end(connection)
                raise
            else:
                await self._give_back(connection)

    def terminate(self) -> None:
        """Close every connection at once."""
        if self._pool is not None:
            self._pool.terminate()

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._size,
                connect=self._open,
                connection_class=_Connection,
                reset=_keep_session,
                # An idle connection costs less than a new one, and a statement that is prepared anew is
                # another round trip; keep-alive ends those that are dead.
                max_inactive_connection_lifetime=0.0,
                max_cached_statement_lifetime=0,
            )
            await self._pool  # opens nothing yet, so this is done at once
        return self._pool

    async def _open(self, url: str, **options: Any) -> asyncpg.Connection:
        began = self._clock.monotonic()
        connection = await store_address.connect(url, timeout_s=self._connect_s, idle_s=IDLE_S, **options)
        if (timeline := store_address.timeline(url)) > self._timeline:
            self._timeline, self._late_at = timeline, began
        connection.answered_at = self._clock.monotonic()
        return connection

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        assert self._pool is not None
        if connection._con is not None:  # else it was cut meanwhile
            connection._con.answered_at = self._clock.monotonic()
        await self._pool.release(connection, timeout=self._connect_s)


def _end(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # it ended by itself
        connection.terminate()
