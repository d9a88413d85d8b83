from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from launchday.engines import Postgres
from meta_service.errors import SchemaBusyError
from meta_service.store import schema
from meta_service.store.migrations import locks
from tests.meta_service.store.schema_description import describe

RELEASED = "r0017_event_gaps"
# As the steps made it before they were taught to lock for a moment only.
SCHEMA_RELEASED = (Path(__file__).parent / "schema_r0017.txt").read_text().splitlines()


@pytest.fixture
async def old_store(postgres_server: Postgres, request: pytest.FixtureRequest) -> str:
    """A database at r0003: what comes after it changes tables that are in use."""
    name = f"old_{abs(hash(request.node.name))}"
    connection = await asyncpg.connect(postgres_server.address)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    address = postgres_server.address.replace("/postgres?", f"/{name}?")
    await asyncio.to_thread(schema.migrate, address, "r0003_sessions")
    return address


async def test_the_released_steps_make_the_schema_that_they_always_made(old_store: str) -> None:
    await asyncio.to_thread(schema.migrate, old_store, RELEASED)
    assert await describe(old_store) == SCHEMA_RELEASED


async def test_a_step_that_waits_for_a_lock_lets_writers_pass(old_store: str) -> None:
    holder, writer = [await asyncpg.connect(old_store) for _ in range(2)]
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE sessions IN ROW EXCLUSIVE MODE")
            migrating = asyncio.create_task(asyncio.to_thread(schema.migrate, old_store, RELEASED))
            while not await writer.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ):
                assert not migrating.done()
            for number in range(20):  # a waiter that queues before them would hold them up for good
                await writer.execute("INSERT INTO sessions VALUES ($1, 'a', 1, 'live', 1)", number, timeout=5)
            assert not migrating.done()
        await migrating
    finally:
        await asyncio.gather(holder.close(), writer.close())
    assert await describe(old_store) == SCHEMA_RELEASED


async def test_a_lock_that_is_never_free_is_told_with_who_holds_it(
    old_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TRIES", 2)
    holder = await asyncpg.connect(old_store)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE sessions IN ROW EXCLUSIVE MODE")
            with pytest.raises(SchemaBusyError, match=str(holder.get_server_pid())):
                await asyncio.to_thread(schema.migrate, old_store, RELEASED)
    finally:
        await holder.close()


async def test_what_was_cut_in_the_middle_goes_on_where_it_was(old_store: str) -> None:
    connection = await asyncpg.connect(old_store)
    try:
        # Half an index, as a killed CREATE INDEX CONCURRENTLY leaves it, and something in the way of the last
        # piece of a step, so that the pieces before it are done and the step is not.
        await connection.execute("CREATE INDEX sessions_by_time ON sessions (generation)")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'sessions_by_time'::regclass"
        )
        await connection.execute("CREATE TABLE cache_epochs ()")
        with pytest.raises(Exception, match="cache_epochs"):
            await asyncio.to_thread(schema.migrate, old_store, RELEASED)
        await connection.execute("DROP TABLE cache_epochs")
    finally:
        await connection.close()
    await asyncio.to_thread(schema.migrate, old_store, RELEASED)
    assert await describe(old_store) == SCHEMA_RELEASED
