"""One batch: what is applied in one transaction, and the bisection of one that the store refuses."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from asyncpg.pgproto.pgproto import UUID  # made, compared and hashed in C, at a tenth of uuid.UUID's price

from rewards.arrival import Judge
from rewards.errors import BadEventError, StoreRefusedError
from rewards.events import Envelope
from rewards.events.parse import ReadEvent, read_event
from rewards.records import BadRecord, Partition, RawRecord

RESULT = "match_ended"
"""The kind of event whose order matters: ratings come out of it."""


@dataclass(slots=True)  # not frozen, as RawRecord is not
class ParsedEvent:
    """A record whose value is an event; never changed."""

    raw: RawRecord
    event_id: uuid.UUID  # of asyncpg's kind
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class NewerEvent:
    """An event that is kept for a program that knows more.

    Attributes:
        newer: what of it this program does not know; "" for a result that only waits its turn behind another.
        is_result: it moves ratings, which depend on the order of results.
    """

    raw: RawRecord
    event_id: uuid.UUID
    newer: str
    is_result: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What is applied in one transaction.

    Attributes:
        events: the records that are events, in the order of their partitions.
        bad_records: those that are none.
        next_offsets: for each partition, the offset after its last record here.
        newer: the events that are newer than this program, which are kept, in the order of their partitions.
        taken_up: entries of kept events that are here again, to be deleted with their effect.
        rated_only: ids of results among ``events`` that had all their effect before, but for the ratings.
    """

    events: Sequence[ParsedEvent]
    bad_records: Sequence[BadRecord]
    next_offsets: Mapping[Partition, int]
    newer: Sequence[NewerEvent] = ()
    taken_up: Sequence[int] = ()
    rated_only: Collection[uuid.UUID] = field(default=frozenset())


class BatchBuilder:
    """A batch in the making: add records in the order of their partitions.

    Args:
        read: reads an event, and tells what of it is newer.
        judge: tells of an event whose time cannot be right; None: all may be.
    """

    def __init__(self, read: ReadEvent = read_event, judge: Judge | None = None) -> None:
        self._read = read
        self._judge = judge
        self._events: list[ParsedEvent] = []
        self._bad_records: list[BadRecord] = []
        self._next_offsets: dict[Partition, int] = {}
        self._newer: list[NewerEvent] = []

    def add(self, records: Iterable[RawRecord]) -> None:
        """Parse some more records."""
        events, next_offsets, read, judge = self._events, self._next_offsets, self._read, self._judge
        for raw in records:
            next_offsets[raw.topic, raw.partition] = raw.offset + 1
            try:
                envelope, newer = read(raw.value)
            except BadEventError as error:
                self._bad_records.append(BadRecord(raw, str(error)))
                continue
            if judge is not None and (bad := judge(raw, envelope)) is not None:
                self._bad_records.append(bad)
                continue
            event_id = UUID(envelope.event_id)
            if newer:
                is_result = envelope.WhichOneof("event") == RESULT
                self._newer.append(NewerEvent(raw, event_id, newer, is_result))
            else:
                events.append(ParsedEvent(raw, event_id, envelope))

    def build(self) -> Batch:
        """Return the batch of what was added."""
        return Batch(self._events, self._bad_records, self._next_offsets, self._newer)


def parse_batch(
    records: Iterable[RawRecord], read: ReadEvent = read_event, judge: Judge | None = None
) -> Batch:
    """Parse records, in the order of their partitions, into one batch."""
    builder = BatchBuilder(read, judge)
    builder.add(records)
    return builder.build()


async def apply_or_bisect(
    records: Sequence[RawRecord],
    apply: Callable[[Batch], Awaitable[object]],
    batch: Batch | None = None,
    parse: Callable[[Sequence[RawRecord]], Batch] = parse_batch,
) -> None:
    """Apply records; find one that the store refuses by bisection, and apply it as a bad record instead.

    Args:
        records: in the order of their partitions.
        apply: stores one batch, all or nothing; raises StoreRefusedError for what the store will never take.
        batch: the same records parsed, where the caller has done that already.
        parse: makes a batch of some of them.

    Raises whatever else ``apply`` raises.
    """
    batch = parse(records) if batch is None else batch
    try:
        await apply(batch)
    except StoreRefusedError as error:
        if len(records) == 1:
            await apply(replace(batch, events=(), newer=(), bad_records=[BadRecord(records[0], str(error))]))
            return
        middle = len(records) // 2
        await apply_or_bisect(records[:middle], apply, parse=parse)
        await apply_or_bisect(records[middle:], apply, parse=parse)
