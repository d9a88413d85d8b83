"""On Apache Kafka: clocks that are wrong, partitions that are added, and members that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from structlog.testing import capture_logs

from launchday.clock import SystemClock
from launchday.settings import Settings
from rewards import dead_letters
from rewards.analytics import writer as writer_module
from rewards.analytics.lake import Lake
from rewards.analytics.writer import Writer
from rewards.arrival import ArrivalCheck, Judge
from rewards.events import PLAYER, Envelope, ensure_topics, kill
from rewards.events import kafka_clients as clients_module
from tests.optional import needs
from tests.rewards.examples import a_grant, source_of
from tests.rewards.running import applied, progression, query, running, send
from tests.waiting import until

pytestmark = [needs("apache-kafka"), pytest.mark.timeout(120)]

DAY_S = 86_400.0
JUDGE = ArrivalCheck(DAY_S, 8 * DAY_S, SystemClock())


@contextlib.asynccontextmanager
async def writing(settings: Settings, folder: Path, judge: Judge | None = None) -> AsyncIterator[Writer]:
    made = Writer(settings.kafka_bootstrap, settings.topic_prefix, Lake(folder), SystemClock(), judge=judge)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop()
        await asyncio.wait_for(task, 20)


def a_kill_at(now_s: float, producer: str) -> Envelope:
    return kill(
        source_of(7, producer),
        now_s=now_s,
        tick=1,
        killer_id=1,
        victim_id=2,
        weapon="rifle",
        distance_m=5.0,
        killer_at=(0.0, 0.0),
        victim_at=(1.0, 1.0),
    )


async def test_events_of_wrong_clocks_are_letters_that_count_at_their_arrival(
    apache_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.2)
    settings, folder = apache_settings, tmp_path / "analytics"
    now_s = time.time()
    good = [a_kill_at(now_s + offset_s, "server-1") for offset_s in (-60.0, 60.0, 0.9 * DAY_S, -7.9 * DAY_S)]
    wrong = [a_kill_at(at_s, "server-9") for at_s in (86_400.0, 4_070_908_800.0, now_s + 2 * DAY_S)]
    with capture_logs() as lines:
        async with running(settings, judge=JUDGE) as rewards, writing(settings, folder, JUDGE) as written:
            await send(settings, [*wrong, *good])
            await applied(rewards, 7, settings)
            await until(lambda: written.written == 4, "the good ones written")
            assert (await progression(settings.store_url))[1][2] == 4
            assert (
                await query(
                    settings.store_url, "SELECT DISTINCT period FROM challenge_progress WHERE period > '2028'"
                )
                == []
            )

            letters = await dead_letters.read_all(settings.kafka_bootstrap, settings.topic_prefix)
            assert len(letters) == 3
            assert all("set the clock of server-9" in letter.reason for letter in letters)
            assert all(letter.current_error for letter in letters)
            await dead_letters.resend(
                settings.kafka_bootstrap, [letter.at_arrival() for letter in letters] * 2
            )
            await until(lambda: written.written == 7, "all of them written")
            await applied(rewards, 10, settings)
    assert (await progression(settings.store_url))[1][2] == 7
    assert len({path.name for path in folder.glob("day=*")}) <= 4
    named = [line for line in lines if line["event"] == "rewards_producer_clock_wrong"]
    assert [line["producer"] for line in named] == ["server-9"]


async def test_partitions_that_are_added_are_read_from_their_beginning(
    apache_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.2)
    monkeypatch.setattr(clients_module, "METADATA_MAX_AGE_MS", 1_000)
    settings, topic = apache_settings, PLAYER.name(apache_settings.topic_prefix)
    async with running(settings) as rewards, writing(settings, tmp_path / "analytics") as written:
        await send(settings, [a_grant(player, 10) for player in range(1, 41)])
        await applied(rewards, 40, settings)
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(PLAYER.partitions + 4)})
        await admin.close()
        kafka = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await kafka.start()
        # Before anybody who reads knows of them.
        for player in range(1, 41):
            await kafka.send(topic, a_grant(player, 1).SerializeToString(), partition=8 + player % 4)
        await kafka.stop()
        await applied(rewards, 80, settings)
        await until(lambda: written.written == 80, "the lake has them")
        assert rewards.consumer.partitions == PLAYER.partitions + 4 + 1
    assert {row[0] for row in (await progression(settings.store_url)).values()} == {11}
    assert await query(settings.store_url, "SELECT * FROM event_gaps") == []


async def test_members_that_come_and_go_cost_no_event_and_double_none(apache_settings: Settings) -> None:
    settings = apache_settings
    topics = [PLAYER.name(settings.topic_prefix)]
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)

    async def come_and_go() -> None:
        member = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=f"{settings.topic_prefix}.rewards",
            enable_auto_commit=False,
        )
        await member.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await member.getmany(timeout_ms=100)
        await member.stop()

    with capture_logs() as lines:
        async with running(settings) as rewards:
            await send(settings, [a_grant(1, 1)])
            await applied(rewards, 1, settings)
            sent = 1
            for _ in range(3):
                leaving = asyncio.create_task(come_and_go())
                while not leaving.done():
                    await send(settings, [a_grant(player, 1) for player in range(1, 51)])
                    sent += 50
                await leaving
            await applied(rewards, sent, settings)
    assert sum(int(str(row[0])) for row in (await progression(settings.store_url)).values()) == sent
    assert await query(settings.store_url, "SELECT * FROM event_gaps") == []
    told = [line for line in lines if line["event"] == "events_partitions_assigned"]
    assert any(line["lost"] for line in told)
    assert any(line["gained"] for line in told[1:])
