"""A door before the store that can be made slow: ``python -m loadtest.flood.latency_proxy PORT HOST:PORT``.

It passes bytes both ways. Each answer leaves as many milliseconds late as the last datagram to its own port said, in ASCII.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import uvloop

CHUNK_BYTES = 1 << 16


class LatencyProxy(asyncio.DatagramProtocol):
    """Both ends of all connections, and the delay in force.

    Attributes:
        clients: connections that are open.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.delay_s = 0.0
        self.clients = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take a new delay; what is no number is nothing."""
        with contextlib.suppress(ValueError):
            self.delay_s = max(0.0, float(data) / 1e3)

    async def serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either end closes."""
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        self.clients += 1
        ways = [
            asyncio.create_task(_pass(reader, inner_writer)),
            asyncio.create_task(self._pass_late(inner_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, inner_writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()
        self.clients -= 1

    async def _pass_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass answers in their order, each late by itself and not by the one before."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1_000)

        async def let_out() -> None:
            while True:
                due_s, chunk = await under_way.get()
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()

        letting_out = asyncio.create_task(let_out())
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await under_way.put((loop.time() + self.delay_s, chunk))
            await under_way.put((loop.time(), b""))
            await letting_out
        finally:
            letting_out.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def serve(port: int, host: str, target: int) -> None:
    """Keep the door until cancelled."""
    door = LatencyProxy(host, target)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: door, local_addr=("127.0.0.1", port))
    server = await asyncio.start_server(door.serve_client, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    host, _, target = sys.argv[2].rpartition(":")
    uvloop.run(serve(int(sys.argv[1]), host, int(target)))


if __name__ == "__main__":
    main()
