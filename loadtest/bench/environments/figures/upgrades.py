"""Upgrades of events in four orders: points, ratings and Parquet rows come out equal, on both brokers.

Two versions of rewards and analytics read one log. The older one knows neither a kind that gives points, nor
a field of results, nor a cause of death (`loadtest.event_versions`); the newer one knows all. Servers of the
newer version send, and leave a spool that a server of the older version meets first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from launchday.clock import SystemClock
from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError, Postgres
from loadtest import event_versions
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.harness.databases import empty_database
from loadtest.bench.options import Options
from loadtest.errors import BenchError
from meta_service.store import schema
from rewards.analytics import query
from rewards.analytics import writer as writing
from rewards.analytics.lake import Lake
from rewards.analytics.writer import Writer
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.rebuild import digest
from rewards.consumer.store import Store
from rewards.events import (
    DEAD_LETTERS,
    DeathCause,
    Envelope,
    EventIds,
    EventProducer,
    PlayerPlacement,
    Source,
    death,
    ensure_topics,
    kill,
    match_ended,
    routing,
    spool,
    xp_granted,
)
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.parse import ReadEvent
from rewards.events.resend import SpoolResend
from rewards.progression import rules

PLAYERS, ROUNDS = 40, 60
SPOOLED = 40  # events that reach the broker by the spool
WITHIN_S = 60.0
POLL_S = 0.05
AT_S = 1_800_000_000.0

OLD, NEW = event_versions.older(), event_versions.newer()
# The columns of a kind are those of today's program, so the older one of analytics lacks a kind alone.
OLD_LAKE = event_versions.older(event_versions.KINDS, is_whole=True)
NEW_LAKE = event_versions.newer(is_whole=True)

Step = tuple[Sequence[ReadEvent], float]
"""Consumers that run, and the share of the events that has come when they stop."""

ORDERS: dict[str, tuple[Step, ...]] = {
    "consumers_first": (([NEW], 1.0),),
    "servers_first": (([OLD], 1.0), ([NEW], 1.0)),
    "mixed": (([OLD, NEW], 1.0), ([NEW], 1.0)),
    "rolled_back": (([NEW], 0.3), ([OLD], 0.7), ([NEW], 1.0)),
}


class _NoCache:
    async def publish(self, _rows: object) -> None:
        """There is no cache here."""


def _events() -> list[Envelope]:
    """Events of a match a round, of both versions; the same each time."""
    rng = random.Random(15)
    made: list[Envelope] = []
    for number in range(ROUNDS):
        ids = EventIds(rng.getrandbits)
        source = Source("bench", "west-europe", uuid.UUID(int=number + 1), ids=ids)
        first, second = rng.sample(range(1, PLAYERS + 1), 2)
        shot = partial(kill, source, now_s=AT_S, tick=1, weapon="rifle", distance_m=9.0, killer_at=(0, 0))
        left = partial(death, source, now_s=AT_S, tick=1, at=(0, 0), survived_s=1.0)
        whole = shot(killer_id=first, victim_id=second, victim_at=(9, 0))
        old = shot(killer_id=second, victim_id=first, victim_at=(9, 0))
        old.kill.ClearField("victim_at")
        needing = shot(killer_id=first, victim_id=second, victim_at=(9, 0))
        needing.needs = event_versions.NEWER_VERSION
        placements = [PlayerPlacement(first, 0, 1, 1, 9.0), PlayerPlacement(second, 1, 2, 1, 9.0)]
        result = match_ended(
            source,
            now_s=AT_S,
            tick=9,
            mode="battle_royale",
            duration_s=rng.choice((0.0, 9.0)),
            placements=placements,
        )
        grant = xp_granted(source, now_s=AT_S, player_id=first, xp=number + 1, reason="quest")
        made += [whole, old, needing, result, grant]
        made += [left(victim_id=first, cause=DeathCause.LEFT), left(victim_id=second, cause=DeathCause.ZONE)]
    return made


def _upgrade(kind: type[EmbeddedServer], _options: Options) -> Found:
    try:
        if kind is ApacheKafka:
            kind.program()
    except EngineError as error:
        return Found(None, f"not run: {error}")
    folder = Path.cwd()
    with contextlib.ExitStack() as stack:
        bus, store = _engine(kind, folder, stack), _engine(Postgres, folder, stack)
        schema.migrate(store.address)
        return asyncio.run(_play(bus.address, store.address, folder))


def _engine(kind: type[EmbeddedServer], folder: Path, stack: contextlib.ExitStack) -> EmbeddedServer:
    server = kind(folder / kind.__name__, folder / f"{kind.__name__}.log")
    try:
        server.start()
    except EngineError as error:
        raise BenchError(str(error)) from None
    stack.callback(server.stop)
    return server


async def _play(bootstrap: str, store_url: str, folder: Path) -> Found:
    events = _events()
    digests: dict[str, str] = {}
    rows: dict[str, int] = {}
    kept: dict[str, int] = {}
    for order, steps in ORDERS.items():
        async with empty_database(store_url, order) as url:
            place = folder / order
            rows[order], kept[order] = await _in_order(bootstrap, order, url, place, events, steps)
            digests[order] = (await digest(url))[:16]
    equal = len(set(digests.values())) == 1
    whole = set(rows.values()) == {len(events)}
    waited = all(kept[order] for order in ORDERS if order != "consumers_first")
    said = (
        f"{len(events)} events in {len(ORDERS)} orders: points {'equal' if equal else 'DIFFER'}, "
        f"Parquet rows {'each once' if whole else rows}; kept and taken up: "
        + ", ".join(f"{order} {count}" for order, count in kept.items())
    )
    return Found(equal and whole and waited, said, {"digests": digests, "rows": rows, "kept": kept})


async def _in_order(
    bootstrap: str, prefix: str, url: str, folder: Path, events: list[Envelope], steps: Sequence[Step]
) -> tuple[int, int]:
    """Upgrade in one order; return the rows of Parquet, and how many events rewards kept for later."""
    writing.FLUSH_S = 0.5
    clock = SystemClock()
    await ensure_topics(bootstrap, prefix)
    store = Store(url, "rewards", rules.load(), DEAD_LETTERS.name(prefix))
    sent, kept = 0, 0
    for readers, share in steps:
        consumers = [
            Consumer(bootstrap, prefix, store, CachePublisher(_NoCache(), clock), clock, read=read)
            for read in readers
        ]
        of_lake = OLD_LAKE if OLD in readers else NEW_LAKE
        lake = Lake(folder / "analytics", of_lake)
        writer = Writer(bootstrap, prefix, lake, clock, read=of_lake)
        tasks = [asyncio.create_task(each.run()) for each in consumers]
        tasks.append(asyncio.create_task(writer.run()))
        await _until(partial(_all_have_partitions, consumers), "consumers with partitions")
        until = round(share * len(events))
        if until > sent:
            # The last of all lie in the spool of a newer server, and an older one comes first.
            direct = min(until, len(events) - SPOOLED)
            await _send(bootstrap, prefix, folder, events[sent:direct])
            if until == len(events):
                rest = [event.SerializeToString() for event in events[direct:]]
                spool.write(folder / "spool", "server-of-tomorrow", rest)
                await _resend_as_before(bootstrap, prefix, folder)
                await _send(bootstrap, prefix, folder, [])
            sent = until
        await _until(partial(_all_seen, store, sent, NEW in readers), f"{sent} events in {prefix}")
        await _until(partial(_has_read, lake, sent), f"analytics in {prefix}")
        for each in consumers:
            await each.stop()
        writer.stop()
        await asyncio.wait(tasks, timeout=WITHIN_S)
        kept += sum(each.counters.newer_kept for each in consumers)
    await store.close()
    counts = " UNION ALL ".join(f"SELECT count(*) n FROM {kind}" for kind in ("kill", "death", "match_ended"))
    sql = f"SELECT sum(n) FROM ({counts} UNION ALL SELECT count(*) FROM xp_granted)"
    found = await asyncio.to_thread(query.run, folder / "analytics", sql)
    return int(found.rows[0][0]), kept


async def _send(bootstrap: str, prefix: str, folder: Path, events: Sequence[Envelope]) -> None:
    """A game server's life: it sends its events, and what lies in the spool."""
    producer = EventProducer(bootstrap, prefix, "bench", folder / "spool", clock=SystemClock())
    await producer.start()
    for event in events:
        producer.emit(event)
    if not await producer.flush(WITHIN_S):
        raise BenchError(f"the broker took no events within {WITHIN_S:g} s")
    await _until(partial(_nothing_to_resend, folder / "spool"), "the spool to be resent")
    await producer.stop()


