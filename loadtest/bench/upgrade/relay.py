"""A load balancer for TCP: each new connection goes to the next of the servers that are in turn."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from types import TracebackType
from typing import Self

from launchday.engines import free_port

BYTES = 65_536


class Relay:
    """Listens on a free port.

    Attributes:
        port: where.
        servers: ports in turn; change it to take one in or out. Connections that are open stay.
        carried: connections that each server was given.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.servers: list[int] = []
        self.carried: dict[int, int] = {}
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writers = [writer]
        try:
            there = await self._connect()
            if there is not None:
                writers.append(there[1])
                await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            for each in writers:
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next server that takes one."""
        servers = list(self.servers)
        first = next(self._turns)
        for place in range(len(servers)):
            port = servers[(first + place) % len(servers)]
            with contextlib.suppress(OSError):
                found = await asyncio.open_connection("127.0.0.1", port)
                self.carried[port] = self.carried.get(port, 0) + 1
                return found
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
