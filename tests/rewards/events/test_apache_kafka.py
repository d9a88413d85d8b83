"""On Apache Kafka: an idempotent producer, and its own tools and kcat read our events."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator

import pytest

from launchday.clock import SystemClock
from launchday.engines import ApacheKafka
from launchday.engines.apache_kafka import class_path
from launchday.settings import Settings
from rewards.events import PLAYER, Envelope, EventProducer, ensure_topics, parse_envelope, routing
from tests.optional import needs
from tests.rewards.examples import a_kill

COUNT = 200
TOOL_S = 60

pytestmark = [needs("apache-kafka"), pytest.mark.timeout(120)]


@pytest.fixture
async def sent(apache_settings: Settings) -> AsyncIterator[list[Envelope]]:
    """Kills on the player topic, sent as a game server sends them."""
    settings = apache_settings
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    producer = EventProducer(
        settings.kafka_bootstrap,
        settings.topic_prefix,
        "server-1",
        settings.state_dir / "spool",
        clock=SystemClock(),
    )
    await producer.start()
    events = [a_kill(player, 9_999) for player in range(1, COUNT + 1)]
    for event in events:
        producer.emit(event)
    assert await producer.flush(20)
    assert producer.idempotent is True
    yield events
    await producer.stop()


def keys(events: list[Envelope]) -> list[str]:
    return sorted(routing(event)[1].decode() for event in events)


async def test_kafkas_own_console_consumer_reads_every_event(
    apache_settings: Settings, sent: list[Envelope]
) -> None:
    argv = [str(ApacheKafka.program()), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", class_path()]
    argv += ["org.apache.kafka.tools.consumer.ConsoleConsumer"]
    argv += ["--bootstrap-server", apache_settings.kafka_bootstrap, "--from-beginning"]
    argv += ["--topic", PLAYER.name(apache_settings.topic_prefix), "--max-messages", str(COUNT)]
    argv += ["--formatter-property", "print.key=true", "--formatter-property", "print.value=false"]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=TOOL_S)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == keys(sent)


@needs("kcat")
async def test_kcat_reads_every_event_and_its_bytes_are_ours(
    apache_settings: Settings, sent: list[Envelope]
) -> None:
    topic = PLAYER.name(apache_settings.topic_prefix)
    argv = ["kcat", "-b", apache_settings.kafka_bootstrap, "-C", "-t", topic, "-e", "-q"]
    listed = await asyncio.to_thread(
        subprocess.run, [*argv, "-J"], capture_output=True, timeout=TOOL_S, check=True
    )
    records = [json.loads(line.decode(errors="replace")) for line in listed.stdout.splitlines()]
    assert sorted(record["key"] for record in records) == keys(sent)
    assert {record["partition"] for record in records} == set(range(PLAYER.partitions))

    raw = await asyncio.to_thread(
        subprocess.run, [*argv, "-f", "%S %s\\n\\n"], capture_output=True, timeout=TOOL_S, check=True
    )
    left, read = raw.stdout, []
    while left:
        size, _, left = left.partition(b" ")
        read.append(parse_envelope(left[: int(size)]))
        left = left[int(size) + 2 :]
    by_id = {event.event_id: event for event in sent}
    assert {event.event_id: event for event in read} == by_id