async def _resend_as_before(bootstrap: str, prefix: str, folder: Path) -> None:
    """A game server of the older version comes, and sends what it knows of the spool."""

    def record_of(event: Envelope, data: bytes) -> KafkaRecord:
        topic, key = routing(event)
        return KafkaRecord(topic.name(prefix), key, data, int(event.occurred_at * 1000))

    sender = await KafkaSender.open(bootstrap, "bench")
    try:
        resend = SpoolResend(folder / "spool", record_of, OLD, SystemClock())
        await resend.send(sender, lambda _sent: None)
    finally:
        await sender.close()
    if not resend.newer:
        raise BenchError("the older server left nothing in the spool: it has sent what it does not know")


async def _nothing_to_resend(folder: Path) -> bool:
    return not await asyncio.to_thread(lambda: spool.pending_files(folder) + spool.newer_files(folder))


async def _all_have_partitions(consumers: Sequence[Consumer]) -> bool:
    return all(each.partitions for each in consumers)


async def _all_seen(store: Store, sent: int, none_wait: bool) -> bool:
    waiting = await store.newer_waiting()
    in_turn = dict(waiting.by_cause).get("its rating waits behind another result", 0)
    async with store.connections.acquire() as connection:
        counted = int(await connection.fetchval("SELECT count(*) FROM event_inbox"))
    return counted + waiting.events - in_turn >= sent and not (none_wait and waiting.events)


async def _has_read(lake: Lake, sent: int) -> bool:
    return sum(position.next_offset for position in lake.positions().values()) >= sent


async def _until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {WITHIN_S:g} s: {what}")
        await asyncio.sleep(POLL_S)


CASES: tuple[Case, ...] = (
    Case("event_upgrades_embedded", partial(_upgrade, Broker), 180.0),
    Case("event_upgrades_apache", partial(_upgrade, ApacheKafka), 180.0),
)
