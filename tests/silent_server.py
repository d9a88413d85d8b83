"""A server that accepts connections and never answers: what a stopped process looks like to its clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class SilentServer:
    """What has happened to it.

    Attributes:
        port: of the loopback.
        opened, closed: connections that clients made, and those that they ended.
        received: every byte, in the order of arrival.
    """

    port: int = 0
    opened: int = 0
    closed: int = 0
    received: bytearray = field(default_factory=bytearray)

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[SilentServer]:
    """Run one while the context lasts."""
    seen = SilentServer()

    class Silence(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.opened += 1
            open_ones.add(transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            seen.received += data

        def connection_lost(self, error: Exception | None) -> None:
            seen.closed += 1
            open_ones.discard(self.transport)

    open_ones: set[asyncio.BaseTransport] = set()
    server = await asyncio.get_running_loop().create_server(Silence, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for transport in list(open_ones):
            transport.close()
        await asyncio.sleep(0)
