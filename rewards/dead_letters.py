"""The dead-letter topic: bad records as they came, with the reason and where they came from in the headers."""

from __future__ import annotations

from collections.abc import Sequence

from rewards.consumer.batch import BadRecord
from rewards.events import DEAD_LETTERS
from rewards.events.kafka import KafkaSender, Record

REASON_HEADER = "launchday-reason"
TOPIC_HEADER = "launchday-origin-topic"
PARTITION_HEADER = "launchday-origin-partition"
OFFSET_HEADER = "launchday-origin-offset"


class DeadLetterWriter:
    """Writes dead letters; connects when there is a first one.

    A crash between the letter and the offset that passes it leaves the letter twice, with the same origin: readers that count
    go by origin.
    """

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._topic = DEAD_LETTERS.name(prefix)
        self._link: KafkaSender | None = None

    async def send(self, letters: Sequence[BadRecord]) -> None:
        """Write letters; returns once the broker has acknowledged them. Raises BusUnavailableError."""
        if not letters:
            return
        if self._link is None:
            self._link = await KafkaSender.open(self._bootstrap, "rewards-dead-letters")
        try:
            await self._link.send([self._record(letter) for letter in letters])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _record(self, letter: BadRecord) -> Record:
        raw = letter.raw
        origin = f"{raw.topic}/{raw.partition}/{raw.offset}".encode()
        return Record(
            self._topic,
            raw.key if raw.key is not None else origin,
            raw.value if raw.value is not None else b"",
            raw.timestamp_ms,
            (
                (REASON_HEADER, letter.reason.encode()),
                (TOPIC_HEADER, raw.topic.encode()),
                (PARTITION_HEADER, b"%d" % raw.partition),
                (OFFSET_HEADER, b"%d" % raw.offset),
            ),
        )
