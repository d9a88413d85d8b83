"""The outbox: an event is sent if and only if its transaction was committed, and counts once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.clock import SystemClock
from launchday.settings import Settings
from meta_service.cache import cache
from meta_service.domain.shop import Shop
from meta_service.domain.wardrobe import Wardrobe
from meta_service.errors import InsufficientFundsError
from meta_service.store import catalogue
from meta_service.store.apply import apply
from meta_service.store.catalogue import Item
from meta_service.store.store import Store as MetaStore
from rewards.consumer.outbox import (
    COUNT_NEWER_ROWS,
    OutboxRelay,
    OwnEvents,
    level_up_envelope,
    loadouts,
    purchases,
)
from rewards.consumer.store import Store
from rewards.consumer.store_connection import ConnectionPool
from rewards.events import PLAYER, PROGRESS, Envelope, ensure_topics, parse_envelope
from rewards.progression import rules
from tests.rewards.examples import NOW_S, a_grant
from tests.rewards.running import LETTERS, batch, query, running
from tests.waiting import until


async def sent_level_ups(settings: Settings, count: int) -> list[Envelope]:
    """The first ``count`` events on the topic of rewards' own."""
    kafka = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await kafka.start()
    try:
        name = PROGRESS.name(settings.topic_prefix)
        kafka.assign([TopicPartition(name, number) for number in range(PROGRESS.partitions)])
        found: list[Envelope] = []

        async def enough() -> bool:
            for records in (await kafka.getmany(timeout_ms=100)).values():
                found.extend(parse_envelope(record.value) for record in records)
            return len(found) >= count

        await until(enough, f"{count} level-ups")
        return found
    finally:
        await kafka.stop()


async def test_a_level_up_is_sent_after_it_is_stored(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    store = Store(settings.store_url, "rewards", rules.load(), LETTERS, announce_level_ups=True)
    applied = await store.apply(batch([a_grant(1, 1_100), a_grant(2, 499), a_grant(3, 500)]), NOW_S)
    assert applied.level_ups == 2
    assert (await store.apply(batch([a_grant(2, 1)], first_offset=3), NOW_S)).level_ups == 1

    outbox = OutboxRelay(store.connections, settings.kafka_bootstrap, settings.topic_prefix, SystemClock())
    relaying = asyncio.create_task(outbox.run())
    found = await sent_level_ups(settings, 3)

    levels = {
        e.level_up.player_id: (e.level_up.from_level, e.level_up.to_level, e.level_up.xp) for e in found
    }
    assert levels == {1: (1, 3, 1_100), 2: (1, 2, 500), 3: (1, 2, 500)}

    async def empty() -> bool:
        return not await query(settings.store_url, "SELECT 1 FROM event_outbox")

    await until(empty, "an empty outbox")
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await store.close()


def test_the_same_level_of_the_same_player_has_the_same_id() -> None:
    first, again = level_up_envelope(1, 1, 2, 500, NOW_S), level_up_envelope(1, 1, 2, 500, NOW_S)
    assert first == again
    others = [level_up_envelope(1, 2, 3, 900, NOW_S), level_up_envelope(2, 1, 2, 500, NOW_S)]
    assert len({first[0], *(other[0] for other in others)}) == 3
    assert parse_envelope(first[1]).level_up.to_level == 2


CRATE = Item(item_id="crate", kind="consumable", title="Crate", currency="coins", price=50, max_owned=10**6)

# Sends, and is killed before it can note that it has.
DIES_AFTER_SENDING = """
import asyncio, os, signal, sys
from launchday.clock import SystemClock
from rewards.events.kafka import KafkaSender
from rewards.consumer.outbox import OutboxRelay
from rewards.consumer.store_connection import ConnectionPool

send = KafkaSender.send

async def send_and_die(self, records):
    await send(self, records)
    os.kill(os.getpid(), signal.SIGKILL)

KafkaSender.send = send_and_die
asyncio.run(OutboxRelay(ConnectionPool(sys.argv[1]), *sys.argv[2:], SystemClock()).run())
"""


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """A shop with crates; players 1 to 20 have money for three."""
    connection = await asyncpg.connect(settings.store_url)
    await catalogue.put(connection, [CRATE])
    for player in range(1, 21):
        await connection.execute(
            "SELECT ledger_transfer(gen_random_uuid(), $1, 0, 'coins', 150, 'to begin with', $2, '')",
            *(player, NOW_S),
        )
    await connection.close()
    redis = cache.connect(settings.cache_url)
    store = MetaStore(settings.store_url, SystemClock())
    known = cache.Cache(redis, "east-us")
    yield Shop(store, known, SystemClock(), Wardrobe(store, known, SystemClock()))
    await store.close()
    await redis.aclose()


def change(player_id: int, skin: str, version: int) -> str:
    return json.dumps({"player_id": str(player_id), "skin": skin, "version": str(version)})


async def waiting(settings: Settings) -> list[Envelope]:
    """What waits, as events."""
    connection = await asyncpg.connect(settings.store_url)
    try:
        async with connection.transaction():
            found = [*(await purchases(connection)).events, *(await loadouts(connection)).events]
    finally:
        await connection.close()
    return found


async def test_a_purchase_waits_in_the_outbox_as_it_was_made(settings: Settings, shop: Shop) -> None:
    bought = await shop.purchase(7, "a-key", "crate", 2, None, NOW_S)
    (sent,) = await waiting(settings)
    assert (sent.region, sent.producer, sent.occurred_at) == ("east-us", "meta", NOW_S)
    event = sent.purchase
    assert (event.player_id, event.item_id, event.currency) == (7, "crate", "coins")
    assert (event.price, event.quantity, event.purchase_id) == (100, 2, bought["purchase_id"])
    (again,) = await waiting(settings)
    assert again.event_id == sent.event_id


async def test_a_refused_or_repeated_purchase_is_not_in_the_outbox(settings: Settings, shop: Shop) -> None:
    await shop.purchase(7, "a-key", "crate", 2, None, NOW_S)
    await shop.purchase(7, "a-key", "crate", 2, None, NOW_S)  # the same one: asked again
    with pytest.raises(InsufficientFundsError):
        await shop.purchase(7, "b-key", "crate", 2, None, NOW_S)
    assert len(await waiting(settings)) == 1


async def test_a_purchase_whose_transaction_is_rolled_back_is_not_in_the_outbox(
    settings: Settings, shop: Shop
) -> None:
    # The last statement of the transaction, the answer's, fails.
    await query(settings.store_url, "ALTER TABLE idempotency ADD CHECK (answer IS NULL OR owner = 0)")
    with pytest.raises(asyncpg.CheckViolationError):
        await shop.purchase(7, "a-key", "crate", 2, None, NOW_S)
    assert await waiting(settings) == []
    assert await query(settings.store_url, "SELECT 1 FROM purchases") == []


async def test_a_loadout_is_sent_once_and_only_when_it_was_stored(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.store_url)
    try:
        await apply(
            connection, {"loadout": [change(1, "old", 1), change(1, "new", 2), change(2, "a", 1)]}, NOW_S
        )
        await apply(connection, {"loadout": [change(1, "new", 2), change(2, "b", 2)]}, NOW_S)  # partly again
        await apply(connection, {"loadout": [change(1, "new", 2)]}, NOW_S)  # nothing new
        bad = {"loadout": [change(3, "c", 1)], "commit": ["{}"] * 2 + ['{"match_id": "no uuid"}']}
        with pytest.raises(asyncpg.DataError):
            await apply(connection, bad, NOW_S)
    finally:
        await connection.close()
    found = await waiting(settings)
    sent = {(e.loadout_changed.player_id, e.loadout_changed.version, e.loadout_changed.skin) for e in found}
    assert sent == {(1, 2, "new"), (2, 1, "a"), (2, 2, "b")}
    assert len({e.event_id for e in found}) == len(found) == 3
    assert await query(settings.store_url, "SELECT count(*) FROM loadout_outbox") == [(2,)]


async def killed(settings: Settings) -> None:
    """Run a relay in a process of its own, which is killed with -9 once it has sent something."""
    where = (settings.store_url, settings.kafka_bootstrap, settings.topic_prefix)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIES_AFTER_SENDING, *where, env=os.environ
    )
    assert await process.wait() == -signal.SIGKILL


