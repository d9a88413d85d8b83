"""What is killed in the chaos run of rewards: engines, consumers and the events that they apply."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from launchday import child_processes
from launchday.clock import SystemClock
from launchday.engines import ApacheKafka, Postgres, Valkey, free_port
from launchday.settings import Settings, environment
from loadtest.errors import ChaosError
from loadtest.event_fixture import EVENTS_PER_MATCH, EventFixture, make_event_fixture
from meta_service.store import schema
from rewards import dead_letters
from rewards.events import DEAD_LETTERS, PLAYER, REWARDS_TOPICS, Envelope, EventProducer, Topic, ensure_topics
from rewards.records import RawRecord, raw_record

MAX_BEHIND_S = 366 * 86_400.0  # the events of the fixture are of one day, whenever they are sent
DUPLICATE_SHARE = 0.05  # of the events are emitted twice
POLL_S = 0.05
PROGRESS_TIMEOUT_S = 120.0  # without any progress; recovering from a killed member alone takes Kafka 6 s
BURST = 200  # events emitted at a stretch


@dataclass
class RewardsRun:
    """One run: the engines, the consumer group's members, and the events that they apply.

    Attributes:
        folder: of data, logs and the producer's spool.
        known: events whose worth is known.
        broken: records that are no events.
        rng: source of every random draw.
        members: number → process of a running rewards service.
        killed: how often each victim was killed.
        sent_twice: events that were emitted twice on purpose.
        producer_counters: of the producer, after its stop.
    """

    folder: Path
    known: EventFixture
    broken: list[bytes]
    rng: random.Random
    settings: Settings = field(init=False)
    valkey: Valkey = field(init=False)
    postgres: Postgres = field(init=False)
    kafka: ApacheKafka = field(init=False)
    members: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    sent_twice: int = 0
    producer_counters: Any = None

    def start(self) -> None:
        """Start the engines."""
        self.valkey = Valkey(self.folder / "valkey", self.folder / "valkey.log")
        self.postgres = Postgres(self.folder / "postgres", self.folder / "postgres.log")
        self.kafka = ApacheKafka(self.folder / "kafka", self.folder / "kafka.log")
        for server in (self.valkey, self.postgres, self.kafka):
            server.start()
        self.settings = Settings(
            state_dir=self.folder,
            cache_url=self.valkey.address,
            store_url=self.postgres.address,
            kafka_bootstrap=self.kafka.address,
            identity_secret=SecretStr(secrets.token_hex(32)),
            topic_prefix="chaos",
            event_max_behind_s=MAX_BEHIND_S,
        )

    def stop(self) -> None:
        """Stop everything."""
        for member in self.members.values():
            child_processes.stop(member, 10)
        for server in (self.kafka, self.postgres, self.valkey):
            server.stop()

    def start_member(self, number: int) -> None:
        """Start a member of the group."""
        mine = self.settings.model_copy(update={"rewards_port": free_port()})
        self.members[number] = child_processes.spawn(
            [sys.executable, "-m", "rewards"],
            log=self._log(number),
            env={**os.environ, **environment(mine)},
        )

    async def kill(self, what: str, number: int = 1) -> None:
        """Kill with -9. Broker and store start again after up to 2 s, with what was on their disks.

        Args:
            what: one of VICTIMS.
            number: of the member, where it is the consumer.
        """
        self.killed[what] += 1
        absent_s = self.rng.uniform(0.0, 2.0)
        if what == "consumer":
            self.members[number].kill()
            self.members[number].wait()
            return
        server = self.kafka if what == "broker" else self.postgres
        port = server.port
        server.kill()
        await asyncio.sleep(absent_s)
        server.start(port)  # in this thread: the server dies with it; the producer is blocked for seconds

    async def emit_events(self, over_s: float) -> None:
        """Emit every event over ``over_s`` seconds, 5 % of them twice, mixed with the broken records; returns
        once all are delivered.
        """
        order: list[Envelope | bytes] = list(self.known.events)
        twice = self.rng.sample(self.known.events, round(DUPLICATE_SHARE * len(order)))
        self.sent_twice = len(twice)
        extras: list[Envelope | bytes] = [*twice, *self.broken]
        for extra in extras:
            order.insert(self.rng.randrange(len(order)), extra)
        prefix, bootstrap = self.settings.topic_prefix, self.settings.kafka_bootstrap
        # Broken records have no id: only an idempotent producer that retries for ever writes each of them
        # once.
        breaker = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
        producer = EventProducer(bootstrap, prefix, "chaos", self.folder / "spool", clock=SystemClock())
        await breaker.start()
        await producer.start()
        written: list[asyncio.Future[Any]] = []
        try:
            for at, event in enumerate(order):
                if isinstance(event, bytes):
                    written.append(await breaker.send(PLAYER.name(prefix), event, b"%d" % at))
                else:
                    assert producer.emit(event), "the producer dropped an event"
                if at % BURST == BURST - 1:
                    await asyncio.sleep(over_s * BURST / len(order))
            await asyncio.gather(*written)

            async def all_delivered() -> bool:
                counters = producer.counters()
                return counters.waiting == 0 and counters.spooled <= counters.resent

            await until(all_delivered, "all events delivered")
        finally:
            self.producer_counters = producer.counters()
            await producer.stop(0.1)
            await breaker.stop()

    async def applied(self) -> int:
        """Events in the inbox; −1 while the store is unavailable."""
        try:
            connection = await asyncpg.connect(self.settings.store_url, timeout=5)
            try:
                return int(await connection.fetchval("SELECT count(*) FROM event_inbox"))
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return -1

    async def all_applied(self) -> None:
        """Wait until every event and every broken record is in the inbox.

        Raises ChaosError where there is no progress.
        """
        want, best, best_at = len(self.known.events) + len(self.broken), -1, time.monotonic()
        while (now := await self.applied()) < want:
            if now > best:
                best, best_at = now, time.monotonic()
            if time.monotonic() - best_at > PROGRESS_TIMEOUT_S:
                where = await self.describe_offsets()
                raise ChaosError(
                    f"{now} of {want} applied, and no more for {PROGRESS_TIMEOUT_S} s: "
                    f"{where}{self.log_tails()}"
                )
            await asyncio.sleep(POLL_S)

    async def describe_offsets(self) -> str:
        """In words: how many of the events that are not applied are missing in Kafka, and where the others
        are.
        """
        connection = await asyncpg.connect(self.settings.store_url)
        try:
            inbox = {row["event_id"] for row in await connection.fetch("SELECT event_id FROM event_inbox")}
            offsets = await connection.fetch("SELECT topic, partition, next_offset FROM consumer_offsets")
        finally:
            await connection.close()
        places: dict[uuid.UUID, str] = {}
        for raw in await self._log_of(REWARDS_TOPICS):
            places[raw.inbox_id] = raw.origin
        unapplied = sorted(place for event_id, place in places.items() if event_id not in inbox)
        events = {uuid.UUID(bytes=event.event_id) for event in self.known.events}
        letters = sum(1 for event_id in inbox if event_id not in events)
        reached = {f"{row['topic']}/{row['partition']}": row["next_offset"] for row in offsets}
        return (
            f"{len(events - places.keys())} events are not in Kafka, {letters} letters in the inbox; "
            f"in Kafka but not applied: {unapplied[:30]}; reached: {reached}; {self.producer_counters}"
        )

    async def _log_of(self, topics: Sequence[Topic]) -> list[RawRecord]:
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await kafka.start()
        try:
            found: list[RawRecord] = []
            kafka.assign(
                [
                    TopicPartition(topic.name(self.settings.topic_prefix), number)
                    for topic in topics
                    for number in range(topic.partitions)
                ]
            )
            ends = await kafka.end_offsets(list(kafka.assignment()))
            for partition in ends:
                await kafka.seek_to_beginning(partition)
            while any([await kafka.position(partition) < end for partition, end in ends.items()]):
                for records in (await kafka.getmany(timeout_ms=500)).values():
                    found += [raw_record(record) for record in records]
            return found
        finally:
            await kafka.stop()

    def log_tails(self) -> str:
        """The last log line of each member."""
        said = [f"member {number}: {child_processes.last_line(self._log(number))}" for number in self.members]
        return "".join(f"\n{line}" for line in said)

    def _log(self, number: int) -> Path:
        return self.folder / f"rewards-{number}.log"

    async def outcome(self) -> dict[str, Any]:
        """Compare what is in the store and on the dead-letter topic with what must be there; :func:`is_right`
        judges it.
        """
        connection = await asyncpg.connect(self.settings.store_url)
        try:
            rows = await connection.fetch("SELECT player_id, xp, kills, matches FROM progression")
            rated = await connection.fetchval("SELECT count(*) FROM rated_matches")
            rated_twice = await connection.fetchval(
                "SELECT count(*) FROM ratings JOIN progression USING (player_id) "
                "WHERE ratings.matches <> progression.matches"
            )
            inbox = await connection.fetchval("SELECT count(*) FROM event_inbox")
        finally:
            await connection.close()
        letters = await self._letters()
        xp = {row["player_id"]: row["xp"] for row in rows if row["xp"]}
        wrong = {
            player
            for player in xp.keys() | self.known.xp.keys()
            if xp.get(player, 0) != self.known.xp[player]
        }
        kills = {row["player_id"]: row["kills"] for row in rows if row["kills"]}
        return {
            "broker": f"{self.kafka.name} {self.kafka.version()}",
            "events": len(self.known.events),
            "sent_twice": self.sent_twice,
            "repeated_by_the_producer": self.producer_counters.resent,
            "broken": len(self.broken),
            "killed": dict(self.killed),
            "xp": sum(xp.values()),
            "xp_earned": sum(self.known.xp.values()),
            "players_with_wrong_xp": len(wrong),
            "kills_right": kills == {player: count for player, count in self.known.kills.items() if count},
            "matches_rated": rated,
            "players_rated_wrong": rated_twice,
            "inbox": inbox,
            "dead_letters": len(letters),
            "letters_right": sorted(letters.values()) == sorted(self.broken),
        }

    async def _letters(self) -> dict[tuple[bytes, bytes, bytes], bytes]:
        """Dead letters by their origin: one may be there twice after a crash, and counts once."""
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap, auto_offset_reset="earliest"
        )
        await kafka.start()
        try:
            partition = TopicPartition(DEAD_LETTERS.name(self.settings.topic_prefix), 0)
            kafka.assign([partition])
            end = (await kafka.end_offsets([partition]))[partition]
            found: dict[tuple[bytes, bytes, bytes], bytes] = {}
            while await kafka.position(partition) < end:
                for record in (await kafka.getmany(timeout_ms=200)).get(partition, []):
                    headers = dict(record.headers)
                    origin = tuple(
                        headers[name]
                        for name in (
                            dead_letters.TOPIC_HEADER,
                            dead_letters.PARTITION_HEADER,
                            dead_letters.OFFSET_HEADER,
                        )
                    )
                    found[origin] = record.value
            return found
        finally:
            await kafka.stop()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until an asynchronous condition holds.

    Raises ChaosError after PROGRESS_TIMEOUT_S; ``what`` names it.
    """
    try:
        async with asyncio.timeout(PROGRESS_TIMEOUT_S):
            while True:
                if await condition():
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise ChaosError(f"not within {PROGRESS_TIMEOUT_S} s: {what}") from None


