"""Connections to the store: bounded in number and in every wait, and never waited for once they are late.

asyncpg waits without a bound for what a dead connection owes it: the answer to a cancellation, the reset
before a connection goes back to the pool. So nothing here cancels a statement. A connection whose statement
was late, or whose caller has gone, is terminated, and its place in the pool is free at once; the pool and
what is under way on its other connections go on. After a failover that drops packets every old connection is
dead, so one that has not answered since another was late is opened anew before it is used again, and the
kernel ends the idle ones (`launchday.resilience.sockets`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from launchday.clock import Clock
from launchday.resilience import deadline, sockets

# TCP, TLS, the log-in and the first answer are six round trips: 300 ms each where regions are far apart.
CONNECT_S = 2.0


async def open_connection(url: str, **options: Any) -> asyncpg.Connection:
    """Open one connection, with keep-alive and a bound on unacknowledged data.

    Args:
        url: postgresql://….
        options: further ones of ``asyncpg.connect``; ``timeout`` is `CONNECT_S` unless given.

    Raises what asyncpg raises, TimeoutError among it.
    """
    connection = await asyncpg.connect(url, **{"timeout": CONNECT_S, **options})
    sockets.harden(connection._transport)
    return connection


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that knows when the store last answered on it (monotonic seconds)."""

    __slots__ = ("answered_at",)
    answered_at: float


async def _keep_session(_: asyncpg.Connection) -> None:
    """Nothing to reset: our statements leave nothing behind in a session, and asking costs a round trip."""


class Connections:
    """At most ``size`` connections to one store, opened when first needed and kept.

    Args:
        url: postgresql://….
        clock: bounds the waits.
        size: most connections at the same time.
    """

    def __init__(self, url: str, clock: Clock, size: int) -> None:
        self._url = url
        self._clock = clock
        self._size = size
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
        connection = await open_connection(url, **options)
        connection.answered_at = self._clock.monotonic()
        return connection

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        assert self._pool is not None
        if connection._con is not None:  # else it was cut meanwhile
            connection._con.answered_at = self._clock.monotonic()
        await self._pool.release(connection, timeout=CONNECT_S)


def _end(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # it ended by itself
        connection.terminate()
