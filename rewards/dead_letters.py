"""Dead letters: records that were no events, on a topic of their own, with reason and origin as headers.

The consumer writes them; an operator lists them, looks at one, and resends them to the topic that they came
from. A letter is named by its origin, ``topic/partition/offset``. A crash between the letter and the offset
that passes it leaves the letter on the topic twice; whoever lists or counts letters takes each of an origin
once. A topic that was made anew has the old one's origins again, of other records.
Resending a letter is safe: an event that counts after all is known by its id from then on, and one that is
still bad becomes a letter of its new place. An event whose producer's clock was wrong is resent with the time
at which it arrived.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.resilience.bus import BusAddress
from rewards.errors import BadEventError, BusUnavailableError, DeadLettersError
from rewards.events import DEAD_LETTERS, parse_envelope
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.kafka_clients import answered, reader
from rewards.events.topics import partitions_of
from rewards.records import BadRecord

REASON_HEADER = "launchday-reason"
TOPIC_HEADER = "launchday-origin-topic"
PARTITION_HEADER = "launchday-origin-partition"
OFFSET_HEADER = "launchday-origin-offset"
ARRIVED_HEADER = "launchday-arrived-ms"  # of an event whose own time cannot be right
MAX_CUT_BYTES = 64 * 1024  # of a record that is too large for a letter
POLL_MS = 250
MAX_IDLE_POLLS = 20  # five seconds without a record: what is left before the end are no records
NEWEST_S = 8.0  # to read the newest: whoever asks the service for them waits for 10
ALL_S = 300.0  # to read them all, for a command: some millions


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter.

    Attributes:
        origin: where the record was: ``topic/partition/offset``.
        timestamp_ms: the record's, Unix milliseconds.
        key, value: the record, as it came.
        reason: why it was bad when it was read.
        arrived_ms: when it arrived, Unix milliseconds, if the reason is its time; else 0.
    """

    origin: str
    timestamp_ms: int
    key: bytes
    value: bytes
    reason: str
    arrived_ms: int = 0

    @property
    def topic(self) -> str:
        """The topic that it came from."""
        return self.origin.rsplit("/", 2)[0]

    @property
    def current_error(self) -> str:
        """Why this program would refuse it today; empty when it would take it."""
        try:
            parse_envelope(self.value)
        except BadEventError as error:
            return str(error)
        return "its time cannot be right: resend it --at-arrival" if self.arrived_ms else ""

    def at_arrival(self) -> DeadLetter:
        """The same event, as if it had happened when it arrived; itself where its time was not the reason."""
        if not self.arrived_ms:
            return self
        envelope = parse_envelope(self.value)
        envelope.occurred_at = self.arrived_ms / 1000
        return replace(self, value=envelope.SerializeToString(), timestamp_ms=self.arrived_ms, arrived_ms=0)


class DeadLetterWriter:
    """Writes dead letters; connects when there is a first one.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
    """

    def __init__(self, bus: BusAddress, prefix: str) -> None:
        self._bus = bus
        self._topic = DEAD_LETTERS.name(prefix)
        self._sender: KafkaSender | None = None

    async def send(self, records: Sequence[BadRecord]) -> None:
        """Write bad records; returns once the broker has acknowledged them. Raises BusUnavailableError."""
        if not records:
            return
        if self._sender is None:
            self._sender = await KafkaSender.open(self._bus, "rewards-dead-letters")
        try:
            refused = await self._sender.send([self._letter_of(record) for record in records])
            if refused:  # as large as a record may be: with our headers it is larger
                await self._sender.send([self._letter_of(_cut(records[place])) for place in refused])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()

    def _letter_of(self, record: BadRecord) -> KafkaRecord:
        raw = record.raw
        return KafkaRecord(
            self._topic,
            raw.key if raw.key is not None else raw.origin.encode(),
            raw.value if raw.value is not None else b"",
            raw.timestamp_ms,
            (
                (REASON_HEADER, record.reason.encode()),
                (TOPIC_HEADER, raw.topic.encode()),
                (PARTITION_HEADER, b"%d" % raw.partition),
                (OFFSET_HEADER, b"%d" % raw.offset),
                *([(ARRIVED_HEADER, b"%d" % round(record.arrived_s * 1000))] if record.arrived_s else []),
            ),
        )


