"""A TCP proxy whose connections can die without a word, as behind a failover or a NAT that forgot.

What is sent over a dead connection is taken and goes nowhere; nothing comes back, no end either. New
connections work at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 1 << 16


class DeadLink:
    """A running proxy.

    Attributes:
        url: the address behind which ``target`` is, seen through the proxy.
        opened: how many connections there were so far.
        is_cut: whether those that are opened from now on are dead, too.
        lost: what was sent over dead ones: chunks that went nowhere.
    """

    def __init__(self, target: str, port: int) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 0
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(
            parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}")
        )
        self.opened = 0
        self.is_cut = False
        self.lost = 0
        self._dead: set[int] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    def kill(self) -> None:
        """Let every connection that there is die; those opened from now on live."""
        self._dead = set(range(self.opened))

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client in a task that ends with the link."""
        self._ends.append(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        """Close every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for end in self._ends:  # those too whose task had not begun
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one client's bytes both ways until either end closes."""
        number, self.opened = self.opened, self.opened + 1
        if self.is_cut:
            self._dead.add(number)
        ends, ways = [writer], []
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
            ends.append(inner_writer)
            self._ends.append(inner_writer)
            ways.append(asyncio.create_task(self._pass(reader, inner_writer, number)))
            ways.append(asyncio.create_task(self._pass(inner_reader, writer, number)))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if number in self._dead:
                self.lost += 1
            else:
                writer.write(chunk)


@contextlib.asynccontextmanager
async def dead_link(target: str) -> AsyncIterator[DeadLink]:
    """Run a proxy before ``target``, such as ``postgresql://user@host:port/name``."""
    server = await asyncio.start_server(lambda reader, writer: link.accept(reader, writer), "127.0.0.1", 0)
    link = DeadLink(target, server.sockets[0].getsockname()[1])
    try:
        yield link
    finally:
        server.close()
        await link.end()
