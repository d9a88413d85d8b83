"""Reading topics without a group, across logs that are cut, truncated, or deleted and made anew meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rewards.events.logs import gaps
from rewards.events.logs.gaps import Gap
from rewards.events.logs.guard import Span, leaps, span_of
from rewards.events.logs.identity import LogIdentity, identify
from rewards.events.logs.verdict import Before, Finding, LogState, Position, Verdict, judge

IDLE_POLLS = 10  # polls that bring nothing until logs are looked at all the same


class LogFollower:
    """Reads all partitions of some topics; positions are in memory alone.

    Args:
        kafka: a started consumer without a group, which nobody else assigns, moves or polls.
        consumer: who is reading, for the lines.
        topics: those that there are.

    Attributes:
        gaps: what was found in the logs since it began.
        next_offsets: where the next record of each partition is read.
    """

    def __init__(self, kafka: AIOKafkaConsumer, consumer: str, topics: Collection[str]) -> None:
        self.gaps: list[Gap] = []
        self.next_offsets: dict[TopicPartition, int] = {}
        self._kafka = kafka
        self._consumer = consumer
        self._topics = topics
        self._logs: dict[TopicPartition, LogIdentity] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._idle = 0
        self._at_end = False

    async def begin(self, partitions: Collection[TopicPartition], *, at_end: bool) -> None:
        """Take positions, at the end of the logs or at their beginning.

        To whoever wants them from the beginning, records that a log no longer has are a gap.

        Raises KafkaError.
        """
        self._at_end = at_end
        self._kafka.assign(list(partitions))
        self._logs = await identify(self._kafka, partitions)
        if at_end:
            # A position that aiokafka is still looking for would come later, and undo the next one.
            await self._positions(partitions)
            await self._kafka.seek_to_end()
            # It takes effect at the next call: asking for each position makes it before anything happens.
            self.next_offsets = await self._positions(partitions)
            return
        self.next_offsets = dict.fromkeys(partitions, 0)
        await self._judge(partitions)

    async def begin_at(self, positions: Mapping[TopicPartition, tuple[int, LogIdentity]]) -> None:
        """Go on where somebody else was: the next offset of each log, and which log it was then.

        What a log no longer has of that is a gap, as for whoever has read it until there.

        Raises KafkaError.
        """
        self._kafka.assign(list(positions))
        self.next_offsets = {partition: offset for partition, (offset, _) in positions.items()}
        self._logs = {partition: identity for partition, (_, identity) in positions.items()}
        await self._judge(positions, await identify(self._kafka, positions))

    def positions(self) -> dict[TopicPartition, tuple[int, LogIdentity]]:
        """The next offset of each log, and which log it is; for :meth:`begin_at`."""
        return {
            partition: (offset, self._logs[partition])
            for partition, offset in self.next_offsets.items()
            if partition in self._logs
        }

    async def poll(self, timeout_ms: int, max_records: int | None = None) -> list[Any]:
        """Return the next records of aiokafka's, in the order of their partitions; none when none came.

        Those of a log that is not the one that was read come, too: each is an event, and is known by its id.
        Outages of Kafka only pause it.
        """
        polled: Mapping[TopicPartition, Sequence[Any]] = await self._kafka.getmany(
            timeout_ms=timeout_ms, max_records=max_records
        )
        self._idle = 0 if polled else self._idle + 1
        if polled or self._idle % IDLE_POLLS == 0:
            spans = [span_of(partition, records) for partition, records in polled.items()]
            with contextlib.suppress(KafkaError, OSError, TimeoutError):  # a broker that is away comes back
                await self._advance(spans)
        return [record for records in polled.values() for record in records]

    async def _advance(self, spans: Sequence[Span]) -> None:
        """Go on behind what was read; where a log is another one, or leapt, look again where to go on."""
        found = await identify(self._kafka, self.next_offsets.keys())
        doubtful = {
            partition
            for partition, identity in found.items()
            if self._logs.get(partition) != identity or self._ends_before(partition)
        }
        doubtful |= leaps(spans, self.next_offsets).keys()
        for span in spans:
            if span.partition not in doubtful:
                self.next_offsets[span.partition] = span.next_offset
                self._ends[span.partition] = self._kafka.highwater(span.partition) or span.next_offset
        if self._idle:
            await self._take_new_partitions()
        doubtful &= found.keys()  # the others are of a topic that is not there: it may come again
        if doubtful:
            await self._judge(doubtful, found, spans)

    async def _judge(
        self,
        partitions: Collection[TopicPartition],
        found: Mapping[TopicPartition, LogIdentity] | None = None,
        spans: Sequence[Span] = (),
    ) -> None:
        found = found or self._logs
        beginnings = await self._kafka.beginning_offsets(list(partitions))
        read_to = {span.partition: span.next_offset for span in spans}
        for partition in partitions:
            next_offset, ours = self.next_offsets[partition], self._logs.get(partition, found[partition])
            log = LogState(beginnings[partition], found[partition].topic_id)
            before = Before.BEYOND_THE_END if self._ends_before(partition) else Before.READ
            verdict = judge(Position(next_offset, ours.topic_id), log, before)
            if verdict.finding is Finding.TRUNCATED and self._at_end:
                # What lies before the end that it began at is nobody's business.
                end = max(log.begins_at, self._kafka.highwater(partition) or 0)
                verdict = Verdict(Finding.TRUNCATED, end, None)
            if verdict.finding is not Finding.SAME:
                missing = verdict.missing
                if missing is None:
                    end = self._ends.pop(partition, next_offset)
                    missing = max(0, end - max(next_offset, read_to.get(partition, 0)))
                place = (partition.topic, partition.partition)
                gap = Gap(*place, verdict.finding, next_offset, verdict.start, missing, log.topic_id)
                self.gaps.append(gap)
                gaps.tell(self._consumer, gap)
            elif read_to.get(partition, 0) > next_offset:
                # It leapt over a transaction's mark, or a leader was elected that has all we read.
                verdict = Verdict(Finding.SAME, read_to[partition])
            self.next_offsets[partition] = verdict.start
            self._logs[partition] = found[partition]
            self._kafka.seek(partition, verdict.start)

    async def _positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: await self._kafka.position(partition) for partition in partitions}

    def _ends_before(self, partition: TopicPartition) -> bool:
        end = self._kafka.highwater(partition)
        return end is not None and end < self.next_offsets[partition]

    async def _take_new_partitions(self) -> None:
        """Read partitions that were added to a topic, from their beginning."""
        there = {
            TopicPartition(topic, number)
            for topic in self._topics
            for number in self._kafka.partitions_for_topic(topic) or ()
        }
        if not (added := there - self.next_offsets.keys()):
            return
        self._logs |= await identify(self._kafka, added)
        self.next_offsets |= dict.fromkeys(added, 0)
        self._kafka.assign(list(self.next_offsets))
        for partition, offset in self.next_offsets.items():
            self._kafka.seek(partition, offset)
