"""A TCP proxy in front of the store that adds latency.

``python -m loadtest.flood.injection.latency_proxy PORT HOST:PORT [LISTEN]``

It listens on the loopback, or on the address LISTEN, and passes bytes both ways. Each answer is delayed by as
many milliseconds as the last UDP datagram to the same port said, in ASCII.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import uvloop

from launchday import startup

CHUNK_BYTES = 1 << 16


class LatencyProxy(asyncio.DatagramProtocol):
    """The connections of the proxy, and the delay in force.

    Attributes:
        clients: connections that are open.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.delay_s = 0.0
        self.clients = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Set a new delay in milliseconds; anything that is no number is ignored."""
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
        """Pass answers in their order; each is delayed by itself, not by the one before."""
        loop = asyncio.get_running_loop()
        in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1_000)

        async def send_when_due() -> None:
            while True:
                due_s, chunk = await in_flight.get()
                if (wait_s := due_s - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                if not chunk:
                    return
                writer.write(chunk)
                await writer.drain()

        sending = asyncio.create_task(send_when_due())
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await in_flight.put((loop.time() + self.delay_s, chunk))
            await in_flight.put((loop.time(), b""))
            await sending
        finally:
            sending.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def serve(port: int, host: str, target: int, listen: str = "127.0.0.1") -> None:
    """Run the proxy until cancelled."""
    proxy = LatencyProxy(host, target)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: proxy, local_addr=(listen, port))
    server = await asyncio.start_server(proxy.serve_client, listen, port)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    host, _, target = sys.argv[2].rpartition(":")
    uvloop.run(serve(int(sys.argv[1]), host, int(target), *sys.argv[3:4]))


if __name__ == "__main__":
    startup.prepare()
    main()