def broken_records(count: int, rng: random.Random) -> list[bytes]:
    """Make records that are no events: of four kinds, and no two alike."""
    found: list[bytes] = []
    for number in range(count):
        match number % 4:
            case 0:
                found.append(b"\xff" + rng.randbytes(30))  # no protobuf
            case 1:
                found.append(Envelope(event_id=rng.randbytes(15), occurred_at=1.0).SerializeToString())
            case 2:
                found.append(Envelope(region=f"nowhere-{number}").SerializeToString())  # no event, no id
            case _:
                found.append(b'{"kill": %d}' % number)  # another format
    return found


@contextlib.asynccontextmanager
async def rewards_run(events: int, broken: int, seed: int) -> AsyncIterator[RewardsRun]:
    """A run with its engines up, its schema migrated and its topics run."""
    rng = random.Random(seed)
    known = make_event_fixture(max(1, round(events / EVENTS_PER_MATCH)), seed=seed)
    with tempfile.TemporaryDirectory(prefix="launchday-chaos-") as name:
        run = RewardsRun(Path(name), known, broken_records(broken, rng), rng)
        run.start()
        try:
            await asyncio.to_thread(schema.migrate, run.settings.store_url)
            await ensure_topics(run.settings.kafka_bootstrap, run.settings.topic_prefix)
            yield run
        finally:
            run.stop()
