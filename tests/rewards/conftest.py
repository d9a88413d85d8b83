"""What the tests of events and rewards share: a broker to kill, a store that can be cut off, events, and a running consumer."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from launchday.engines import ApacheKafka, Broker
from launchday.settings import Settings
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.store import PlayerProgress, Store
from rewards.events import DEAD_LETTERS, EventProducer, Source
from rewards.progression import rules
from tests.optional import needs

NOW_S = 1_800_000_000.0
PATIENCE_S = 30.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Look again until the condition holds; fail after PATIENCE_S."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                outcome = condition()
                if asyncio.iscoroutine(outcome):
                    outcome = await outcome
                if outcome:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE_S} s: {what}")


@pytest.fixture
def source() -> Source:
    return Source("server-1", "west-europe", uuid.UUID(int=7))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own, to be stopped and started again; its topics are gone then."""
    broker = Broker(tmp_path / "broker", tmp_path / "broker.log")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def apache_server(server_dir: Path) -> Iterator[ApacheKafka]:
    """Apache Kafka, started once a run; a test that asks for it needs apache-kafka."""
    server = ApacheKafka(server_dir / "apache", server_dir / "apache.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def apache_settings(settings: Settings, apache_server: ApacheKafka) -> Settings:
    """The settings, with Apache Kafka in the place of the embedded broker."""
    return settings.model_copy(update={"kafka_bootstrap": apache_server.address})


@pytest.fixture(params=["embedded", pytest.param("apache", marks=needs("apache-kafka"))])
def either_broker(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings, with each of the brokers in turn."""
    if request.param == "embedded":
        return settings
    server: ApacheKafka = request.getfixturevalue("apache_server")
    return settings.model_copy(update={"kafka_bootstrap": server.address})


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[EventProducer]:
    """A started producer on the shared broker."""
    made = EventProducer(
        settings.kafka_bootstrap, settings.topic_prefix, "server-1", settings.state_dir / "spool"
    )
    await made.start()
    yield made
    await made.stop()


class Gate:
    """A TCP relay in front of PostgreSQL that can be shut, as a network or a server fails."""

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
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
                self._writers.discard(end)
            self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()


@pytest.fixture
async def gate(store_url: str) -> AsyncIterator[Gate]:
    made = Gate(store_url)
    await made.open()
    yield made
    await made.shut()


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
async def running(settings: Settings) -> AsyncIterator[Rewards]:
    """Run a consumer as the service does, with a recording cache."""
    store = Store(settings.store_url, "rewards", rules.load(), DEAD_LETTERS.name(settings.topic_prefix))
    sink = RecordingSink()
    follower = CachePublisher(sink)
    consumer = Consumer(settings.kafka_bootstrap, settings.topic_prefix, store, follower)
    tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(follower.run())]
    try:
        yield Rewards(consumer, store, sink)
    finally:
        await consumer.stop()
        await asyncio.wait(tasks[:1], timeout=10)
        await follower.flush(5)
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
