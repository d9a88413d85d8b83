"""No wait on a store that is frozen goes on for ever, and none costs the pool a connection for good."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from launchday.resilience import sockets
from rewards.consumer import store_connection
from rewards.consumer.store_connection import MAX_CONNECTIONS, ConnectionPool
from rewards.errors import StoreUnavailableError
from tests.rewards.running import Gate
from tests.waiting import until

SHORT_S = 0.1


@pytest.fixture
async def pool(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConnectionPool]:
    made = ConnectionPool(gate.url, SHORT_S)
    async with made.acquire() as connection:
        await connection.execute("SELECT 1")
    monkeypatch.setattr(store_connection, "CONNECT_S", 5 * SHORT_S)
    yield made
    gate.flowing.set()
    await made.close()


async def test_a_statement_is_given_up_and_its_place_in_the_pool_is_free_again(
    gate: Gate, pool: ConnectionPool
) -> None:
    async def ask() -> int:
        async with pool.acquire() as connection:
            return int(await connection.fetchval("SELECT 1"))

    gate.flowing.clear()
    async with asyncio.timeout(20):
        asked = await asyncio.gather(*(ask() for _ in range(3 * MAX_CONNECTIONS)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailableError) for answer in asked)
    gate.flowing.set()
    assert await until(ask, "the store", ignore=StoreUnavailableError) == 1
    assert await asyncio.gather(*(ask() for _ in range(MAX_CONNECTIONS))) == [1] * MAX_CONNECTIONS


@pytest.mark.parametrize("frozen_before", ["begin", "statement", "commit", "rollback"])
async def test_no_step_of_a_transaction_is_waited_for_for_ever(
    gate: Gate, pool: ConnectionPool, frozen_before: str
) -> None:
    async def work() -> None:
        if frozen_before == "begin":
            gate.flowing.clear()
        async with pool.transaction() as connection:
            if frozen_before == "statement":
                gate.flowing.clear()
            await connection.execute("SELECT 1")
            gate.flowing.clear()
            if frozen_before == "rollback":
                raise KeyError("the caller's own")

    async with asyncio.timeout(20):
        with pytest.raises(KeyError if frozen_before == "rollback" else StoreUnavailableError):
            await work()


async def test_a_cancelled_transaction_ends_at_once_and_leaves_nothing(
    gate: Gate, pool: ConnectionPool
) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with pool.transaction() as connection:
            await connection.execute("CREATE TABLE half_done (id int)")
            gate.flowing.clear()
            begun.set()
            await connection.execute("SELECT 1")

    short, pool = pool, ConnectionPool(gate.url, 60.0)
    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    gate.flowing.set()

    async def gone() -> bool:
        async with short.acquire() as connection:
            return await connection.fetchval("SELECT to_regclass('half_done')") is None

    await until(gone, "the transaction's end", ignore=StoreUnavailableError)
    await pool.close()


async def test_its_sockets_notice_a_store_that_is_gone(pool: ConnectionPool) -> None:
    async with pool.acquire() as connection:
        raw = connection._transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == sockets.USER_TIMEOUT_MS
