"""Records of the event topics, as they came from Kafka, and the id that the inbox knows each of them by."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from rewards.errors import BadEventError
from rewards.events import parse_envelope

_LOG_APPEND_TIME = 1  # Kafka's timestamp type of a topic whose broker stamps records

Partition = tuple[str, int]
"""Topic and partition number."""


# One of each an event: freezing them would cost 2 µs an event, a tenth of all that applying it takes.
@dataclass(slots=True)
class RawRecord:
    """One record as it came from Kafka; never changed.

    Attributes:
        offset: its place in the partition.
        timestamp_ms: Unix milliseconds, by the broker's clock if ``is_stamped``, else as its producer says.
        is_stamped: the broker has set the time at which it arrived.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    is_stamped: bool = field(default=False, kw_only=True)

    @property
    def origin(self) -> str:
        """Where the record is: ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def dead_letter_id(self) -> uuid.UUID:
        """The id that a bad record has in the inbox, made of its place and content: it has no other."""
        place = f"{self.origin}/".encode()
        return uuid.UUID(bytes=hashlib.sha256(place + (self.value or b"")).digest()[:16], version=5)

    @property
    def inbox_id(self) -> uuid.UUID:
        """The id that the inbox knows the record by, good or bad."""
        try:
            return uuid.UUID(bytes=parse_envelope(self.value).event_id)
        except BadEventError:
            return self.dead_letter_id


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that goes to the dead letters, and the reason.

    Attributes:
        producer: whose clock is wrong, where that is the reason.
        arrived_s: when such an event arrived, Unix seconds.
    """

    raw: RawRecord
    reason: str
    producer: str = ""
    arrived_s: float = 0.0


def raw_record(record: Any) -> RawRecord:
    """Copy the needed fields of aiokafka's ``ConsumerRecord``, which has no types."""
    return RawRecord(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        record.timestamp,
        is_stamped=getattr(record, "timestamp_type", None) == _LOG_APPEND_TIME,
    )
