from __future__ import annotations

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.engines import Broker
from launchday.settings import Settings
from rewards import dead_letters
from rewards.consumer import consumer as consumer_module
from rewards.events import DEAD_LETTERS, PLAYER, EventProducer
from tests.rewards.examples import a_death, a_grant, a_kill, a_result
from tests.rewards.running import Gate, applied, progression, query, running, send
from tests.waiting import until


async def letters(settings: Settings, count: int) -> list[dict[str, bytes]]:
    """The headers of the first dead letters, each with its value."""
    kafka = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest")
    await kafka.start()
    try:
        kafka.assign([TopicPartition(DEAD_LETTERS.name(settings.topic_prefix), 0)])
        found: list[dict[str, bytes]] = []

        async def enough() -> bool:
            for records in (await kafka.getmany(timeout_ms=100)).values():
                found.extend({**dict(record.headers), "value": record.value} for record in records)
            return len(found) >= count

        await until(enough, f"{count} dead letters")
        return found
    finally:
        await kafka.stop()


async def test_a_match_becomes_xp_levels_and_statistics_and_the_cache_follows(
    either_broker: Settings,
) -> None:
    settings = either_broker
    async with running(settings) as rewards:
        await send(settings, [a_kill(1, 2), a_death(2), a_result([1, 2]), a_grant(2, 600)])
        await applied(rewards, 4, settings)
        await until(lambda: len(rewards.sink.progress) == 2, "the cache")

    assert await progression(settings.store_url) == {1: (650, 2, 1, 0, 1), 2: (650, 2, 0, 1, 1)}
    assert rewards.sink.progress == {1: (650, 2), 2: (650, 2)}


async def test_events_sent_twice_count_once(either_broker: Settings) -> None:
    settings = either_broker
    events = [a_kill(player, player + 1) for player in range(1, 101)]
    async with running(settings) as rewards:
        await send(settings, [*events, *events[::-1], *events[:5], a_result([1, 2])])
        await applied(rewards, 101, settings)
        await until(lambda: rewards.consumer.counters.duplicates == 105, "the duplicates")

    assert rewards.consumer.counters.events_applied == 101
    rows = await progression(settings.store_url)
    assert sum(int(str(row[0])) for row in rows.values()) == 100 * 100 + 2 * 50 + 500


async def test_bad_records_become_dead_letters_and_stop_nothing(either_broker: Settings) -> None:
    settings = either_broker
    key = b"1"
    bad: Sequence[tuple[bytes | None, bytes]] = [
        (b"junk", key),
        (b"", key),
        (None, key),
        (a_kill(5, 5).SerializeToString(), key),
    ]
    async with running(settings) as rewards:
        await send(settings, [a_grant(1, 10), *bad, a_grant(1, 20)])
        await applied(rewards, 6, settings)
        found = await letters(settings, 4)

    assert (await progression(settings.store_url))[1][0] == 30
    assert rewards.consumer.counters.dead_letters == 4
    assert [letter["value"] for letter in found] == [value or b"" for value, _ in bad]
    assert [letter[dead_letters.OFFSET_HEADER] for letter in found] == [b"1", b"2", b"3", b"4"]
    assert {letter[dead_letters.TOPIC_HEADER] for letter in found} == {
        PLAYER.name(settings.topic_prefix).encode()
    }
    assert {letter[dead_letters.PARTITION_HEADER].isdigit() for letter in found} == {True}
    reasons = [letter[dead_letters.REASON_HEADER].decode() for letter in found]
    assert reasons[0].startswith("not an envelope")
    assert reasons[3] == "killer_id and victim_id are the same player"


async def test_an_event_that_the_store_refuses_becomes_a_dead_letter_alone(settings: Settings) -> None:
    await query(settings.store_url, "ALTER TABLE progression ADD CHECK (player_id <> 13)")
    async with running(settings) as rewards:
        await send(settings, [a_grant(player, 10) for player in range(1, 21)])
        await applied(rewards, 20, settings)
        found = await letters(settings, 1)

    assert set(await progression(settings.store_url)) == set(range(1, 21)) - {13}
    assert b"progression" in found[0][dead_letters.REASON_HEADER]
    assert found[0]["value"] != b""


async def test_the_letters_of_a_batch_that_is_bisected_are_written_once(settings: Settings) -> None:
    await query(settings.store_url, "ALTER TABLE progression ADD CHECK (player_id <> 13)")
    async with running(settings) as rewards:
        await send(settings, [a_kill(1, 1), *(a_grant(player, 10) for player in range(1, 21)), a_kill(2, 2)])
        await applied(rewards, 22, settings)
    found = await letters(settings, 3)
    places = [(letter[dead_letters.PARTITION_HEADER], letter[dead_letters.OFFSET_HEADER]) for letter in found]
    assert len(set(places)) == len(places) == 3


