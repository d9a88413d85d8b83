"""The Redis client: dead and closed connections, and one bound for all that a command waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as LateError

from launchday.clock import SystemClock
from launchday.engines import Valkey
from launchday.resilience import deadline
from launchday.resilience.cache_client import BoundedRedis
from launchday.resilience.sockets import redis_client
from tests.dead_link import dead_link

REQUESTS = 32


async def at_once(client: Redis, count: int = REQUESTS) -> list[object]:
    """As many requests as there are connections, each with one of its own."""
    return await asyncio.gather(
        *(client.blpop(["nothing"], 0.05) for _ in range(count)), return_exceptions=True
    )


def failures(answers: list[object]) -> int:
    return sum(isinstance(answer, Exception) for answer in answers)


async def test_connections_that_the_server_closed_while_idle_fail_no_request(cache_url: str) -> None:
    client, other = redis_client(cache_url), redis_client(cache_url)
    assert failures(await at_once(client)) == 0
    kill: Any = other.execute_command
    await kill("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert failures(await at_once(client)) == 0
    await client.aclose()
    await other.aclose()


async def test_connections_that_the_kernel_gave_up_fail_no_request(cache_url: str) -> None:
    """As keep-alive does: the transport has ended, and the stream knows of no end."""
    client = redis_client(cache_url)
    assert failures(await at_once(client)) == 0
    pool: Any = client.connection_pool
    for connection in pool._available_connections:
        connection._writer.transport.abort()
    assert failures(await at_once(client)) == 0
    await client.aclose()


async def test_no_request_fails_after_the_cache_was_started_again(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey", tmp_path / "valkey.log")
    server.start()
    client = redis_client(server.address)
    try:
        assert failures(await at_once(client)) == 0
        port = server.port
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start, port)
        assert failures(await at_once(client)) == 0
    finally:
        await client.aclose()
        server.stop()


async def test_a_connection_that_died_without_a_word_fails_one_request(cache_url: str) -> None:
    async with dead_link(cache_url) as link:
        client = redis_client(link.url, connections=4, answer_s=0.2)
        assert failures(await at_once(client, 4)) == 0
        link.kill()
        assert failures(await at_once(client, 4)) == 4
        assert failures(await at_once(client, 4)) == 0
        await client.aclose()


async def test_all_steps_of_a_command_have_one_bound(cache_url: str) -> None:
    """Each step by itself would be in time: a free connection, and the answer."""
    client = redis_client(cache_url, connections=1, answer_s=1.0)
    assert isinstance(client, BoundedRedis)
    await client.ping()
    client._total_s = 0.05
    first = asyncio.ensure_future(client.blpop(["nothing"], 600))
    await asyncio.sleep(0)
    with pytest.raises(LateError):
        await client.get("anything")
    with pytest.raises(LateError):
        await first
    assert await client.ping()
    await client.aclose()


async def test_a_pipeline_waits_no_longer_than_its_request_has(cache_url: str) -> None:
    client, clock = redis_client(cache_url, answer_s=1.0), SystemClock()
    await client.ping()
    pipeline = client.pipeline(transaction=False)
    pipeline.blpop(["nothing"], 600)
    with deadline.serving(clock.monotonic() + 0.05), pytest.raises(LateError):
        await pipeline.execute()
    assert await client.ping()
    await client.aclose()


async def test_an_answer_that_comes_late_is_not_read_by_the_next_command(cache_url: str) -> None:
    client, clock = redis_client(cache_url, connections=1, answer_s=0.1), SystemClock()
    await client.ping()
    for number in range(10):
        with deadline.serving(clock.monotonic() + 0.02), pytest.raises(LateError):
            await client.blpop([f"late-{number}"], 5)
        assert await client.echo(f"{number}") == f"{number}".encode()
    await client.aclose()
