"""One batch is read while the one before it is applied, in order, and nothing of it outlives a drop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from launchday.clock import SystemClock
from rewards.consumer.batch import Batch
from rewards.consumer.consumer import Consumer
from rewards.consumer.gives import NOTHING, Given
from rewards.consumer.newer_events import WaitingEvents
from rewards.consumer.read_ahead import SLICE_RECORDS, ReadAhead
from rewards.events.logs.identity import LogIdentity
from tests.rewards.examples import a_grant
from tests.waiting import until

PARTITION = TopicPartition("player", 0)


class Log:
    """A log of one partition, read as aiokafka reads: from a position on, at most so many records."""

    def __init__(self, count: int) -> None:
        self.position = 0
        self.end = count
        self.polls = 0
        self.fails = False

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        self.polls += 1
        if self.fails:
            raise KafkaError("away")
        offsets = range(self.position, min(self.position + max_records, self.end))
        self.position += len(offsets)
        if not offsets:
            await asyncio.sleep(0)
            return {}
        return {
            PARTITION: [
                SimpleNamespace(
                    topic="player",
                    partition=0,
                    offset=offset,
                    key=b"1",
                    value=a_grant(1, 1).SerializeToString(),
                    timestamp=0,
                )
                for offset in offsets
            ]
        }


async def test_batches_come_in_order_and_the_next_is_read_meanwhile() -> None:
    log = Log(100)
    ahead = ReadAhead(log, 2 * SLICE_RECORDS)
    first = await ahead.next()
    assert [raw.offset for raw in first.records] == list(range(50))
    assert [event.raw.offset for event in first.batch.events] == list(range(50))
    assert first.batch.next_offsets == {("player", 0): 50}
    await until(lambda: log.position == 100, "the next batch, though nobody asks for it")
    assert [raw.offset for raw in (await ahead.next()).records] == list(range(50, 100))
    assert (await ahead.next()).records == []
    await ahead.drop()


async def test_what_was_dropped_is_read_again_from_where_the_reader_was_moved_to() -> None:
    log = Log(1000)
    ahead = ReadAhead(log, 2 * SLICE_RECORDS)
    await ahead.next()
    await until(lambda: log.position > 50, "some of the next")
    await ahead.drop()
    polls, log.position = log.polls, 50
    await asyncio.sleep(0)
    assert log.polls == polls, "nobody reads after a drop"
    assert [raw.offset for raw in (await ahead.next()).records] == list(range(50, 100))
    await ahead.drop()
    await ahead.drop()


async def test_a_failure_while_reading_ahead_is_raised_with_the_batch_that_it_was_for() -> None:
    log = Log(50)
    ahead = ReadAhead(log, 2 * SLICE_RECORDS)
    await ahead.next()
    log.fails = True
    with pytest.raises(KafkaError):
        await ahead.next()
    await ahead.drop()


class Member(Log):
    """A member of a group that has the one partition."""

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.position = offset

    def highwater(self, partition: TopicPartition) -> int:
        return self.end


class Shelf:
    """A store that keeps the offset alone; a rebalance happens whenever it is asked for progress."""

    def __init__(self) -> None:
        self.consumer: Consumer | None = None
        self.rebalances = 0
        self.positions = SimpleNamespace(topic_ids={})

    async def recent_progress(self, _since_s: float) -> list[Any]:
        if self.rebalances < 3:
            self.rebalances += 1
            assert self.consumer is not None
            self.consumer._on_rebalance()
        return []

    async def recent_ratings(self, _since_s: float) -> list[Any]:
        return []

    async def recently_given(self, _since_s: float) -> Given:
        return NOTHING

    async def newer_after(self, _entry: int, _limit: int) -> list[Any]:
        return []

    async def newer_waiting(self) -> WaitingEvents:
        return WaitingEvents(0, 0.0, ())


async def test_a_rebalance_while_the_consumer_seeks_its_offsets_costs_no_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, shelf = Member(200), Shelf()
    applied: list[int] = []

    async def stored(*_: Any, **__: Any) -> dict[TopicPartition, int]:
        return {PARTITION: len(applied)}

    async def one_log(*_: Any) -> dict[TopicPartition, LogIdentity]:
        return {PARTITION: LogIdentity(UUID(int=1), 0)}

    async def apply(batch: Batch, now: float) -> None:
        applied.extend(event.raw.offset for event in batch.events)
        if len(applied) == 200:
            await consumer.stop()

    monkeypatch.setattr("rewards.consumer.consumer.starting_offsets", stored)
    monkeypatch.setattr("rewards.consumer.consumer.identified", one_log)
    cache = SimpleNamespace(enqueue=lambda *_: None)
    consumer = Consumer("nowhere:1", "test", cast(Any, shelf), cast(Any, cache), SystemClock())
    monkeypatch.setattr(consumer, "_apply_batch", apply)
    shelf.consumer = consumer
    async with asyncio.timeout(20):
        await consumer._consume(cast(Any, log), ReadAhead(cast(Any, log), 2 * SLICE_RECORDS, look=one_log))
    assert applied == list(range(200))
    assert shelf.rebalances == 3
