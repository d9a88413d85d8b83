"""Logs that go while they are read: a topic that is made anew under load, and one that is cut under a flood.

The topic of the players' events is deleted and made again while events of matches flow, and the new log is
longer than the old one was before anybody can look: each event counts once, for rewards, for analytics and
for the load test's own count. Where a log is cut before its reader has come to it, the flood says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from launchday.clock import SystemClock
from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError, Postgres
from launchday.settings import env_name, settings
from loadtest.bench.environments.commands import Beside, running
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError
from loadtest.flood.watching.events import EventCounter
from meta_service.store import schema
from rewards.analytics import query
from rewards.analytics import writer as writing
from rewards.analytics.lake import Lake
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.store import Store
from rewards.events import (
    DEAD_LETTERS,
    PLAYER,
    EventIds,
    EventProducer,
    Source,
    ensure_topics,
    kill,
    match_started,
)
from rewards.events.kafka_clients import reader
from rewards.events.logs.identity import LogIdentity, identify
from rewards.events.topics import partitions_of
from rewards.progression import rules

FIRST, SECOND = 100, 150  # events of the old log and of the new one, which overtakes it
PREFIX = "launchday"
WITHIN_S = 40.0
POLL_S = 0.05
LOAD_PAUSE_S = 0.01
SCENARIO = Path(__file__).with_suffix(".yaml")
PLAYING_S, END_S = 60.0, 60.0
NEWER = 5  # records that come while rewards stands still

SOURCE = Source("bench", "west-europe", uuid.UUID(int=1), ids=EventIds(random.Random(1).getrandbits))


class _NoCache:
    async def publish(self, _rows: object) -> None:
        """There is no cache here."""


def _engine(kind: type[EmbeddedServer], folder: Path) -> EmbeddedServer:
    """A started engine; raises BenchError where it cannot be started."""
    server = kind(folder / kind.__name__, folder / f"{kind.__name__}.log")
    try:
        server.start()
    except EngineError as error:
        raise BenchError(str(error)) from None
    return server


def _made_anew(kind: type[EmbeddedServer], _options: Options) -> Found:
    if kind is ApacheKafka:
        try:
            kind.program()
        except EngineError as error:
            return Found(None, f"not run: {error}")
    folder = Path.cwd()
    with contextlib.ExitStack() as stack:
        bus, store = _engine(kind, folder), _engine(Postgres, folder)
        stack.callback(store.stop)
        stack.callback(bus.stop)
        schema.migrate(store.address)
        return asyncio.run(_count_events(bus.address, store.address, folder))


async def _count_events(bootstrap: str, store_url: str, folder: Path) -> Found:
    writing.FLUSH_S = 0.5
    clock = SystemClock()
    store = Store(store_url, "rewards", rules.load(), DEAD_LETTERS.name(PREFIX))
    consumer = Consumer(bootstrap, PREFIX, store, CachePublisher(_NoCache(), clock), clock)
    writer = writing.Writer(bootstrap, PREFIX, Lake(folder / "analytics"), clock)
    producer = EventProducer(bootstrap, PREFIX, "bench", folder / "spool", clock=clock)
    tasks = [asyncio.create_task(consumer.run()), asyncio.create_task(writer.run())]

    async def applied() -> int:
        return (await store.totals([])).kills

    async def written() -> int:
        found = await asyncio.to_thread(query.run, folder / "analytics", "select count(*) from kill")
        return int(found.rows[0][0])

    async with EventCounter(bootstrap, PREFIX) as counter:
        await producer.start()

        async def seen() -> int:
            return counter.kills

        readers = {"rewards": applied, "the count of kills": seen}
        async with _load(producer) as matches:
            _emit(producer, 0, FIRST)
            await _reach(FIRST, readers)
            await _until(lambda: _is(writer.written >= FIRST + 1), "analytics to write the first events")
            await _make_anew(bootstrap)
            began = time.monotonic()
            _emit(producer, FIRST, FIRST + SECOND)
            await _reach(FIRST + SECOND, readers)
            took_s = time.monotonic() - began
        await producer.flush(WITHIN_S)
        await _reach(FIRST + SECOND, {"analytics": _or_none(written)})
        replaced = len(counter.gaps)
        gaps = await store.positions.totals()
    await producer.stop()
    await consumer.stop()
    writer.stop()
    await asyncio.wait(tasks, timeout=WITHIN_S)
    kills = {"rewards": await applied(), "analytics": await written()}
    await store.close()
    wanted = FIRST + SECOND
    well = set(kills.values()) == {wanted} and counter.kills == wanted and gaps.gaps > 0 and gaps.missing == 0
    said = (
        f"{kills['rewards']} of {wanted} events counted by rewards, {kills['analytics']} by analytics, "
        f"{counter.kills} by the flood's own count; {gaps.gaps} partitions told"
    )
    figures = {
        "events": wanted,
        "applied": kills["rewards"],
        "written": kills["analytics"],
        "counted": counter.kills,
        "matches_meanwhile": matches[0],
        "partitions_replaced": replaced,
        "seconds_until_all_counted": round(took_s, 1),
    }
    return Found(well, said, figures)


def _emit(producer: EventProducer, first: int, after: int) -> None:
    for number in range(first, after):
        producer.emit(
            kill(
                SOURCE,
                now_s=time.time(),
                tick=number,
                killer_id=1,
                victim_id=2 + number,
                weapon="rifle",
                distance_m=9.0,
                killer_at=(0.0, 0.0),
                victim_at=(9.0, 0.0),
            )
        )


@contextlib.asynccontextmanager
async def _load(producer: EventProducer) -> AsyncIterator[list[int]]:
    """Matches begin all the time, on the topic that stays."""
    sent = [0]

    async def send() -> None:
        while True:
            producer.emit(
                match_started(
                    SOURCE, now_s=time.time(), tick=sent[0], mode="battle_royale", seed=1, roster=[(1, 0)]
                )
            )
            sent[0] += 1
            await asyncio.sleep(LOAD_PAUSE_S)

    task = asyncio.create_task(send())
    try:
        yield sent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _make_anew(bootstrap: str) -> None:
    """Delete the players' topic and make it again, as fast as the broker does."""
    name = PLAYER.name(PREFIX)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()

    async def identity() -> Mapping[TopicPartition, LogIdentity]:
        return await identify(admin, [TopicPartition(name, 0)])

    async def made() -> bool:
        await ensure_topics(bootstrap, PREFIX)
        return bool(now := await identity()) and now != before

    try:
        before = await identity()
        await admin.delete_topics([name])
        await _until(made, "the topic made anew")
    finally:
        await admin.close()