async def test_a_store_outage_loses_nothing_and_makes_no_dead_letters(
    either_broker: Settings, gate: Gate
) -> None:
    settings = either_broker
    cut_off = settings.model_copy(update={"store_url": gate.url})
    async with running(cut_off) as rewards:
        await send(settings, [a_grant(player, 1) for player in range(1, 101)])
        await applied(rewards, 100, settings)
        for outage in range(3):
            await gate.shut()
            await send(settings, [a_grant(player, 1) for player in range(1, 101)])
            await until(lambda: rewards.consumer.paused, "the pause")
            await gate.open()
            await applied(rewards, 200 + 100 * outage, settings)
        await until(lambda: len(rewards.sink.progress) == 100, "the cache")
        await until(lambda: set(rewards.sink.progress.values()) == {(4, 1)}, "the cache's newest")

    rows = await progression(settings.store_url)
    assert {row[0] for row in rows.values()} == {4}
    assert rewards.consumer.counters.dead_letters == 0


async def test_a_second_consumer_goes_on_where_the_first_stopped(either_broker: Settings) -> None:
    settings = either_broker
    await send(settings, [a_grant(player, 1) for player in range(1, 501)])
    async with running(settings) as first:
        await applied(first, 500, settings)
    await send(settings, [a_grant(player, 1) for player in range(1, 501)])
    async with running(settings) as second:
        await applied(second, 1000, settings)
        assert second.consumer.counters.duplicates == 0, "it read again what was applied"
        assert second.consumer.counters.events_applied == 500


async def test_two_consumers_share_the_partitions_and_apply_each_event_once(either_broker: Settings) -> None:
    settings = either_broker
    async with running(settings) as first:
        await send(settings, [a_grant(player, 1) for player in range(1, 301)])
        await applied(first, 300, settings)
        async with running(settings) as second:
            for _ in range(5):
                await send(settings, [a_grant(player, 1) for player in range(1, 301)])
            await applied(first, 1800, settings)
            await until(lambda: second.consumer.partitions > 0, "partitions of the second")
        await send(settings, [a_grant(player, 1) for player in range(1, 301)])
        await applied(first, 2100, settings)

    rows = await progression(settings.store_url)
    assert {row[0] for row in rows.values()} == {7}


async def test_a_broker_that_lost_its_log_is_read_from_the_beginning(
    settings: Settings, own_broker: Broker
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap": own_broker.address})
    await send(mine, [a_grant(1, 1) for _ in range(50)])
    async with running(mine) as first:
        await applied(first, 50, mine)

    own_broker.stop()
    own_broker.start(own_broker.port)
    await send(
        mine, [a_grant(1, 1) for _ in range(70)]
    )  # beyond the stored offset: the log looks longer, not shorter
    async with running(mine) as second:
        await applied(second, 120, mine)

    assert (await progression(mine.store_url))[1][0] == 120


async def test_a_broker_that_ends_and_comes_back_empty_is_consumed_again(
    settings: Settings, own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LAG_CHECK_S", 0.1)
    mine = settings.model_copy(update={"kafka_bootstrap": own_broker.address})
    async with running(mine) as rewards:
        await send(mine, [a_grant(1, 1) for _ in range(50)])
        await applied(rewards, 50, mine)
        own_broker.kill()
        own_broker.start(own_broker.port)
        await send(mine, [a_grant(1, 1) for _ in range(20)])
        await applied(rewards, 70, mine)

    assert (await progression(mine.store_url))[1][0] == 70


async def test_the_lag_is_what_waits_and_ends_at_zero(either_broker: Settings) -> None:
    settings = either_broker
    async with running(settings) as rewards:
        await send(settings, [a_grant(player, 1) for player in range(1, 51)])
        await applied(rewards, 50, settings)
        assert await rewards.consumer.lag() == 0

        await query(settings.store_url, "UPDATE consumer_offsets SET next_offset = next_offset - 1")
        waiting = await rewards.consumer.lag()
        partitions = await query(settings.store_url, "SELECT count(*) FROM consumer_offsets")
        assert waiting == partitions[0][0]


async def test_before_kafka_answers_the_lag_is_unknown(settings: Settings) -> None:
    unreachable = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    async with running(unreachable) as rewards:
        assert await rewards.consumer.lag() is None


async def test_what_a_game_server_sends_is_what_is_applied(
    settings: Settings, producer: EventProducer
) -> None:
    async with running(settings) as rewards:
        for player in range(1, 100):
            producer.emit(a_kill(player, 100))
        assert await producer.flush(10)
        await applied(rewards, 99, settings)

    assert sum(int(str(row[2])) for row in (await progression(settings.store_url)).values()) == 99
