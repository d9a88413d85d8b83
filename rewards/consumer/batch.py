"""One batch: what is applied in one transaction, and the bisection of one that the store refuses."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from asyncpg.pgproto.pgproto import UUID  # made, compared and hashed in C, at a tenth of uuid.UUID's price

from rewards.errors import BadEventError, StoreRefusedError
from rewards.events import Envelope, parse_envelope
from rewards.records import BadRecord, Partition, RawRecord


@dataclass(slots=True)  # not frozen, as RawRecord is not
class ParsedEvent:
    """A record whose value is an event; never changed."""

    raw: RawRecord
    event_id: uuid.UUID  # of asyncpg's kind
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Batch:
    """What is applied in one transaction.

    Attributes:
        events: the records that are events, in the order of their partitions.
        bad_records: those that are none.
        next_offsets: for each partition, the offset after its last record here.
    """

    events: Sequence[ParsedEvent]
    bad_records: Sequence[BadRecord]
    next_offsets: Mapping[Partition, int]


class BatchBuilder:
    """A batch in the making: add records in the order of their partitions."""

    def __init__(self) -> None:
        self._events: list[ParsedEvent] = []
        self._bad_records: list[BadRecord] = []
        self._next_offsets: dict[Partition, int] = {}

    def add(self, records: Iterable[RawRecord]) -> None:
        """Parse some more records."""
        events, next_offsets = self._events, self._next_offsets
        for raw in records:
            next_offsets[raw.topic, raw.partition] = raw.offset + 1
            try:
                envelope = parse_envelope(raw.value)
            except BadEventError as error:
                self._bad_records.append(BadRecord(raw, str(error)))
            else:
                events.append(ParsedEvent(raw, UUID(envelope.event_id), envelope))

    def build(self) -> Batch:
        """Return the batch of what was added."""
        return Batch(self._events, self._bad_records, self._next_offsets)


def parse_batch(records: Iterable[RawRecord]) -> Batch:
    """Parse records, in the order of their partitions, into one batch."""
    builder = BatchBuilder()
    builder.add(records)
    return builder.build()


async def apply_or_bisect(
    records: Sequence[RawRecord], apply: Callable[[Batch], Awaitable[object]], batch: Batch | None = None
) -> None:
    """Apply records; find one that the store refuses by bisection, and apply it as a bad record instead.

    Args:
        records: in the order of their partitions.
        apply: stores one batch, all or nothing; raises StoreRefusedError for what the store will never take.
        batch: the same records parsed, where the caller has done that already.

    Raises whatever else ``apply`` raises.
    """
    batch = parse_batch(records) if batch is None else batch
    try:
        await apply(batch)
    except StoreRefusedError as error:
        if len(records) == 1:
            await apply(Batch((), [BadRecord(records[0], str(error))], batch.next_offsets))
            return
        middle = len(records) // 2
        await apply_or_bisect(records[:middle], apply)
        await apply_or_bisect(records[middle:], apply)
