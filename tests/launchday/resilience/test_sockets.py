from __future__ import annotations

import asyncio
import socket

import pytest
from redis.exceptions import ConnectionError as NoConnectionError

from launchday.resilience import sockets


def test_a_connected_socket_gets_every_option_and_one_of_the_machine_itself_none() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        sockets.harden(one)
        for level, option, value in sockets.OPTIONS:
            assert one.getsockopt(level, option) in (value, bool(value))
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == sockets.USER_TIMEOUT_MS
    near, far = socket.socketpair()
    with near, far:
        sockets.harden(near)


async def test_connections_that_the_cache_closed_while_they_were_idle_are_replaced(cache_url: str) -> None:
    """With redis-py's maintenance notifications every one of them fails once (redis-py #4252)."""
    client = sockets.redis_client(cache_url, connections=8, client_name="idle")
    admin = sockets.redis_client(cache_url, connections=1)

    async def hold() -> None:
        async with client.pipeline(transaction=False) as several:
            several.ping()
            await several.execute()

    try:
        await asyncio.gather(*(hold() for _ in range(8)))
        idle = [connection["id"] for connection in await admin.client_list() if connection["name"] == "idle"]
        assert len(idle) == 8
        for number in idle:
            await admin.client_kill_filter(_id=number)
        assert await asyncio.gather(*(client.ping() for _ in range(32))) == [True] * 32
    finally:
        await client.aclose()
        await admin.aclose()


async def test_a_cache_client_waits_a_bounded_time_for_one_of_a_bounded_number_of_connections(
    cache_url: str,
) -> None:
    client = sockets.redis_client(cache_url, connections=1, answer_s=0.05)
    try:
        async with client.pipeline() as holder:
            await holder.watch("key")  # holds the only connection
            with pytest.raises(NoConnectionError):
                await client.ping()
        assert await client.ping()
    finally:
        await client.aclose()
