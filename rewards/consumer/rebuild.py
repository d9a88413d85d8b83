"""Progression rebuilt from the log: every event from the earliest offset, applied to an empty database.

It comes out byte for byte as it was, as far as the log reaches back: experience and challenges only add up,
and ratings follow the one order that match results have. What is compared is all that play has earned; the
time when a row was last written is not part of it. Items and money are not given again: those have books.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import partial

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from launchday.clock import Clock
from launchday.resilience.bus import BusAddress
from rewards.arrival import Judge
from rewards.consumer.batch import Batch, apply_or_bisect, parse_batch
from rewards.consumer.consumer import MAX_BATCH_RECORDS
from rewards.consumer.store import Store
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import BusUnavailableError, RebuildError
from rewards.events import DEAD_LETTERS, REWARDS_TOPICS
from rewards.events.kafka_clients import answered, reader
from rewards.events.logs.follower import LogFollower
from rewards.events.topics import partitions_of
from rewards.progression.rules import Rules
from rewards.records import raw_record

POLL_MS = 1_000
DUMP_S = 600.0  # to copy all progression of some millions of players
MAX_IDLE_POLLS = 10  # polls that bring nothing before the end counts as unreachable

PROGRESSION_TABLES = {
    "progression": ("player_id", "player_id, xp, level, kills, deaths, matches"),
    "challenge_progress": ("player_id, challenge, period", "*"),
    "season_progress": ("player_id, season", "*"),
    "ratings": ("player_id, mode", "player_id, mode, mu, sigma, matches"),
    "rated_matches": ("match_id", "*"),
}
"""Table → its key and the columns that play has earned."""


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What was read, what the log no longer had, and the digest of the outcome (``digest``)."""

    events: int
    duplicates: int
    bad: int
    missing: int
    digest: str
    newer: int = 0  # kept for a program that knows them, not counted


async def rebuild(
    bus: BusAddress, prefix: str, store_url: str, rules: Rules, clock: Clock, judge: Judge | None = None
) -> RebuildResult:
    """Apply the whole log, up to its present end, to an empty database at the newest schema.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
        store_url: ``postgresql://…`` of the empty database.
        rules: what events are worth.
        clock: stamps the rows.
        judge: of events' times, as the consumer has it.

    Raises RebuildError; StoreUnavailableError when the database does not answer.
    """
    store = Store(store_url, "rewards", rules, DEAD_LETTERS.name(prefix), gives=False)
    what = "reading the log"
    counts = [0, 0, 0, 0]

    async def apply(batch: Batch) -> None:
        applied = await store.apply(batch, clock.wall())
        counts[0] += sum(applied.effects.kinds.values())
        counts[1] += applied.duplicates
        counts[2] += applied.dead_letters
        counts[3] += applied.newer

    try:
        if await store.next_offsets():
            raise RebuildError("the database is not empty: give one to which nothing has been applied")
        names = [topic.name(prefix) for topic in REWARDS_TOPICS]
        partitions = [
            TopicPartition(name, number) for name in names for number in await partitions_of(bus, name)
        ]
        if not partitions:
            raise RebuildError(f"there is no topic {names[0]} at {bus}")
        async with reader(
            bus, what, auto_offset_reset="earliest", max_poll_records=MAX_BATCH_RECORDS
        ) as kafka:
            follower = LogFollower(kafka, "rebuild", names)
            async with answered(bus, what):
                await follower.begin(partitions, at_end=False)
                ends: dict[TopicPartition, int] = await kafka.end_offsets(partitions)
            idle = known_gaps = 0
            while any(follower.next_offsets[partition] < end for partition, end in ends.items()):
                records = [raw_record(record) for record in await follower.poll(POLL_MS)]
                idle = 0 if records else idle + 1
                if idle == MAX_IDLE_POLLS:
                    raise RebuildError(f"the end of the log at {bus} cannot be reached")
                if records:
                    await apply_or_bisect(records, apply, parse=partial(parse_batch, judge=judge))
                if len(follower.gaps) > known_gaps:  # of another log the end is another one
                    known_gaps = len(follower.gaps)
                    ends = await kafka.end_offsets(partitions)
            missing = sum(gap.missing or 0 for gap in follower.gaps)
    except (BusUnavailableError, KafkaError, OSError) as error:
        raise RebuildError(f"cannot read the log: {error}") from error
    finally:
        await store.close()
    events, duplicates, bad, newer = counts
    return RebuildResult(events, duplicates, bad, missing, await digest(store_url), newer)


async def dump(store_url: str) -> bytes:
    """Return all that play has earned, as text in the order of its keys. Raises StoreUnavailableError."""
    connections = ConnectionPool(store_url, DUMP_S)
    found = io.BytesIO()
    try:
        async with connections.acquire() as connection:
            for table, (key, columns) in PROGRESSION_TABLES.items():
                found.write(f"-- {table}\n".encode())
                await connection.copy_from_query(
                    f"SELECT {columns} FROM {table} ORDER BY {key}", output=found
                )
    finally:
        await connections.close()
    return found.getvalue()


async def digest(store_url: str) -> str:
    """Return the SHA-256 of ``dump``, hexadecimal. Raises StoreUnavailableError."""
    return hashlib.sha256(await dump(store_url)).hexdigest()
