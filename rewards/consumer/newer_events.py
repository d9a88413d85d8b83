"""Events that are newer than the program that read them: kept, and taken up by one that knows them.

They do not enter the inbox, so nobody finds a duplicate later. They lie in ``newer_events`` with their bytes
and in the order in which they were read. Every consumer looks through what waits when it gets its partitions,
and at what is added every two seconds. It applies what it understands, in that order and through the inbox:
several may do so at once, and an event that was sent twice counts once.

Everything that events do adds up, but for ratings, which depend on the order of results. So while a result
waits, the results behind it give their points and leave their rating here, to be made up in its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from launchday.clock import Clock
from rewards import metrics
from rewards.consumer import statements
from rewards.consumer.batch import Batch, NewerEvent, ParsedEvent, parse_batch
from rewards.errors import BadEventError
from rewards.events.parse import ReadEvent
from rewards.records import RawRecord

MAX_EVENTS = 2_000  # taken up in one transaction
MAX_NAMED = 20  # causes that are listed
LOOK_S = 2.0  # between two looks at what other consumers have kept
TELL_S = 30.0  # between two counts of what waits: they read the whole table
# One transaction at a time gives out entry numbers, so that whoever has seen an entry has seen all before it.
_LOCK = 0x6E65776572  # "newer"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WaitingEvents:
    """What waits for a program that knows more.

    Attributes:
        events: how many.
        oldest_at: when the first of them was kept, Unix seconds; 0 where none waits.
        by_cause: what is newer about them, with the number of events, the most frequent first.
    """

    events: int
    oldest_at: float
    by_cause: tuple[tuple[str, int], ...]


async def keep(connection: Any, events: Iterable[NewerEvent], now_s: float) -> int:
    """Keep events, those of a partition in its order; return how many were not kept already."""
    rows = sorted(events, key=lambda each: (each.raw.topic, each.raw.partition, each.raw.offset))
    if not rows:
        return 0
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    raws = [row.raw for row in rows]
    kept = await connection.fetch(
        statements.KEEP_NEWER,
        [row.event_id for row in rows],
        [raw.topic for raw in raws],
        [raw.partition for raw in raws],
        [raw.offset for raw in raws],
        [raw.key for raw in raws],
        [raw.value for raw in raws],
        [raw.timestamp_ms for raw in raws],
        [row.newer for row in rows],
        [row.is_result for row in rows],
        now_s,
    )
    return len(kept)


async def forget(connection: Any, entries: Sequence[int]) -> None:
    """Delete entries whose events have their effect in this transaction."""
    if entries:
        await connection.execute("DELETE FROM newer_events WHERE entry_no = ANY($1::bigint[])", entries)


async def a_result_waits(connection: Any) -> bool:
    """Whether a result waits, so that the ratings of later ones have to wait, too."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM newer_events WHERE is_result)"))


def split_results(
    batch: Batch, results: Sequence[ParsedEvent]
) -> tuple[list[ParsedEvent], list[ParsedEvent]]:
    """Part results that are fresh into those before, and those behind, a newer result of the same batch."""
    first: dict[tuple[str, int], int] = {}
    for each in batch.newer:
        if each.is_result:
            first.setdefault((each.raw.topic, each.raw.partition), each.raw.offset)
    behind = [
        each
        for each in results
        if each.raw.offset > first.get((each.raw.topic, each.raw.partition), each.raw.offset)
    ]
    late = {each.event_id for each in behind}
    return [each for each in results if each.event_id not in late], behind


def in_their_turn(results: Iterable[ParsedEvent]) -> list[NewerEvent]:
    """Results whose points are given and whose ratings wait."""
    return [NewerEvent(each.raw, each.event_id, "", is_result=True) for each in results]


async def waiting(connection: Any) -> WaitingEvents:
    """Count what waits."""
    rows = await connection.fetch(statements.COUNT_NEWER)
    return WaitingEvents(
        events=sum(row["events"] for row in rows),
        oldest_at=min((row["oldest"] for row in rows), default=0.0),
        by_cause=tuple(
            (row["newer"] or "its rating waits behind another result", row["events"])
            for row in rows[:MAX_NAMED]
        ),
    )