async def test_a_relay_killed_between_sending_and_noting_it_doubles_nothing(
    settings: Settings, shop: Shop
) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    for player in range(1, 21):
        await shop.purchase(player, f"key-{player}", "crate", 1 + player % 3, None, NOW_S + player)
    connection = await asyncpg.connect(settings.store_url)
    await apply(connection, {"loadout": [change(player, "new", 1) for player in range(1, 101)]}, NOW_S)
    await connection.close()

    for _ in range(2):
        await killed(settings)
    assert len(await waiting(settings)) == 120, "nothing was taken out that was not noted"

    connections = ConnectionPool(settings.store_url)
    relaying = asyncio.create_task(
        OutboxRelay(connections, settings.kafka_bootstrap, settings.topic_prefix, SystemClock()).run()
    )
    async with running(settings) as rewards:
        counts = rewards.consumer.counters
        await until(lambda: counts.events_applied + counts.duplicates >= 160, "all that was sent")

        async def empty() -> bool:
            return not await waiting(settings)

        await until(empty, "an empty outbox")
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await connections.close()
    # The purchases were sent by each of the three, the loadouts by the last.
    assert (counts.events_applied, counts.duplicates, counts.dead_letters) == (120, 40, 0)
    topics = {PLAYER.name(settings.topic_prefix)}
    rows = await query(settings.store_url, "SELECT topic FROM event_inbox")
    assert (len(rows), {row[0] for row in rows}) == (120, topics)


async def test_what_a_newer_version_has_put_into_an_outbox_stays_for_it(store_url: str) -> None:
    event_id, level_up = level_up_envelope(1, 1, 2, 600, NOW_S)
    newer = parse_envelope(level_up)
    newer.ClearField("level_up")
    kind_of_tomorrow = newer.SerializeToString() + bytes([0x9A, 0x06, 2, 8, 1])  # field 99
    insert = "INSERT INTO event_outbox VALUES ($1, $2)"
    await query(store_url, insert, uuid.UUID(int=1), kind_of_tomorrow)
    await query(store_url, insert, event_id, level_up)
    await query(store_url, "ALTER TABLE loadout_outbox ADD COLUMN emotes text[]")
    for emotes in (None, ["wave"]):
        await query(
            store_url,
            "INSERT INTO loadout_outbox (player_ids, skins, versions, regions, stored_at, emotes)"
            " VALUES ('{1}', '{gold}', '{7}', '{west}', now(), $1)",
            emotes,
        )

    pool = ConnectionPool(store_url)
    async with pool.transaction() as connection:
        own = OwnEvents()
        assert (await own(connection)).keys == (await own(connection)).keys == [event_id]
        assert len((await loadouts(connection)).events) == 1
        assert (await purchases(connection)).events == []
        counts = {row["outbox"]: row["rows"] for row in await connection.fetch(COUNT_NEWER_ROWS)}
    await pool.close()
    assert counts == {"purchase_outbox": 0, "loadout_outbox": 1}