async def _is(answer: bool) -> bool:
    return answer


def _or_none(count: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
    async def ask() -> int:
        try:
            return await count()
        except Exception:  # no file of that kind yet
            return 0

    return ask


async def _reach(wanted: int, counts: Mapping[str, Callable[[], Awaitable[int]]]) -> None:
    for who, count in counts.items():

        async def enough(count: Callable[[], Awaitable[int]] = count) -> bool:
            return await count() >= wanted

        await _until(enough, f"{wanted} events counted by {who}", count)


async def _until(
    condition: Callable[[], Awaitable[bool]], what: str, count: Callable[[], Awaitable[int]] | None = None
) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await condition():
        if time.monotonic() > deadline:
            told = "" if count is None else f"; there are {await count()}"
            raise BenchError(f"not within {WITHIN_S:g} s: {what}{told}")
        await asyncio.sleep(POLL_S)


def _cut(_options: Options) -> Found:
    try:
        ApacheKafka.program()
    except EngineError as error:
        return Found(None, f"not run: {error}")
    bus = _engine(ApacheKafka, Path.cwd())
    try:
        return _flood_with_a_cut_log(bus.address)
    finally:
        bus.stop()


def _flood_with_a_cut_log(bootstrap: str) -> Found:
    """Stop rewards for a moment in a flood, and let the log lose what it has not read."""
    with running("flood", str(SCENARIO), "--json", env={env_name("kafka_bootstrap"): bootstrap}) as flood:
        asyncio.run(_wait_for_records(bootstrap, flood, 1))
        rewards = _process_of(flood, "rewards")
        rewards.suspend()
        try:
            cut = asyncio.run(_cut_what_is_new(bootstrap, flood))
        finally:
            rewards.resume()
        flood.process.wait(END_S)
        figures = _figures_of(flood)
    lines = [line for line in figures["ledger"]["lines"] if line["name"] == "events missed by rewards"]
    missing = lines[0]["difference"] if lines else 0
    # What rewards had in its hands when it was stopped is not missing.
    well = 0 < missing <= cut and not figures["ledger"]["balanced"] and flood.process.returncode != 0
    said = (
        f"the log lost {cut} records while rewards stood still; the flood's ledger says that it missed "
        f"{missing}"
    )
    return Found(
        well, said, {"cut": cut, "missing_in_ledger": missing, "exit_code": flood.process.returncode}
    )


async def _ends(bootstrap: str) -> dict[TopicPartition, int]:
    name = PLAYER.name(settings().topic_prefix)
    partitions = [TopicPartition(name, number) for number in await partitions_of(bootstrap, name)]
    async with reader(bootstrap, "looking at the log") as kafka:
        ends: dict[TopicPartition, int] = await kafka.end_offsets(partitions) if partitions else {}
    return ends


async def _wait_for_records(bootstrap: str, flood: Beside, more: int) -> dict[TopicPartition, int]:
    deadline = time.monotonic() + PLAYING_S
    while True:
        ends = await _ends(bootstrap)
        if sum(ends.values()) >= more:
            return ends
        if time.monotonic() > deadline or flood.process.poll() is not None:
            last = flood.lines[-1] if flood.lines else "it said nothing"
            raise BenchError(f"no events came within {PLAYING_S:g} s: {last}")
        await asyncio.sleep(POLL_S)


async def _cut_what_is_new(bootstrap: str, flood: Beside) -> int:
    """Wait for records that come while nobody reads, and delete all; return how many those were."""
    before = await _ends(bootstrap)
    after = await _wait_for_records(bootstrap, flood, sum(before.values()) + NEWER)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records({each: RecordsToDelete(before_offset=end) for each, end in after.items()})
    finally:
        await admin.close()
    return sum(after.values()) - sum(before.values())


def _process_of(flood: Beside, module: str) -> psutil.Process:
    for child in psutil.Process(flood.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.cmdline()[-2:] == ["-m", module]:
                return child
    raise BenchError(f"the flood has no process of {module}")


def _figures_of(flood: Beside) -> dict[str, Any]:
    for line in reversed(flood.lines):
        if line.startswith("{"):
            figures: dict[str, Any] = json.loads(line)
            return figures
    raise BenchError(f"the flood ended without its figures: {flood.lines[-1] if flood.lines else 'no word'}")


CASES = (
    Case("topic_made_anew_embedded", partial(_made_anew, Broker)),
    Case("topic_made_anew_apache", partial(_made_anew, ApacheKafka)),
    Case("cut_log", _cut, bound_s=180.0),
)