class NewerStore(Protocol):
    """Where events wait; `rewards.consumer.store.Store` is the real one."""

    async def newer_after(self, entry: int, limit: int) -> Sequence[Any]:
        """Return the next entries behind an entry, in their order. Raises StoreUnavailableError."""

    async def newer_waiting(self) -> WaitingEvents:
        """Count all that waits. Raises StoreUnavailableError."""


@dataclass(slots=True)
class KeptRecord(RawRecord):
    """A record that was kept.

    Attributes:
        entry_no: its place among those that wait.
        is_rated_only: it is a result that gave its points before, and only waits to be rated.
    """

    entry_no: int
    is_rated_only: bool


class NewerEvents:
    """The events that wait in a store, as one program sees them: what it understands it finds once.

    Args:
        store: where they wait.
        read: reads an event, and tells what of it is newer than this program.
        clock: its monotonic time decides when to look.
    """

    def __init__(self, store: NewerStore, read: ReadEvent, clock: Clock) -> None:
        self._store = store
        self._read = read
        self._clock = clock
        self._told: set[str] = set()  # causes that the log has named
        self._tell_at = 0.0
        self.restart()

    def restart(self) -> None:
        """Look at everything again: another program may have gone in the middle, or the store was away."""
        self._seen = 0  # the entry that was looked at last
        self._is_blocked = False  # a result was not understood: those behind it wait
        self._look_at = 0.0

    async def next(self) -> list[KeptRecord]:
        """Return what this program understands among the next entries; none where it is not time to look.

        Raises StoreUnavailableError.
        """
        now = self._clock.monotonic()
        if now < self._look_at:
            return []
        rows = await self._store.newer_after(self._seen, MAX_EVENTS)
        if rows:
            self._seen = rows[-1]["entry_no"]
        else:
            self._look_at = now + LOOK_S
            if now >= self._tell_at:
                self._tell_at = now + TELL_S
                await self._tell()
        return [kept for row in rows if self._is_due(kept := _record(row), row["is_result"])]

    def note(self, batch: Batch, kept: int) -> None:
        """Count what a batch kept and took up, and log each cause when it is first met."""
        metrics.NEWER_EVENTS.labels("kept").inc(kept)
        metrics.NEWER_EVENTS.labels("taken up").inc(len(batch.taken_up))
        if batch.taken_up:
            log.info("rewards_newer_events_taken_up", events=len(batch.taken_up))
        for event in batch.newer:
            if event.newer not in self._told and len(self._told) < MAX_NAMED:
                self._told.add(event.newer)
                log.warning(
                    "rewards_newer_event_kept",
                    newer=event.newer,
                    next_step="upgrade rewards, which takes it up",
                    origin=event.raw.origin,
                )

    async def _tell(self) -> None:
        found = await self._store.newer_waiting()
        metrics.NEWER_WAITING.set(found.events)
        if found.events:
            log.warning(
                "rewards_newer_events_wait",
                events=found.events,
                oldest_s=round(self._clock.wall() - found.oldest_at),
                causes=dict(found.by_cause),
            )

    def batch(self, records: Sequence[RawRecord]) -> Batch:
        """Make the batch of records that ``next`` has found."""
        kept = [record for record in records if isinstance(record, KeptRecord)]
        made = parse_batch(kept, self._read)
        return replace(
            made,
            next_offsets={},
            taken_up=[record.entry_no for record in kept],
            rated_only={
                event.event_id
                for event in made.events
                if isinstance(event.raw, KeptRecord) and event.raw.is_rated_only
            },
        )

    def _is_due(self, record: KeptRecord, is_result: bool) -> bool:
        if is_result and self._is_blocked:
            return False
        try:
            newer = self._read(record.value)[1]
        except BadEventError:
            newer = ""  # it becomes a dead letter
        if newer and is_result:
            self._is_blocked = True
        return not newer


def _record(row: Any) -> KeptRecord:
    return KeptRecord(
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["key"],
        row["envelope"],
        row["timestamp_ms"],
        row["entry_no"],
        not row["newer"],
    )
