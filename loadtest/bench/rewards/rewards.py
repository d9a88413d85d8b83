"""``rewards``: events from Kafka to their effects in PostgreSQL, in one process, beside its two floors of the
same run.

One floor is aiokafka alone reading the same topics, the other the same transactions without Kafka. All three
take turns on the same events, 5 % of which were sent twice. The broker is Apache Kafka where it is installed
(``make kafka``), otherwise the embedded one; the figures name it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from launchday.clock import SystemClock
from launchday.engines import EmbeddedServer, EngineError, Postgres
from loadtest.bench.harness.broker import broker_kind
from loadtest.bench.harness.databases import empty_database
from loadtest.errors import BenchError
from loadtest.event_fixture import EVENTS_PER_MATCH, EventFixture, make_event_fixture
from meta_service.store import schema
from rewards.consumer.batch import parse_batch
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import MAX_BATCH_RECORDS, Consumer
from rewards.consumer.store import PlayerProgress, Store
from rewards.events import DEAD_LETTERS, REWARDS_TOPICS, ensure_topics, routing
from rewards.progression import rules
from rewards.records import raw_record

EVENTS = 150_000
ROUNDS = 3
DUPLICATE_SHARE = 0.05
PREFIX = "bench"
POLL_S = 0.005
TIMEOUT_S = 120.0


@dataclass
class Sent:
    """The events on the topics."""

    known: EventFixture
    records: int  # with those that were sent twice


class NoCache:
    """A cache that is not measured."""

    async def publish(self, progress: list[PlayerProgress]) -> None:
        """Drop it."""


def run(events: int = EVENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure ``rounds`` times with ``events`` events and return what is printed: medians.

    Raises BenchError.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name, contextlib.ExitStack() as stack:
        broker = _start(broker_kind(), Path(name), stack)
        postgres = _start(Postgres, Path(name), stack)
        figures: dict[str, Any] = uvloop.run(_measure(broker, postgres, events, rounds))
        return {"bench": "rewards", "broker": f"{broker.name} {broker.version()}"} | figures


def _start(server_kind: type[EmbeddedServer], folder: Path, stack: contextlib.ExitStack) -> EmbeddedServer:
    name = server_kind.__name__
    server = server_kind(folder / name, folder / f"{name}.log")
    try:
        server.start()
    except EngineError as error:
        raise BenchError(str(error)) from error
    stack.callback(server.stop)
    return server


async def _measure(
    broker: EmbeddedServer, postgres: EmbeddedServer, events: int, rounds: int
) -> dict[str, Any]:
    schema.migrate(postgres.address)
    sent = await _send(broker.address, events)
    gc.collect()
    gc.freeze()  # the events stay for the whole run, and collections need not scan them again and again
    consumed, stored, whole, cpu = [], [], [], []
    totals: tuple[int, int, int] = (0, 0, 0)
    for number in range(rounds):
        records, seconds = await _consume_alone(broker.address, sent.records)
        consumed.append(sent.records / seconds)
        async with empty_database(postgres.address, f"store_{number}") as url:
            stored.append(sent.records / await _store_alone(url, records))
        del records
        async with empty_database(postgres.address, f"whole_{number}") as url:
            cpu_at = time.process_time()
            seconds, totals = await _all_of_it(broker.address, url, sent)
            cpu.append((time.process_time() - cpu_at) / seconds)
            whole.append(sent.records / seconds)
            await _check(url, sent.known)
    applied, duplicates, lost = totals
    floor = min(statistics.median(consumed), statistics.median(stored))
    return {
        "events": sent.records,
        "events_per_s": round(statistics.median(whole)),
        "raw_consume_per_s": round(statistics.median(consumed)),
        "raw_store_per_s": round(statistics.median(stored)),
        "ratio": round(statistics.median(whole) / floor, 3),
        "cores": round(statistics.median(cpu), 2),
        "applied": applied,
        "duplicates": duplicates,
        "lost": lost,
    }


async def _send(bootstrap: str, events: int) -> Sent:
    """Send the events to their topics, DUPLICATE_SHARE of them twice."""
    known = make_event_fixture(max(1, round(events / EVENTS_PER_MATCH)))
    rng = random.Random(2)
    order = list(known.events)
    for event in rng.sample(known.events, round(DUPLICATE_SHARE * len(known.events))):
        order.insert(rng.randrange(len(order)), event)
    await ensure_topics(bootstrap, PREFIX)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=20, max_batch_size=256 * 1024
    )
    await producer.start()
    try:
        for event in order:
            topic, key = routing(event)
            await producer.send(topic.name(PREFIX), event.SerializeToString(), key)
        await producer.flush()
    finally:
        await producer.stop()
    return Sent(known, len(order))


async def _consume_alone(bootstrap: str, count: int) -> tuple[list[Any], float]:
    """Read every record once with aiokafka alone; return the records and the seconds it took."""
    kafka = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await kafka.start()
    try:
        topics = [(topic.name(PREFIX), topic.partitions) for topic in REWARDS_TOPICS]
        kafka.assign([TopicPartition(name, number) for name, numbers in topics for number in range(numbers)])
        records: list[Any] = []
        started_at = time.perf_counter()
        async with asyncio.timeout(TIMEOUT_S):
            while len(records) < count:
                for polled in (await kafka.getmany(timeout_ms=250, max_records=MAX_BATCH_RECORDS)).values():
                    records += polled
        return records, time.perf_counter() - started_at
    finally:
        await kafka.stop()


async def _store_alone(url: str, records: Sequence[Any]) -> float:
    """Run the same transactions with batches that are ready in memory; return the seconds they took."""
    store = Store(url, "bench", rules.load(), DEAD_LETTERS.name(PREFIX), announce_level_ups=True)
    raw = [raw_record(record) for record in records]
    batches = [parse_batch(raw[at : at + MAX_BATCH_RECORDS]) for at in range(0, len(raw), MAX_BATCH_RECORDS)]
    await store.next_offsets()  # connects
    try:
        started_at = time.perf_counter()
        for batch in batches:
            await store.apply(batch, time.time())
        return time.perf_counter() - started_at
    finally:
        await store.close()


async def _all_of_it(bootstrap: str, url: str, sent: Sent) -> tuple[float, tuple[int, int, int]]:
    """Run the consumer as the service does; return the seconds, and the number of applied, duplicate and lost
    events.
    """
    store = Store(url, "bench", rules.load(), DEAD_LETTERS.name(PREFIX), announce_level_ups=True)
    clock = SystemClock()
    publisher = CachePublisher(NoCache(), clock)
    consumer = Consumer(bootstrap, PREFIX, store, publisher, clock)
    running = asyncio.create_task(consumer.run())
    following = asyncio.create_task(publisher.run())
    counts = consumer.counters
    try:
        await _until(lambda: consumer.partitions > 0)
        started_at = time.perf_counter()
        await _until(lambda: counts.events_applied + counts.duplicates >= sent.records)
        seconds = time.perf_counter() - started_at
    finally:
        await consumer.stop()
        await running
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await store.close()
    lost = len(sent.known.events) - counts.events_applied
    return seconds, (counts.events_applied, counts.duplicates, lost)


async def _check(url: str, known: EventFixture) -> None:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT player_id, xp FROM progression WHERE xp > 0")
    finally:
        await connection.close()
    if {row["player_id"]: row["xp"] for row in rows} != dict(known.xp):
        raise BenchError("the experience points in the store are not what the events are worth")


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            if condition():
                return
            await asyncio.sleep(POLL_S)
