"""Connections to the global store, made when they are first needed; the store's errors get our own names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from rewards.errors import StoreRefusedError, StoreUnavailableError

COMMAND_TIMEOUT_S = 30.0  # a batch takes milliseconds; after this the connection counts as dead
CONNECT_TIMEOUT_S = 5.0
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
    """A small pool of connections. ``url`` is ``postgresql://…`` of the global store."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._connecting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lend one connection.

        Raises:
            StoreUnavailableError: the store does not answer.
            RefusedByStoreError: it will never take what was given to it.
        """
        try:
            async with self._connecting:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=1,
                        max_size=MAX_CONNECTIONS,
                        timeout=CONNECT_TIMEOUT_S,
                        command_timeout=COMMAND_TIMEOUT_S,
                    )
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except _REFUSALS as error:
            raise StoreRefusedError(f"the store refuses it: {error}") from error
        except _OUTAGES as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await pool.close()
        except _OUTAGES:
            pool.terminate()
