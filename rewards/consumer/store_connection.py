"""Connections to the global store, made when they are first needed; the store's errors get our own names.

Every wait is bounded, and a connection whose time runs out is ended: see
`launchday.resilience.store_connections`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from launchday.clock import Clock, SystemClock
from launchday.resilience import store_address
from launchday.resilience.deadline import DeadlineExceededError
from launchday.resilience.store_connections import Connections
from rewards.errors import StoreRefusedError, StoreUnavailableError

ANSWER_S = 15.0  # for all that is done with a connection: a batch takes ms, a store that is busy seconds
CONNECT_S = 5.0
MAX_CONNECTIONS = 4  # see the setting rewards_store_connections

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
        size: most connections at the same time.
        clock: bounds the waits; None: the machine's.
    """

    def __init__(
        self,
        url: str,
        answer_s: float = ANSWER_S,
        size: int = MAX_CONNECTIONS,
        clock: Clock | None = None,
    ) -> None:
        self._answer_s = answer_s
        self._connections = Connections(url, clock or SystemClock(), size, CONNECT_S)

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lend one connection; after `CONNECT_S` and ``answer_s`` it is ended, and what waits on it fails.

        Raises:
            StoreUnavailableError: the store does not answer.
            StoreRefusedError: it will never take what was given to it.
        """
        try:
            async with self._connections.lend(CONNECT_S + self._answer_s) as connection:
                yield connection
        except _REFUSALS as error:
            raise StoreRefusedError(f"the store refuses it: {error}") from error
        except DeadlineExceededError as error:
            raise StoreUnavailableError(str(error)) from error
        except _OUTAGES as error:
            raise StoreUnavailableError(store_address.explained(error)) from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Lend a connection in a transaction, which is committed at the block's end.

        A block that fails in any way but by the store's own word ends its connection, and with it the
        transaction: to roll back would be to wait for a store that may not answer. Raises what ``acquire``
        does.
        """
        async with self.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
                await transaction.commit()
            except asyncpg.PostgresError:
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                    await transaction.rollback()
                raise

    async def close(self) -> None:
        """Close all connections at once."""
        self._connections.terminate()
