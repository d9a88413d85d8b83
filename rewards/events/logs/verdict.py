"""What became of a log since it was last read, and where to go on: a pure function.

Offsets alone do not tell. A log that was deleted and made anew counts from 0 again, and once it is longer
than the old one was, an offset of the old one names a record of the new. So the topic's id is remembered
beside the offset, and the record before the offset is looked at again where an id cannot tell: where the
broker has none, and where a leader without the newest records was elected, which keeps the id and cuts the
log's end.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition was read.

    Attributes:
        next_offset: the offset after the last record read.
        topic_id: of the topic that it was read from; None where nobody knows.
    """

    next_offset: int
    topic_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LogState:
    """What the broker says of a partition now.

    Attributes:
        begins_at: the offset of its first record, or of its next one where it has none.
        topic_id: of its topic; None from a broker without ids (Kafka before 2.8).
    """

    begins_at: int
    topic_id: UUID | None = None


class Before(enum.Enum):
    """What lies just before a position: the record that was read last, if it is the log that was read."""

    NOT_ASKED = enum.auto()  # it could decide nothing
    READ = enum.auto()  # the record is one that was read
    ANOTHER = enum.auto()  # a record that was never read
    BEYOND_THE_END = enum.auto()  # the log ends before it
    NO_RECORD = enum.auto()  # the log goes on behind it: it holds a transaction's mark, or was compacted


class Finding(enum.StrEnum):
    """What became of a log."""

    SAME = "same"
    CUT = "cut"  # its beginning is gone: retention, or delete_records
    REPLACED = "replaced"  # another log has its place: the topic was made anew, or the broker lost its data
    TRUNCATED = "truncated"  # its end is gone: an election of a leader that lacked the newest records


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where to go on, and what is missing.

    Attributes:
        start: the offset to read from.
        missing: records that nobody can read any more and that were not read: 0 of the same log, None where
            nobody knows how many the old one had.
    """

    finding: Finding
    start: int
    missing: int | None = 0


def needs_witness(position: Position, log: LogState) -> bool:
    """Whether the record before the position has to be looked at before a verdict."""
    return not _is_another(position, log) and position.next_offset > log.begins_at


def judge(position: Position, log: LogState, before: Before = Before.NOT_ASKED) -> Verdict:
    """Decide where to go on in a partition.

    Args:
        position: how far it was read.
        log: what there is to read now.
        before: what lies before the position; asked for where `needs_witness` says so.

    Another log is read from its beginning, and so is a truncated one: how much of its end is new nobody can
    tell from an offset, and what is read again counts once, by its id.
    """
    if _is_another(position, log):
        return Verdict(Finding.REPLACED, log.begins_at, None)
    if log.begins_at > position.next_offset:
        return Verdict(Finding.CUT, log.begins_at, log.begins_at - position.next_offset)
    if needs_witness(position, log) and before in (Before.ANOTHER, Before.BEYOND_THE_END):
        same_topic = position.topic_id is not None and position.topic_id == log.topic_id
        return Verdict(Finding.TRUNCATED if same_topic else Finding.REPLACED, log.begins_at, None)
    return Verdict(Finding.SAME, position.next_offset)


def _is_another(position: Position, log: LogState) -> bool:
    return None not in (position.topic_id, log.topic_id) and position.topic_id != log.topic_id
