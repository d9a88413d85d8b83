"""Level-ups: in the outbox with the level, on their topic after it, once each by id."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.settings import Settings
from rewards.consumer.outbox import OutboxRelay, level_up_envelope
from rewards.consumer.store import Store
from rewards.events import PROGRESS, Envelope, ensure_topics, parse_envelope
from rewards.progression import rules
from tests.rewards.conftest import NOW_S, query, until
from tests.rewards.consumer.test_store import LETTERS, batch
from tests.rewards.progression.test_effects import a_grant


async def told(settings: Settings, count: int) -> list[Envelope]:
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


async def test_a_level_reached_is_told_after_it_is_stored(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    store = Store(settings.store_url, "rewards", rules.load(), LETTERS, announce_level_ups=True)
    applied = await store.apply(batch([a_grant(1, 1_100), a_grant(2, 499), a_grant(3, 500)]))
    assert applied.level_ups == 2
    assert (await store.apply(batch([a_grant(2, 1)], first_offset=3))).level_ups == 1

    outbox = OutboxRelay(store.connections, settings.kafka_bootstrap, settings.topic_prefix)
    telling = asyncio.create_task(outbox.run())
    found = await told(settings, 3)

    levels = {
        e.level_up.player_id: (e.level_up.from_level, e.level_up.to_level, e.level_up.xp) for e in found
    }
    assert levels == {1: (1, 3, 1_100), 2: (1, 2, 500), 3: (1, 2, 500)}

    async def empty() -> bool:
        return not await query(settings.store_url, "SELECT 1 FROM event_outbox")

    await until(empty, "an empty outbox")
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await store.close()


def test_the_same_level_of_the_same_player_has_the_same_id() -> None:
    first, again = level_up_envelope(1, 1, 2, 500, NOW_S), level_up_envelope(1, 1, 2, 500, NOW_S)
    assert first == again
    others = [level_up_envelope(1, 2, 3, 900, NOW_S), level_up_envelope(2, 1, 2, 500, NOW_S)]
    assert len({first[0], *(other[0] for other in others)}) == 3
    assert parse_envelope(first[1]).level_up.to_level == 2
