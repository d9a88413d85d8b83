from __future__ import annotations

import random
import time
import uuid

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from launchday.settings import Settings
from loadtest.errors import BackendError
from loadtest.flood.watching.events import EventCounter, MatchResult
from rewards.events import (
    PLAYER,
    DeathCause,
    Envelope,
    EventIds,
    PlayerPlacement,
    Source,
    death,
    ensure_topics,
    kill,
    match_ended,
)
from tests.waiting import until

SOURCE = Source("gs-1", "west-europe", uuid.uuid4(), ids=EventIds(random.Random(1).getrandbits))


def a_kill(killer_id: int) -> Envelope:
    return kill(
        SOURCE,
        now_s=time.time(),
        tick=60,
        killer_id=killer_id,
        victim_id=killer_id + 1,
        weapon="rifle",
        distance_m=20.0,
        killer_at=(0.0, 0.0),
        victim_at=(20.0, 0.0),
    )


def a_death() -> Envelope:
    return death(
        SOURCE, now_s=time.time(), tick=60, victim_id=2, cause=DeathCause.ZONE, at=(0.0, 0.0), survived_s=9.0
    )


async def send(settings: Settings, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for value in values:
            await producer.send(PLAYER.name(settings.topic_prefix), value, key=b"1")
        await producer.flush()
    finally:
        await producer.stop()


async def test_kills_on_the_topic_are_counted_once_each_and_nothing_else_is(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    before = [a_kill(90).SerializeToString()]
    await send(settings, before)
    repeated = a_kill(5).SerializeToString()
    async with EventCounter(settings.kafka_bootstrap, settings.topic_prefix) as events:
        kills = [a_kill(number).SerializeToString() for number in range(20)]
        await send(
            settings, [*kills, repeated, repeated, a_death().SerializeToString(), b"\xff not an event"]
        )
        await until(lambda: events.unreadable, "the last record that was sent")
        assert (events.kills, events.repeats, events.unreadable) == (21, 1, 1)
        assert events.failure() is None


def test_events_are_told_apart_by_match_kind_and_player() -> None:
    counter = EventCounter("127.0.0.1:9", "nobody")
    ended = match_ended(
        SOURCE,
        now_s=time.time(),
        tick=900,
        mode="capture_the_flag",
        duration_s=15.0,
        placements=[PlayerPlacement(player, player % 2, 1 + player % 2, 0, 15.0) for player in range(4)],
    )
    for event in (a_kill(1), a_kill(1), a_death(), ended):
        counter.count_record(event.SerializeToString())
    match_id = str(SOURCE.match_id)
    assert counter.kinds == {match_id: {"kill": 2, "death": 1, "match_ended": 1}}
    assert (counter.by_player, counter.deaths_by_player) == ({1: 2}, {2: 1})
    assert counter.results == {match_id: MatchResult("capture_the_flag", {0: 1, 1: 2})}


async def test_counting_goes_on_from_where_another_count_began(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    await send(settings, [a_kill(90).SerializeToString()])
    async with EventCounter(settings.kafka_bootstrap, settings.topic_prefix) as part:
        began_at = part.began_at
        await send(settings, [a_kill(number).SerializeToString() for number in range(7)])
    async with EventCounter(settings.kafka_bootstrap, settings.topic_prefix, began_at) as merge:
        await send(settings, [b"the end"])
        await until(lambda: merge.unreadable, "the last record that was sent")
        assert merge.kills == 7
        assert merge.gaps == []
    lost = [msgspec.structs.replace(log, topic_id=uuid.uuid4().hex) for log in began_at]
    async with EventCounter(settings.kafka_bootstrap, settings.topic_prefix, lost) as later:
        assert later.gaps or not any(log.topic_id for log in began_at)  # of a broker that has ids


async def test_a_broker_that_is_away_is_a_backend_error() -> None:
    with pytest.raises(BackendError, match=r"Kafka at 127\.0\.0\.1:9"):
        async with EventCounter("127.0.0.1:9", "nobody"):
            pass


async def test_without_an_address_it_says_which_setting_is_missing() -> None:
    with pytest.raises(BackendError, match="LAUNCHDAY_KAFKA_BOOTSTRAP"):
        async with EventCounter("", "nobody"):
            pass
