"""How many records wait that are not applied yet, and for how long the oldest one does.

The lag in records says how much work is left; its age says how far off the retention is, after which Kafka
deletes records whether they were read or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from launchday.resilience.bus import BusAddress
from rewards import metrics
from rewards.errors import LogChangedError
from rewards.events.logs.guard import LogGuard, Span
from rewards.events.logs.identity import identify
from rewards.events.topics import TOPICS, ensure_topics

ALARM_SHARE = 0.5  # of the retention: as long again is left to mend what is broken

log = structlog.get_logger()


class LagAge:
    """The oldest waiting record of each partition, by its time; where nobody read it, since when one waits.

    Args:
        consumer: who is reading, for the line.
    """

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._since_s: dict[TopicPartition, float] = {}
        self._alarmed = False
        self.retention_s = 0.0

    def read(self, spans: Iterable[Span]) -> None:
        """Records were read and are to be applied."""
        for span in spans:
            self._since_s.setdefault(span.partition, span.timestamp_ms / 1000)

    def applied(self, spans: Iterable[Span]) -> None:
        """They were applied."""
        for span in spans:
            self._since_s.pop(span.partition, None)

    def counted(self, behind: Mapping[TopicPartition, int], now_s: float) -> None:
        """So many records wait in each of this member's partitions, and in no others."""
        self._since_s = {
            partition: self._since_s.get(partition, now_s) for partition, count in behind.items() if count
        }

    def paused(self, partitions: Iterable[TopicPartition], now_s: float) -> None:
        """Nothing can be applied: what comes from now on waits."""
        for partition in partitions:
            self._since_s.setdefault(partition, now_s)

    def seconds(self, now_s: float) -> float:
        """The age of the oldest record that waits; 0 where none does."""
        return max(0.0, now_s - min(self._since_s.values(), default=now_s))

    def show(self, now_s: float) -> None:
        """Set the gauges, and write one line when half of the retention is over."""
        age_s = self.seconds(now_s)
        metrics.LAG_SECONDS.labels(self._consumer).set(age_s)
        metrics.RETENTION_SECONDS.labels(self._consumer).set(self.retention_s)
        alarmed = 0 < self.retention_s * ALARM_SHARE <= age_s
        if alarmed and not self._alarmed:
            log.error(
                "events_lag_nears_retention",
                consumer=self._consumer,
                lag_s=round(age_s),
                retention_s=round(self.retention_s),
                remedy="what waits is deleted after the retention: mend the consumer, or raise retention.ms",
            )
        self._alarmed = alarmed


async def count_behind(
    kafka: AIOKafkaConsumer, guard: LogGuard, next_offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Count the records behind each offset of this member's.

    Raises:
        LogChangedError: a log is not the one that they are in, was cut, or has lost its end.
        KafkaError: Kafka does not say.
    """
    if not guard.unchanged(await identify(kafka, next_offsets.keys()), next_offsets):
        raise LogChangedError("a log is another one")
    ends = await end_offsets(kafka, next_offsets.keys())
    begins_at = await kafka.beginning_offsets(list(next_offsets))
    assigned = kafka.assignment()
    for partition, reached in next_offsets.items():
        if begins_at[partition] > reached:
            raise LogChangedError(f"{partition} begins at {begins_at[partition]}, behind {reached}")
        end = kafka.highwater(partition) if partition in assigned else None
        if end is not None and end < reached:
            raise LogChangedError(f"{partition} ends at {end}, but {reached} records of it were applied")
    return {partition: max(0, end - next_offsets[partition]) for partition, end in ends.items()}


async def bring_back_topics(
    kafka: AIOKafkaConsumer, bus: BusAddress, prefix: str, topics: Collection[str]
) -> None:
    """Create topics that somebody has deleted, and let aiokafka learn of it.

    It looks for them every 30 s alone, and until then a group without them believes that it is up to date.

    Raises BusUnavailableError, KafkaError.
    """
    gone = sorted(topic for topic in topics if not kafka.partitions_for_topic(topic))
    if gone:
        log.warning("events_topics_gone", topics=gone)
        await ensure_topics(bus, prefix, [topic for topic in TOPICS if topic.name(prefix) in gone])
        await kafka._client.force_metadata_update()


async def end_offsets(
    kafka: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """Ask where partitions end; it never says too much. Raises KafkaError."""
    # The embedded broker's ListOffsets answers the start of the last batch instead of its end. What the
    # fetches say is right, but known for our own partitions alone.
    if not partitions:
        return {}
    ends: dict[TopicPartition, int] = await kafka.end_offsets(list(partitions))
    ours = kafka.assignment()
    return {
        partition: max(end, kafka.highwater(partition) or 0) if partition in ours else end
        for partition, end in ends.items()
    }