def _cut(record: BadRecord) -> BadRecord:
    """The same with the beginning of its value alone."""
    value = record.raw.value or b""
    cut = replace(record.raw, key=(record.raw.key or b"")[:MAX_CUT_BYTES], value=value[:MAX_CUT_BYTES])
    reason = f"{record.reason}; too large for a letter: the first {MAX_CUT_BYTES} of its {len(value)} bytes"
    return replace(record, raw=cut, reason=reason)


async def read_all(bus: BusAddress, prefix: str) -> list[DeadLetter]:
    """Read all letters on the topic, in order, each of an origin once. Raises DeadLettersError."""
    found: dict[tuple[str, bytes], DeadLetter] = {}
    async with _reader(bus, prefix, ALL_S) as (kafka, partitions):
        starts = await kafka.beginning_offsets(partitions)
        async for letter in _letters_from(kafka, starts):
            found.setdefault((letter.origin, letter.value), letter)
    return list(found.values())


async def read_newest(bus: BusAddress, prefix: str, limit: int) -> list[DeadLetter]:
    """Read the newest letters by their records' time, the newest first, each of an origin once.

    Raises DeadLettersError.
    """
    found: dict[tuple[str, bytes], DeadLetter] = {}
    async with _reader(bus, prefix, NEWEST_S) as (kafka, partitions):
        first, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
        starts = {partition: max(first[partition], ends[partition] - limit) for partition in partitions}
        async for letter in _letters_from(kafka, starts):
            found.setdefault((letter.origin, letter.value), letter)
    last_first = reversed(found.values())  # of one time the one that arrived last
    return sorted(last_first, key=lambda letter: letter.timestamp_ms, reverse=True)[:limit]


async def resend(bus: BusAddress, letters: Sequence[DeadLetter]) -> None:
    """Send letters to their topics again, as they were.

    Raises DeadLettersError; some may have been sent then.
    """
    try:
        sender = await KafkaSender.open(bus, "launchday-dead-letters")
        try:
            await sender.send(
                [
                    KafkaRecord(letter.topic, letter.key, letter.value, letter.timestamp_ms)
                    for letter in letters
                ]
            )
        finally:
            await sender.close()
    except BusUnavailableError as error:
        raise DeadLettersError(str(error)) from error


@contextlib.asynccontextmanager
async def _reader(
    bus: BusAddress, prefix: str, within_s: float
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer that has all partitions of the topic; the block takes ``within_s`` seconds at most."""
    topic = DEAD_LETTERS.name(prefix)
    what = f"reading {topic}"
    try:
        numbers = await partitions_of(bus, topic)
        if not numbers:
            raise DeadLettersError(f"there is no topic {topic} at {bus}")
        partitions = [TopicPartition(topic, number) for number in numbers]
        async with (
            reader(bus, what, start_s=NEWEST_S, auto_offset_reset="earliest") as kafka,
            answered(bus, what, within_s),
        ):
            kafka.assign(partitions)
            yield kafka, partitions
    except BusUnavailableError as error:
        raise DeadLettersError(f"cannot read the dead letters: {error}") from error


async def _letters_from(
    kafka: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[DeadLetter]:
    """Yield the letters from these offsets to the end.

    A poll without a record is not the end: the first ones only learn who leads. Nor is the end that the
    broker names: the embedded one names the start of its last batch. So it is read to the named end and on to
    the next empty poll.
    """
    ends = await kafka.end_offsets(list(starts))
    reached = dict(starts)
    for partition, offset in starts.items():
        kafka.seek(partition, offset)
    idle = 0
    while idle == 0 or (idle < MAX_IDLE_POLLS and any(reached[each] < end for each, end in ends.items())):
        polled = await kafka.getmany(timeout_ms=POLL_MS)
        idle = 0 if polled else idle + 1
        for partition, records in polled.items():
            reached[partition] = records[-1].offset + 1
            for record in records:
                yield _read_letter(record)


def _read_letter(record: Any) -> DeadLetter:
    headers = dict(record.headers)

    def text(name: str) -> str:
        return str(headers.get(name, b"").decode(errors="replace"))

    origin = "/".join(text(name) for name in (TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER))
    arrived = text(ARRIVED_HEADER)
    return DeadLetter(
        origin,
        record.timestamp,
        record.key or b"",
        record.value or b"",
        text(REASON_HEADER),
        int(arrived) if arrived.isdecimal() else 0,
    )
