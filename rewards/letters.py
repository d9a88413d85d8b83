"""What an operator does about dead letters: list them, look at one, send them to where they came from again.

A letter is named by its origin, ``topic/partition/offset``. A crash may leave it on the topic twice; it is listed once. Sending one again
is safe: an event that counts after all is known by its id from then on, and one that is still bad becomes a letter of its new place.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rewards import dead_letters
from rewards.errors import DeadLettersError
from rewards.events import DEAD_LETTERS, BadEventError, BusUnavailableError, parse_envelope
from rewards.events.kafka import KafkaSender, Record

POLL_MS = 250


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        origin: where the record was: topic/partition/offset.
        timestamp_ms: the record's, Unix milliseconds.
        key, value: the record, as it came.
        reason: why it was bad when it was read.
    """

    origin: str
    timestamp_ms: int
    key: bytes
    value: bytes
    reason: str

    @property
    def topic(self) -> str:
        """The topic that it came from."""
        return self.origin.rsplit("/", 2)[0]

    @property
    def still_bad(self) -> str:
        """Why this program would not take it either; empty when it would."""
        try:
            parse_envelope(self.value)
        except BadEventError as error:
            return str(error)
        return ""


async def read(bootstrap: str, prefix: str) -> list[Letter]:
    """All letters on the topic, in order, each origin once. Raises LettersError."""
    found: dict[str, Letter] = {}
    async with _reader(bootstrap, prefix) as (kafka, partitions):
        for partition in partitions:
            await kafka.seek_to_beginning(partition)
            reached = await kafka.position(partition)
            # The embedded broker tells the start of its last batch for its end, so a poll that brings nothing ends it.
            while records := (await kafka.getmany(partition, timeout_ms=POLL_MS)).get(partition):
                reached = records[-1].offset + 1
                for record in records:
                    letter = _letter(record)
                    found.setdefault(letter.origin, letter)
                if reached >= (kafka.highwater(partition) or 0):
                    break
    return list(found.values())


async def newest(bootstrap: str, prefix: str, limit: int) -> list[Letter]:
    """The newest letters by their records' time, the newest first, each origin once. Raises LettersError."""
    found: dict[str, Letter] = {}
    async with _reader(bootstrap, prefix) as (kafka, partitions):
        first = await kafka.beginning_offsets(partitions)
        for partition, end in (await kafka.end_offsets(partitions)).items():
            kafka.seek(partition, max(first[partition], end - limit))
        while records := await kafka.getmany(timeout_ms=POLL_MS):
            for letter in (_letter(record) for some in records.values() for record in some):
                found.setdefault(letter.origin, letter)
    return sorted(found.values(), key=lambda letter: letter.timestamp_ms, reverse=True)[:limit]


@contextlib.asynccontextmanager
async def _reader(
    bootstrap: str, prefix: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer that has all partitions of the topic."""
    topic = DEAD_LETTERS.name(prefix)
    kafka = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await kafka.start()
        if not kafka.partitions_for_topic(topic):
            # Not known yet: ask once more, for a client hears only of topics that it wants.
            await kafka.topics()
        partitions = [TopicPartition(topic, number) for number in kafka.partitions_for_topic(topic) or ()]
        if not partitions:
            raise DeadLettersError(f"there is no topic {topic} at {bootstrap}")
        kafka.assign(partitions)
        yield kafka, partitions
    except (KafkaError, OSError) as error:
        raise DeadLettersError(f"cannot read {topic} at {bootstrap}: {error}") from error
    finally:
        await kafka.stop()


async def replay(bootstrap: str, letters: Sequence[Letter]) -> None:
    """Send letters to their topics again, as they were. Raises LettersError; some may have been sent then."""
    try:
        link = await KafkaSender.open(bootstrap, "launchday-letters")
        try:
            await link.send(
                [Record(letter.topic, letter.key, letter.value, letter.timestamp_ms) for letter in letters]
            )
        finally:
            await link.close()
    except BusUnavailableError as error:
        raise DeadLettersError(str(error)) from error


def _letter(record: Any) -> Letter:
    headers = dict(record.headers)

    def word(name: str) -> str:
        return str(headers.get(name, b"").decode(errors="replace"))

    origin = "/".join(
        word(name)
        for name in (dead_letters.TOPIC_HEADER, dead_letters.PARTITION_HEADER, dead_letters.OFFSET_HEADER)
    )
    return Letter(
        origin, record.timestamp, record.key or b"", record.value or b"", word(dead_letters.REASON_HEADER)
    )
