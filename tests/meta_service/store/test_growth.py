"""Tables that grow, in days: what an older release has left counts on, and what it still writes."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from concurrent.futures import ThreadPoolExecutor

import asyncpg
from alembic import command

from launchday.clock import SystemClock
from launchday.engines import Postgres
from launchday.resilience.day_partitions import keep
from meta_service.store import schema
from meta_service.store.idempotency_days import idempotency
from rewards.consumer import totals
from rewards.consumer.inbox_days import inbox
from rewards.consumer.store_connection import ConnectionPool
from rewards.events import EventIds

CLAIM = "SELECT fresh, refusal, earlier FROM idempotency_claim(7, $1, $2)"
# As the release before has it.
INSERT_INBOX = """
    INSERT INTO event_inbox (event_id, topic, applied_at)
    SELECT event_id, $2, now() FROM unnest($1::uuid[]) AS ids (event_id)
    ON CONFLICT (event_id) DO NOTHING RETURNING event_id
"""
DAY_S = 86_400


def ids_at(now_s: float, count: int) -> list[uuid.UUID]:
    ids = EventIds.from_clock(SystemClock())
    return [uuid.UUID(bytes=ids.next(now_s)) for _ in range(count)]


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


def downgrade(url: str, to: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(command.downgrade, schema.configuration(url), to).result()


async def test_what_was_there_before_the_days_is_known_counted_and_kept_on_the_way_back(
    postgres_server: Postgres,
) -> None:
    server = await connect(postgres_server.address)
    await server.execute("DROP DATABASE IF EXISTS growth WITH (FORCE)")
    await server.execute("CREATE DATABASE growth")
    await server.close()
    url = postgres_server.address.rsplit("/", 1)[0] + "/growth"
    await asyncio.to_thread(schema.migrate, url, "r0022_social")
    store = await connect(url)
    now_s = await store.fetchval("SELECT extract(epoch FROM now())::float8")
    before = [*ids_at(now_s - 3 * DAY_S, 2), *ids_at(now_s, 2), uuid.uuid5(uuid.NAMESPACE_URL, "a letter")]
    await store.fetch(INSERT_INBOX, before, "t.player")
    await store.execute("INSERT INTO progression (player_id, kills) VALUES (1, 5), (2, 6)")
    await store.execute("SELECT idempotency_claim(7, 'before', 'x')")
    await store.execute("UPDATE idempotency SET answer = '1'")

    await asyncio.to_thread(schema.migrate, url)

    today = datetime.datetime.fromtimestamp(now_s, datetime.UTC).date()
    for table in (inbox(16), idempotency(14)):
        await keep(store, table, today, SystemClock())
    after = [*ids_at(now_s, 1), *ids_at(now_s + 2 * DAY_S, 3)]
    new = await store.fetch(INSERT_INBOX, [*before, *after], "t.player")
    assert {row["event_id"] for row in new} == set(after)
    await store.execute("UPDATE progression SET kills = kills + 2 WHERE player_id = 1")
    assert tuple(await store.fetchrow(CLAIM, "before", b"x")) == (False, None, "1")

    connections = ConnectionPool(url)
    assert await totals.read(store, ["t.player"], "t.letters") is None
    for _ in range(2):
        await totals.count_before(connections)
        found = await totals.read(store, ["t.player"], "t.letters")
        assert found is not None
        assert (found.events, found.kills) == (9, 13)
    await connections.close()
    places = await store.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM event_inbox")
    assert len(places) == 2  # the rest, and the day after tomorrow

    await asyncio.to_thread(downgrade, url, "r0022_social")
    assert {row["event_id"] for row in await store.fetch("SELECT event_id FROM event_inbox")} == {
        *before,
        *after,
    }
    assert tuple(await store.fetchrow(CLAIM, "before", b"x")) == (False, None, "1")
    await store.close()


async def test_a_key_of_another_day_is_known_and_two_requests_with_it_take_turns(store_url: str) -> None:
    first, second = await connect(store_url), await connect(store_url)
    today = await first.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    await keep(first, idempotency(14), today - datetime.timedelta(1), SystemClock())

    async with first.transaction():
        assert (await first.fetchrow(CLAIM, "k", b"x"))["fresh"]
        # As if it had been claimed before midnight.
        await first.execute("UPDATE idempotency SET claimed_on = claimed_on - 1, answer = '1'")
        waiting = asyncio.create_task(second.fetchrow(CLAIM, "k", b"x"))
        await asyncio.wait({waiting}, timeout=0.1)
        assert not waiting.done()
    assert tuple(await waiting) == (False, None, "1")
    assert tuple(await second.fetchrow(CLAIM, "k", b"y")) == (False, "idempotency-key-reused", None)
    assert await first.fetchval("SELECT count(*) FROM idempotency") == 1

    undone = first.transaction()
    await undone.start()
    assert (await first.fetchrow(CLAIM, "of a refusal", b"x"))["fresh"]
    await undone.rollback()
    assert (await second.fetchrow(CLAIM, "of a refusal", b"y"))["fresh"]
    for connection in (first, second):
        await connection.close()
