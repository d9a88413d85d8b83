from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.clock import SystemClock
from launchday.engines import Broker
from launchday.settings import Settings
from loadtest import event_versions
from rewards.events import (
    DEAD_LETTERS,
    PLAYER,
    TOPICS,
    Envelope,
    EventProducer,
    ProducerCounters,
    Source,
    ensure_topics,
    parse_envelope,
    player_connected,
    spool,
    xp_granted,
)
from rewards.events import producer as producer_module
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.parse import ReadEvent, read_event
from tests.rewards.examples import NOW_S
from tests.waiting import until


async def read_players(bootstrap: str, prefix: str, count: int) -> list[int]:
    """The player ids of the first ``count`` events on the player topic."""
    name = PLAYER.name(prefix)
    kafka = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await kafka.start()
    try:
        kafka.assign([TopicPartition(name, number) for number in range(PLAYER.partitions)])
        players: list[int] = []

        async def enough() -> bool:
            for records in (await kafka.getmany(timeout_ms=100)).values():
                players.extend(parse_envelope(record.value).xp_granted.player_id for record in records)
            return len(players) >= count

        await until(enough, f"{count} events")
        return players
    finally:
        await kafka.stop()


def grant(source: Source, player_id: int) -> Envelope:
    return xp_granted(source, now_s=NOW_S, player_id=player_id, xp=1, reason="test")


async def test_creating_the_topics_twice_changes_nothing(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)

    kafka = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    await kafka.start()
    try:
        await kafka.topics()
        for topic in TOPICS:
            assert len(kafka.partitions_for_topic(topic.name(settings.topic_prefix))) == topic.partitions
        assert DEAD_LETTERS in TOPICS
    finally:
        await kafka.stop()


async def test_every_event_emitted_is_in_kafka_after_a_flush(
    settings: Settings, producer: EventProducer, source: Source
) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    for player_id in range(1, 3001):
        assert producer.emit(grant(source, player_id))

    assert await producer.flush(10)

    assert producer.counters().delivered == producer.counters().emitted == 3000
    players = await read_players(settings.kafka_bootstrap, settings.topic_prefix, 3000)
    assert sorted(players) == list(range(1, 3001))


async def test_a_broker_without_idempotent_producers_gets_a_plain_one_and_it_says_so(
    settings: Settings, producer: EventProducer
) -> None:
    assert producer.idempotent is None
    await until(lambda: producer.connected, "connection")
    assert producer.idempotent is False


async def test_without_a_broker_a_flush_spools_and_the_next_producer_replays(
    own_broker: Broker, tmp_path: Path, source: Source
) -> None:
    own_broker.stop()
    spool_dir = tmp_path / "spool"
    first = EventProducer(own_broker.address, "test", "server-1", spool_dir, clock=SystemClock())
    await first.start()
    for player_id in range(1, 101):
        first.emit(grant(source, player_id))
    assert not await first.stop(0.2)
    assert first.counters().spooled == 100
    assert first.counters().waiting == 0
    assert len(spool.pending_files(spool_dir)) == 1

    own_broker.start(own_broker.port)
    await ensure_topics(own_broker.address, "test")
    second = EventProducer(own_broker.address, "test", "server-2", spool_dir, clock=SystemClock())
    await second.start()
    await until(lambda: second.counters().resent == 100, "the replay")
    await until(lambda: not spool.pending_files(spool_dir), "the spool's end")
    await second.stop()

    assert sorted(await read_players(own_broker.address, "test", 100)) == list(range(1, 101))


async def test_events_of_an_outage_in_the_middle_reach_the_broker_when_it_is_back(
    own_broker: Broker, tmp_path: Path, source: Source
) -> None:
    await ensure_topics(own_broker.address, "test")
    producer = EventProducer(own_broker.address, "test", "server-1", tmp_path / "spool", clock=SystemClock())
    await producer.start()
    producer.emit(grant(source, 1))
    assert await producer.flush(10)

    own_broker.kill()
    for player_id in range(2, 202):
        producer.emit(grant(source, player_id))
    assert not await producer.flush(0.3)
    assert producer.counters().spooled == 200

    own_broker.start(own_broker.port)  # without its memory: the first event is gone with it
    await ensure_topics(own_broker.address, "test")
    await until(lambda: producer.counters().resent >= 200, "the replay")
    assert await producer.stop(10)
    assert set(await read_players(own_broker.address, "test", 200)) == set(range(2, 202))


