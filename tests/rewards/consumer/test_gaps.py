"""Logs that are cut, or deleted and made anew, while somebody reads them: nothing is passed over silently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from structlog.testing import capture_logs

from launchday.settings import Settings
from rewards.consumer import consumer as consumer_module
from rewards.events import PLAYER, ensure_topics
from rewards.events.logs.identity import LogIdentity, identify
from rewards.events.logs.verdict import Finding
from tests.optional import needs
from tests.rewards.examples import a_grant
from tests.rewards.running import Gate, applied, progression, query, running, send
from tests.waiting import until


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_anew(settings: Settings) -> None:
    """Delete the players' topic, and make it again at once."""
    name = PLAYER.name(settings.topic_prefix)
    async with admin(settings) as client:

        async def identity() -> Mapping[TopicPartition, LogIdentity]:
            return await identify(client, [TopicPartition(name, 0)])

        before = await identity()
        await client.delete_topics([name])

        async def made() -> bool:
            await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
            return bool(now := await identity()) and now != before

        await until(made, "the topic made anew")


async def read_partition(settings: Settings, count: int) -> TopicPartition:
    """The partition of which so many records were read."""
    found = await query(
        settings.store_url, "SELECT topic, partition FROM consumer_offsets WHERE next_offset = $1", count
    )
    return TopicPartition(*found[0])


async def cut(settings: Settings, place: TopicPartition, offset: int) -> None:
    """Delete a partition's records before an offset. The embedded broker has no such request."""
    async with admin(settings) as client:
        await client.delete_records({place: RecordsToDelete(before_offset=offset)})


async def test_a_topic_made_anew_loses_nothing_though_the_new_log_overtakes_the_old_offset(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LAG_CHECK_S", 0.1)
    async with running(settings) as rewards:
        await send(settings, [a_grant(1, 1) for _ in range(100)])
        await applied(rewards, 100, settings)
        await make_anew(settings)
        await send(settings, [a_grant(1, 1) for _ in range(150)])
        await applied(rewards, 250, settings)
        found = await rewards.store.positions.gaps(PLAYER.partitions + 1)

    assert (await progression(settings.store_url))[1][0] == 250
    assert {(gap.topic, gap.finding, gap.to_offset) for gap, _ in found} == {
        (PLAYER.name(settings.topic_prefix), Finding.REPLACED, 0)
    }
    assert [gap.missing for gap, _ in found if gap.from_offset == 100] == [0]


@needs("apache-kafka")
async def test_a_log_is_cut_while_its_reader_waits_for_the_store_and_then_made_anew(
    apache_settings: Settings, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LAG_CHECK_S", 0.1)
    settings = apache_settings
    with capture_logs() as lines:
        async with running(settings.model_copy(update={"store_url": gate.url})) as rewards:
            await send(settings, [a_grant(1, 1) for _ in range(10)])
            await applied(rewards, 10, settings)
            place = await read_partition(settings, 10)
            await gate.shut()
            await send(settings, [a_grant(1, 1) for _ in range(40)])
            await until(lambda: rewards.consumer.paused, "the pause")
            await cut(settings, place, 30)
            await gate.open()
            await applied(rewards, 30, settings)
            totals = await rewards.store.positions.totals()
            assert (totals.gaps, totals.missing, totals.unknown) == (1, 20, 0)

            await make_anew(settings)
            await send(settings, [a_grant(1, 1) for _ in range(70)])
            await applied(rewards, 100, settings)
            assert (await rewards.store.positions.totals()).missing == 20

    told = [line for line in lines if line["event"] == "events_log_cut"]
    assert [
        tuple(line[name] for name in ("log_level", "topic", "partition", "from_offset", "to_offset"))
        for line in told
    ] == [("error", *place, 10, 30)]
    assert {line["topic"] for line in lines if line["event"] == "events_log_replaced"} == {place.topic}
    assert (await progression(settings.store_url))[1][0] == 100
