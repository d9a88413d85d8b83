"""Connections to the global store, made when they are first needed; the store's errors get our own names.

Every wait is bounded: for a connection, for all that is done with it (``BEGIN``, ``COMMIT`` and ``ROLLBACK``
too), and for giving it back. Where time runs out the connection is ended and the pool goes on: a connection
whose peer is gone would otherwise hold its place for good, as asyncpg waits on it for a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from launchday.resilience import sockets
from rewards.errors import StoreRefusedError, StoreUnavailableError

ANSWER_S = 15.0  # for all that is done with a connection: a batch takes ms, a store that is busy seconds
CONNECT_S = 5.0
MAX_CONNECTIONS = 4  # one applies; the others are for the outbox, the counters and lookups

_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
# InternalClientError: asyncpg raises it at the end of a transaction whose connection was cut in the middle of
# a statement.
_OUTAGES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class ConnectionPool:
    """A small pool of connections.

    Args:
        url: ``postgresql://…`` of the global store.
        answer_s: seconds for all that is done with a connection that was lent.
    """

    def __init__(self, url: str, answer_s: float = ANSWER_S) -> None:
        self._url = url
        self._answer_s = answer_s
        self._pool: asyncpg.Pool | None = None
        self._connecting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lend one connection for ``answer_s``; after that it is ended, and what waits on it fails.

        Raises:
            StoreUnavailableError: the store does not answer.
            StoreRefusedError: it will never take what was given to it.
        """
        late = False
        try:
            async with asyncio.timeout(CONNECT_S):
                pool = await self._connected()
            async with pool.acquire(timeout=CONNECT_S) as connection:

                def end() -> None:
                    nonlocal late
                    late = True
                    _end(connection)

                ending = asyncio.get_running_loop().call_later(self._answer_s, end)
                try:
                    yield connection
                finally:
                    ending.cancel()
        except _REFUSALS as error:
            raise StoreRefusedError(f"the store refuses it: {error}") from error
        except _OUTAGES as error:
            if late:
                raise StoreUnavailableError(f"no answer within {self._answer_s:g} s") from error
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Lend a connection in a transaction, which is committed at the block's end.

        A block that is cancelled ends its connection, and with it the transaction: to roll back would be to
        wait for a store that may not answer. Raises what ``acquire`` does.
        """
        async with self.acquire() as connection:
            transaction = connection.transaction()
            try:
                await transaction.start()
                yield connection
                await transaction.commit()
            except asyncio.CancelledError:
                _end(connection)
                raise
            except BaseException:
                with contextlib.suppress(*_OUTAGES):  # what is left of it ends with the connection
                    await transaction.rollback()
                raise

    async def close(self) -> None:
        """Close all connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                await pool.close()
        except _OUTAGES:
            pool.terminate()

    async def _connected(self) -> asyncpg.Pool:
        async with self._connecting:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=MAX_CONNECTIONS,
                    timeout=CONNECT_S,
                    init=_harden,
                )
            return self._pool


def _end(connection: Any) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # it has ended
        connection.terminate()


async def _harden(connection: asyncpg.Connection) -> None:
    """Let the kernel notice a store that is gone; asyncpg has no option for it."""
    sockets.harden(connection._transport)
