"""The Redis client of ours: each command, or pipeline, has one bound over all that it waits for.

redis-py bounds each step by itself: for a free connection, for TCP, for each of the handshake's commands, for
the answer. Together that is several times what a request may take. A command that is late ends its
connection.

Before Python 3.12 redis-py loses a cancellation that comes in the moment a write completes; such a command
waits for one answer's time, as without this bound.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as LateError

from launchday.clock import Clock
from launchday.resilience import deadline

TOTAL_STEPS = 1.5  # a free connection and an answer that both take all of their time are an outage


class _LiveConnection(Connection):
    """A connection that is not taken for open once its transport has ended.

    redis-py asks its stream alone, and that has no end where the kernel gave the connection up, as keep-alive
    does with one that is dead. uvloop then raises RuntimeError at the next command, for each such connection.
    """

    @property
    def is_connected(self) -> bool:
        return self._reader is not None and self._writer is not None and not self._writer.is_closing()


class _LiveTlsConnection(_LiveConnection, SSLConnection):
    pass


_LIVE: dict[Any, Any] = {Connection: _LiveConnection, SSLConnection: _LiveTlsConnection}


class BoundedRedis(Redis):
    """A Redis client whose commands take ``total_s`` at most, or what is left of the request."""

    def __init__(self, *, clock: Clock, total_s: float, pool: BlockingConnectionPool) -> None:
        super().__init__(connection_pool=pool)
        pool.connection_class = _LIVE.get(pool.connection_class, pool.connection_class)
        self.auto_close_connection_pool = True  # as Redis.from_pool does: the pool is this client's alone
        self._clock = clock
        self._total_s = total_s

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises redis-py's TimeoutError when the time is over."""
        async with self.bounded():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    @contextlib.asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound a block as one command; raises redis-py's TimeoutError when the time is over."""
        try:
            async with deadline.within(self._clock, self._total_s):
                yield
        except deadline.DeadlineExceededError as late:
            raise LateError(str(late)) from late

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As redis-py's; all of the pipeline has the time of one command."""
        return _BoundedPipeline(self, transaction, shard_hint)


class _BoundedPipeline(Pipeline):
    def __init__(self, client: BoundedRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with self._client.bounded():
            return await super().execute(raise_on_error)
