"""Connections that all players lose at the same moment, as the fault ``reconnect_all`` has it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class ConnectionsDroppedError(Exception):
    """Raised where all connections have been dropped during what a :class:`Connected` block did."""


class ConnectionDrops:
    """Drops the connections of all players at once.

    Attributes:
        count: how often that has happened. A client that has seen fewer has lost its session, too.
    """

    def __init__(self) -> None:
        self.count = 0
        self._open: set[asyncio.Timeout] = set()

    def connected(self) -> Connected:
        """A block that needs its connection: dropping it raises ConnectionsDroppedError there."""
        return Connected(self._open)

    def drop_all(self) -> None:
        """Drop all connections that are open now."""
        self.count += 1
        now = asyncio.get_running_loop().time()
        for connection in self._open:
            if not connection.expired():
                connection.reschedule(now)


class Connected:
    """A block that ends with ConnectionsDroppedError when all connections are dropped.

    It is a timeout that nobody has set: dropping it costs no task a player, and composes with the timeouts
    around and inside of it.

    Args:
        open_connections: of all players; the block's is in it while it lasts.
    """

    def __init__(self, open_connections: set[asyncio.Timeout]) -> None:
        self._open = open_connections
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._open.add(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.discard(self._timeout)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as dropped:
            raise ConnectionsDroppedError("all connections were dropped") from dropped
