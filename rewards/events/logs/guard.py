"""Whether what was read is still of the log that the positions are in.

Asked after each read and before anything of it is applied: the answer names a log that is at least as new as
the records, so where it is the one that the positions are in, the records are of it, too. The check is a
comparison of a few numbers; the question costs a round trip while the store works on the batch before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rewards.events.logs.identity import LogIdentity, identify


@dataclass(frozen=True, slots=True)
class Span:
    """Records that were read of one partition in one go: ``first`` to ``next_offset`` − 1.

    Attributes:
        timestamp_ms: of the first one, Unix milliseconds.
    """

    partition: TopicPartition
    first: int
    next_offset: int
    timestamp_ms: int = 0


def span_of(partition: TopicPartition, records: Sequence[Any]) -> Span:
    """Where records of aiokafka's lie, at least one."""
    first = records[0]
    return Span(partition, first.offset, records[-1].offset + 1, first.timestamp)


class LogGuard:
    """Knows which logs a session's positions are in.

    With a broker that has no ids of topics, everything counts as changed each time that aiokafka renews its
    metadata, as it does after an error of a fetch and a lost connection. Whoever goes back to the stored
    offsets then looks at the last records.

    Attributes:
        seen_ends: where each log ended by the last read that was of it; it outlives a session.
        doubtful: up to where records were read that may have been of the log, or of the one after it.
    """

    def __init__(self) -> None:
        self.seen_ends: dict[TopicPartition, int] = {}
        self.doubtful: dict[TopicPartition, int] = {}
        self._logs: Mapping[TopicPartition, LogIdentity] = {}
        self._suspect = False

    def watch(self, kafka: AIOKafkaConsumer) -> None:
        """Notice when aiokafka renews what it knows of a started consumer's topics."""
        kafka._client.cluster.add_listener(self._on_metadata)

    def begin(self, logs: Mapping[TopicPartition, LogIdentity]) -> None:
        """Take positions in these logs."""
        for partition, identity in logs.items():
            before = self._logs.get(partition)
            if before is not None and before.topic_id != identity.topic_id:
                self.seen_ends.pop(partition, None)
        self.doubtful.clear()
        self._logs = {**self._logs, **logs}
        self._suspect = False

    async def look(
        self, kafka: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, LogIdentity]:
        """Ask which logs partitions are; none where the broker does not say: then they may be any."""
        try:
            return await identify(kafka, partitions)
        except (KafkaError, OSError, TimeoutError):
            return {}

    def missing(self, partition: TopicPartition, next_offset: int) -> int | None:
        """How many records of a log that is gone were never read, at least; None where nobody saw its end."""
        end = self.seen_ends.get(partition)
        if end is None:
            return None
        return max(0, end - max(next_offset, self.doubtful.get(partition, 0)))

    async def is_ours(
        self,
        kafka: AIOKafkaConsumer,
        spans: Sequence[Span],
        logs: Mapping[TopicPartition, LogIdentity],
        next_offsets: Mapping[TopicPartition, int],
    ) -> bool:
        """Whether a read goes on where its partitions' last one ended, in the same logs.

        Args:
            kafka: which read it.
            spans: where it lies.
            logs: which logs its partitions were after it.
            next_offsets: where the last read ended.
        """
        partitions = {span.partition for span in spans}
        whole = self.unchanged(logs, partitions)
        if whole and (found := leaps(spans, next_offsets)):
            # aiokafka leaps to the beginning where it is told that an offset is not there. A leap in a log
            # that was not cut is over marks of transactions, or what was compacted.
            try:
                begins_at = await kafka.beginning_offsets(list(found))
            except (KafkaError, OSError, TimeoutError):
                begins_at = {}
            whole = all(
                begins_at.get(tp, leap.next_offset) <= leap.first < leap.next_offset
                for tp, leap in found.items()
            )
        if whole:
            self._note_ends(kafka, partitions)
        else:
            self._note_doubtful(spans, next_offsets)
        return whole

    def unchanged(self, found: Mapping[TopicPartition, LogIdentity], of: Iterable[TopicPartition]) -> bool:
        """Whether partitions are the logs that the positions are in, by what was just found of them."""
        for partition in of:
            ours = self._logs.get(partition)
            if ours is None or found.get(partition) != ours:
                return False
            if ours.topic_id is None and self._suspect:
                return False
        return True

    def _note_ends(self, kafka: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Remember where logs end by the fetches of a read that was of them."""
        assigned = kafka.assignment()
        for partition in partitions:
            if partition in assigned and (end := kafka.highwater(partition)) is not None:
                self.seen_ends[partition] = end

    def _note_doubtful(self, spans: Iterable[Span], next_offsets: Mapping[TopicPartition, int]) -> None:
        """Remember up to where a read went on that is not surely of our logs."""
        for span in spans:
            if span.first == self.doubtful.get(span.partition, next_offsets.get(span.partition)):
                self.doubtful[span.partition] = span.next_offset

    def _on_metadata(self, _cluster: object) -> None:
        self._suspect = True


def leaps(spans: Iterable[Span], next_offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Span]:
    """The leaps of partitions, the first of each: from where the position or a span ended to the next one."""
    reached = dict(next_offsets)
    found: dict[TopicPartition, Span] = {}
    for span in spans:
        if span.first != reached.get(span.partition, span.first):
            found.setdefault(span.partition, Span(span.partition, reached[span.partition], span.first))
        reached[span.partition] = span.next_offset
    return found
