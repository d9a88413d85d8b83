from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

import asyncpg
import pytest

from launchday.clock import SystemClock
from launchday.engines import Postgres
from launchday.resilience import day_partitions
from launchday.resilience.day_partitions import DayTable, keep

TODAY = datetime.date(2026, 12, 1)
TABLE = DayTable(
    "things",
    begins=lambda day: f"'{day}'",
    outlives=lambda day: f"day >= '{day}'",
    days_kept=3,
    key="name",
    sought_by="day",
)


def after(days: int) -> datetime.date:
    return TODAY + datetime.timedelta(days)


@pytest.fixture
async def things(store_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a store with a table whose default partition holds a row of today and one of 1970."""
    connection = await asyncpg.connect(store_url)
    await connection.execute(
        f"""
        CREATE TABLE things (name text NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
        CREATE TABLE things_rest PARTITION OF things (PRIMARY KEY (name)) DEFAULT;
        COMMENT ON TABLE things_rest IS '{TODAY}';
        INSERT INTO things VALUES ('old', '1970-01-01'), ('of today', '{TODAY}');
        """
    )
    yield connection
    await connection.close()


async def where(things: asyncpg.Connection) -> dict[str, str]:
    rows = await things.fetch("SELECT name, tableoid::regclass::text AS place FROM things")
    return {row["name"]: row["place"] for row in rows}


async def days(things: asyncpg.Connection) -> list[str]:
    rows = await things.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'things'::regclass"
    )
    return sorted(row["name"] for row in rows if row["name"] != "things_rest")


@pytest.mark.parametrize("large_bytes", [-1, 2**40], ids=["large", "small"])
async def test_days_are_made_ahead_and_what_is_in_the_rest_stays_there(
    things: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, large_bytes: int
) -> None:
    monkeypatch.setattr(day_partitions, "LARGE_BYTES", large_bytes)
    await keep(things, TABLE, TODAY, SystemClock())
    first = 2 if large_bytes < 0 else 1  # today's rows are in the rest
    assert await days(things) == [TABLE.day(after(each)) for each in range(first, 8)]
    await things.execute("INSERT INTO things VALUES ('of tomorrow', $1)", after(3))
    await things.execute("INSERT INTO things VALUES ('of next year', $1)", after(365))
    assert await where(things) == {
        "old": "things_rest",
        "of today": "things_rest",
        "of tomorrow": "things_20261204",
        "of next year": "things_rest",
    }
    with pytest.raises(asyncpg.UniqueViolationError):
        await things.execute("INSERT INTO things VALUES ('of tomorrow', $1)", after(3))


async def test_days_that_are_over_are_dropped_and_the_rest_is_exchanged(things: asyncpg.Connection) -> None:
    await keep(things, TABLE, TODAY, SystemClock())
    await things.execute("INSERT INTO things VALUES ('of tomorrow', $1)", after(1))
    await things.execute("INSERT INTO things VALUES ('of next year', $1)", after(365))
    for each in range(1, 8):
        await keep(things, TABLE, after(each), SystemClock())
    # Kept for three whole days after its end, and the margin of one.
    assert (await days(things))[0] == TABLE.day(after(3))
    assert await where(things) == {"of next year": "things_rest"}
    since = await things.fetchval("SELECT obj_description('things_rest'::regclass)")
    assert since == str(after(7))
    assert await things.fetchval("SELECT to_regclass('things_rest_old')") is None


async def test_a_reader_that_goes_on_for_long_holds_up_nobody_else(
    things: asyncpg.Connection, store_url: str, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_partitions, "WAIT_MS", 10)
    monkeypatch.setattr(day_partitions, "PAUSE_S", 0.01)
    monkeypatch.setattr(day_partitions, "TRIES", 3)
    await keep(things, TABLE, TODAY, SystemClock())
    reader, writer = await asyncpg.connect(store_url), await asyncpg.connect(store_url)
    async with reader.transaction():
        await reader.fetch("SELECT * FROM things")
        keeping = asyncio.create_task(keep(things, TABLE, after(20), SystemClock()))
        while not keeping.done():
            await asyncio.wait_for(writer.execute("INSERT INTO things VALUES ('x', $1)", after(2)), 5)
            await writer.execute("DELETE FROM things WHERE name = 'x'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await keeping
    await keep(things, TABLE, after(20), SystemClock())
    assert (await days(things))[0] == TABLE.day(after(20))
    for connection in (reader, writer):
        await connection.close()


async def test_one_keeper_at_a_time_and_none_where_there_are_no_days(
    things: asyncpg.Connection, store_url: str
) -> None:
    other = await asyncpg.connect(store_url)
    await other.execute("SELECT pg_advisory_lock(hashtextextended('things', 0))")
    await keep(things, TABLE, TODAY, SystemClock())
    assert await days(things) == []
    await other.close()
    await things.execute("DROP TABLE things; CREATE TABLE things (name text)")
    await keep(things, TABLE, TODAY, SystemClock())
