"""What the tests of rewards run: a consumer in this process, a relay before the store, records to send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import asyncpg
from aiokafka import AIOKafkaProducer

from launchday.clock import SystemClock
from launchday.resilience.bus import Bus
from launchday.settings import Settings
from rewards.arrival import Judge
from rewards.consumer.batch import Batch, parse_batch
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.store import PlayerProgress, Store
from rewards.events import DEAD_LETTERS, MATCH, PLAYER, Envelope, ensure_topics, routing
from rewards.events.parse import ReadEvent, read_event
from rewards.progression import rules
from rewards.records import RawRecord
from tests.waiting import until

TOPIC = "test.player"
LETTERS = "test.dead-letters"


class Gate:
    """A TCP relay in front of PostgreSQL that can be shut, as a network or a server fails.

    Attributes:
        flowing: while it is clear nothing passes, and connections stay open: a store that is frozen.
    """

    def __init__(self, store_url: str) -> None:
        parts = urlsplit(store_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._url = store_url
        self.port = 0
        self.flowing = asyncio.Event()
        self.flowing.set()

    @property
    def url(self) -> str:
        return self._url.replace(f":{self._target[1]}/", f":{self.port}/")

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
                self._writers.discard(end)
            self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


@dataclass
class RecordingSink:
    """A cache that remembers what was published."""

    progress: dict[int, tuple[int, int]] = field(default_factory=dict)

    async def publish(self, progress: list[PlayerProgress]) -> None:
        self.progress.update({player_id: (xp, level) for player_id, xp, level in progress})


@dataclass
class Rewards:
    """A consumer running in this process."""

    consumer: Consumer
    store: Store
    sink: RecordingSink


@contextlib.asynccontextmanager
async def running(
    settings: Settings, read: ReadEvent = read_event, judge: Judge | None = None, bus: Bus | None = None
) -> AsyncIterator[Rewards]:
    """Run a consumer as the service does, with a recording cache."""
    store = Store(settings.store_url, "rewards", rules.load(), DEAD_LETTERS.name(settings.topic_prefix))
    sink = RecordingSink()
    clock = SystemClock()
    publisher = CachePublisher(sink, clock)
    address = bus or settings.kafka_bootstrap
    consumer = Consumer(address, settings.topic_prefix, store, publisher, clock, read=read, judge=judge)
    tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(publisher.run())]
    try:
        yield Rewards(consumer, store, sink)
    finally:
        await consumer.stop()
        await asyncio.wait(tasks[:1], timeout=10)
        await publisher.flush(5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()


async def query(store_url: str, statement: str, *arguments: object) -> list[tuple[object, ...]]:
    """Rows of a query on a connection of its own."""
    connection = await asyncpg.connect(store_url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()


async def progression(store_url: str) -> dict[int, tuple[object, ...]]:
    """Player id → (xp, level, kills, deaths, matches)."""
    rows = await query(
        store_url, "SELECT player_id, xp, level, kills, deaths, matches FROM progression ORDER BY player_id"
    )
    return {int(str(row[0])): row[1:] for row in rows}


async def send(settings: Settings, records: Iterable[Envelope | tuple[bytes | None, bytes]]) -> None:
    """Write events, or raw (value, key) to the player topic, and wait until the broker has them."""
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    kafka = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    await kafka.start()
    try:
        futures = []
        for record in records:
            if isinstance(record, tuple):
                value, key = record
                futures.append(await kafka.send(PLAYER.name(settings.topic_prefix), value, key))
            else:
                topic, key = routing(record)
                name = topic.name(settings.topic_prefix)
                futures.append(await kafka.send(name, record.SerializeToString(), key))
        await asyncio.gather(*futures)
    finally:
        await kafka.stop()


async def applied(rewards: Rewards, count: int, settings: Settings) -> None:
    """Wait until the inbox holds this many events and letters."""
    topics = [PLAYER.name(settings.topic_prefix), MATCH.name(settings.topic_prefix)]

    async def enough() -> bool:
        totals = await rewards.store.totals(topics)
        return totals.events + totals.dead_letters >= count

    await until(enough, f"{count} records applied")


def batch(
    events: Iterable[Envelope | bytes],
    first_offset: int = 0,
    partition: int = 0,
    read: ReadEvent = read_event,
) -> Batch:
    records = [
        RawRecord(
            TOPIC,
            partition,
            offset,
            b"1",
            event if isinstance(event, bytes) else event.SerializeToString(),
            0,
        )
        for offset, event in enumerate(events, first_offset)
    ]
    return parse_batch(records, read)
