from __future__ import annotations

import asyncio

from launchday.engines import free_port
from loadtest.flood.injection.latency_proxy import LatencyProxy
from tests.waiting import until


async def test_bytes_pass_both_ways_and_answers_late_by_what_was_asked() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    inner_port, port = free_port(), free_port()
    inner = await asyncio.start_server(echo, "127.0.0.1", inner_port)
    proxy = LatencyProxy("127.0.0.1", inner_port)
    outer = await asyncio.start_server(proxy.serve_client, "127.0.0.1", port)
    loop = asyncio.get_running_loop()
    async with inner, outer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"at once")
        assert await reader.readexactly(7) == b"AT ONCE"
        proxy.datagram_received(b"no number", None)
        proxy.datagram_received(b"60", None)
        asked_s = loop.time()
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        assert loop.time() - asked_s >= 0.06
        writer.close()
        await writer.wait_closed()
        await until(lambda: not proxy.clients, "the proxy sees the client leave")