async def test_memory_that_fills_while_the_broker_is_unavailable_goes_to_disk(
    tmp_path: Path, source: Source
) -> None:
    producer = EventProducer(
        "127.0.0.1:1", "test", "server-1", tmp_path / "spool", clock=SystemClock(), capacity=100
    )
    await producer.start()
    for player_id in range(1, 61):
        assert producer.emit(grant(source, player_id))

    await until(lambda: producer.counters().spooled == 60, "the spool")
    counters = producer.counters()
    assert (counters.dropped, counters.waiting) == ({}, 0)
    assert await producer.stop()


async def test_a_full_memory_drops_the_least_important_and_counts_it(tmp_path: Path, source: Source) -> None:
    producer = EventProducer(
        "127.0.0.1:1", "test", "server-1", tmp_path / "spool", clock=SystemClock(), capacity=10
    )
    for player_id in range(1, 11):
        producer.emit(player_connected(source, now_s=NOW_S, tick=0, player_id=player_id))
    for player_id in range(1, 5):
        assert producer.emit(grant(source, player_id))
    assert not producer.emit(player_connected(source, now_s=NOW_S, tick=0, player_id=11))

    counters = producer.counters()
    assert counters.dropped == {"player_connected": 5}
    assert counters.emitted == 15
    assert counters.waiting == 10
    await producer.start()
    await producer.stop(0)
    assert producer.counters().spooled == 10


async def test_a_disk_that_takes_nothing_keeps_the_events_in_memory(tmp_path: Path, source: Source) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    producer = EventProducer("127.0.0.1:1", "test", "server-1", blocked, clock=SystemClock())
    producer.emit(grant(source, 1))

    with contextlib.suppress(OSError):
        await producer.flush(0)

    assert producer.counters().waiting == 1
    assert producer.counters().spooled == 0


async def test_a_spool_with_damage_is_replayed_as_far_as_it_is_good(
    settings: Settings, source: Source, tmp_path: Path
) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    events = [grant(source, player_id).SerializeToString() for player_id in (1, 2)]
    path = spool.write(tmp_path / "spool", "server-0", [*events, b"not an event", events[0]])
    path.write_bytes(path.read_bytes()[:-1])

    producer = EventProducer(
        settings.kafka_bootstrap, settings.topic_prefix, "server-1", path.parent, clock=SystemClock()
    )
    await producer.start()
    await until(lambda: not spool.pending_files(path.parent), "the spool's end")
    await producer.stop()

    assert producer.counters().resent == 2
    assert sorted(await read_players(settings.kafka_bootstrap, settings.topic_prefix, 2)) == [1, 2]


async def test_an_error_that_nobody_foresaw_costs_no_event(
    settings: Settings, producer: EventProducer, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    await until(lambda: producer.connected, "connection")
    real, failures = KafkaSender.send, [RuntimeError("a fault of the client's"), AssertionError()]

    async def send(self: KafkaSender, records: Sequence[KafkaRecord]) -> list[int]:
        if failures:
            raise failures.pop()
        return await real(self, records)

    monkeypatch.setattr(KafkaSender, "send", send)
    for player_id in range(1, 11):
        producer.emit(grant(source, player_id))

    players = await read_players(settings.kafka_bootstrap, settings.topic_prefix, 10)
    assert sorted(players) == list(range(1, 11))


async def test_what_one_version_cannot_send_waits_on_the_disk_for_another(
    settings: Settings, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    kept = [grant(source, player_id) for player_id in (1, 2)]
    joined = player_connected(source, now_s=NOW_S, tick=0, player_id=3)
    spool.write(tmp_path, "server-0", [event.SerializeToString() for event in (kept[0], joined, kept[1])])
    of_tomorrow = tmp_path / "server-9.spool"
    of_tomorrow.write_bytes(spool.FAMILY + b"2" + b"in another form")

    async def resent(read: ReadEvent, events: int) -> ProducerCounters:
        monkeypatch.setattr(producer_module, "read_event", read)
        producer = EventProducer(
            settings.kafka_bootstrap, settings.topic_prefix, "server-1", tmp_path, clock=SystemClock()
        )
        await producer.start()
        await until(lambda: producer.counters().resent == events, "the replay")
        await until(lambda: not spool.pending_files(tmp_path), "the spool's end")
        await producer.stop()
        return producer.counters()

    assert (await resent(event_versions.older(), 1)).newer == 2
    assert spool.count_newer(tmp_path) == (2, 1)
    assert (await resent(read_event, 2)).newer == 0

    assert spool.count_newer(tmp_path) == (0, 1)
    players = await read_players(settings.kafka_bootstrap, settings.topic_prefix, 3)
    assert sorted(players) == [0, 1, 2]  # 0: the one that has no grant
