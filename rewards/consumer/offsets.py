"""Where to begin in each partition: at the stored offset, if the log is still the one that it is for.

A broker without its data (the embedded one keeps them in memory), or a topic that was made anew, counts from
0 again, and an offset of the old log would silently skip events of the new one. A log whose beginning was cut
no longer has what was to be read next. `rewards.events.logs.verdict` decides what became of a log, and where
to go on; here it is given what it needs, and what it finds is told, counted and stored with the new position.
What is read again the inbox keeps from counting twice. That rests on one thing: the inbox remembers ids for
longer than the topics keep records.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from launchday.resilience.bus import BusAddress
from rewards import metrics
from rewards.errors import BusUnavailableError, ConsumerStalledError
from rewards.events.kafka_clients import answered, reader
from rewards.events.logs import gaps
from rewards.events.logs.gaps import Gap
from rewards.events.logs.identity import LogIdentity, identify
from rewards.events.logs.verdict import Before, Finding, LogState, Position, judge, needs_witness
from rewards.records import Partition, raw_record

PROBE_TIMEOUT_S = 10.0
POLL_MS = 200

log = structlog.get_logger()


class OffsetStore(Protocol):
    """Remembers how far logs were read, and which records were read: the store, or the lake of analytics."""

    async def positions(self) -> dict[Partition, Position]:
        """Return how far each partition was read."""

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids (`RawRecord.inbox_id`) whose records were read."""

    async def move(self, positions: Mapping[Partition, Position], gaps: Sequence[Gap], now_s: float) -> None:
        """Remember other positions, and the gaps that they leap over: all or nothing."""


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Calls ``on_rebalance`` whenever the group's partitions are revoked or assigned, and tells what changed.

    Args:
        on_rebalance: called before anything else is read.
        consumer: who is reading, for the line.
    """

    def __init__(self, on_rebalance: Callable[[], None], consumer: str) -> None:
        self._on_rebalance = on_rebalance
        self._consumer = consumer
        self._had: set[TopicPartition] = set()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Partitions were taken from this member."""
        self._on_rebalance()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Partitions were given to this member."""
        self._on_rebalance()
        metrics.REBALANCES.labels(self._consumer).inc()
        has = set(assigned)
        log.info(
            "events_partitions_assigned",
            consumer=self._consumer,
            partitions=len(has),
            gained=_names(has - self._had),
            lost=_names(self._had - has),
        )
        self._had = has


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return sorted(f"{partition.topic}/{partition.partition}" for partition in partitions)


async def starting_offsets(
    kafka: AIOKafkaConsumer,
    logs: Mapping[TopicPartition, LogIdentity],
    store: OffsetStore,
    bus: BusAddress,
    *,
    consumer: str,
    missing: Callable[[TopicPartition, int], int | None] = lambda _partition, _next_offset: None,
    now_s: float,
) -> dict[TopicPartition, int]:
    """Find the offset to begin at in each partition; tell, count and store what is missing before it.

    Args:
        kafka: a started consumer; asked for the partitions' beginnings alone.
        logs: the partitions that this member was assigned, and which logs they were just now.
        store: what was read.
        bus: Kafka's, or ``host:port,…`` of it, for the probe that reads the last records again.
        consumer: who is reading, for the line and the counter.
        missing: says of a log that is gone how many records from an offset on were never read (LogGuard).
        now_s: Unix seconds, when the gaps are noticed.

    Raises StoreUnavailableError, ConsumerStalledError, BusUnavailableError.
    """
    stored = await store.positions()
    async with answered(bus, "asking where its partitions begin"):
        beginnings: dict[TopicPartition, int] = await kafka.beginning_offsets(list(logs))
    # A partition that nobody has read yet, of a topic that was being read, was read up to its offset 0.
    read_topics = {topic for topic, _ in stored}
    positions = {
        partition: stored.get((partition.topic, partition.partition))
        or Position(0 if partition.topic in read_topics else beginnings[partition], logs[partition].topic_id)
        for partition in logs
    }
    states = {
        partition: LogState(beginnings[partition], identity.topic_id) for partition, identity in logs.items()
    }
    before = await _look_before(
        {
            partition: position.next_offset
            for partition, position in positions.items()
            if needs_witness(position, states[partition])
        },
        store,
        bus,
    )
    found: list[Gap] = []
    moved: dict[Partition, Position] = {}
    starts: dict[TopicPartition, int] = {}
    for partition, position in positions.items():
        verdict = judge(position, states[partition], before.get(partition, Before.NOT_ASKED))
        starts[partition] = verdict.start
        place = (partition.topic, partition.partition)
        reached = Position(verdict.start, states[partition].topic_id)
        if stored.get(place) != reached:
            moved[place] = reached
        if verdict.finding is not Finding.SAME:
            lost = verdict.missing
            if lost is None:
                lost = missing(partition, position.next_offset)
            found.append(
                Gap(*place, verdict.finding, position.next_offset, verdict.start, lost, reached.topic_id)
            )
    if moved:
        await store.move(moved, found, now_s)
    for gap in found:
        gaps.tell(consumer, gap)
        metrics.count_gap(consumer, gap)
    return starts


async def identified(
    kafka: AIOKafkaConsumer, partitions: Collection[TopicPartition], bus: BusAddress
) -> dict[TopicPartition, LogIdentity]:
    """Ask which logs partitions are. Raises BusUnavailableError, also where one of them is not there."""
    async with answered(bus, "asking which logs its partitions are"):
        found = await identify(kafka, partitions)
    if gone := sorted({partition.topic for partition in partitions if partition not in found}):
        raise BusUnavailableError(f"the topic {gone[0]} is not there")
    return found


def ids_by_topic(logs: Mapping[TopicPartition, LogIdentity]) -> dict[str, uuid.UUID]:
    """The topics' ids, of those that have one."""
    return {
        partition.topic: topic_id for partition, identity in logs.items() if (topic_id := identity.topic_id)
    }


async def _look_before(
    next_offsets: Mapping[TopicPartition, int], store: OffsetStore, bus: BusAddress
) -> dict[TopicPartition, Before]:
    """Read the record before each offset, and ask the store whether it was read."""
    if not next_offsets:
        return {}
    found, ids = await _read_before(next_offsets, bus)
    known = await store.known(ids.values())
    return found | {
        partition: Before.READ if inbox_id in known else Before.ANOTHER for partition, inbox_id in ids.items()
    }


async def _read_before(
    next_offsets: Mapping[TopicPartition, int], bus: BusAddress
) -> tuple[dict[TopicPartition, Before], dict[TopicPartition, uuid.UUID]]:
    """The ids of the records before these offsets; and of the others, why there is none."""
    found: dict[TopicPartition, Before] = {}
    ids: dict[TopicPartition, uuid.UUID] = {}
    missing = set(next_offsets)
    async with reader(bus, "probing the last records", auto_offset_reset="earliest") as probe:
        probe.assign(list(next_offsets))
        for partition, next_offset in next_offsets.items():
            probe.seek(partition, next_offset - 1)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                while missing:
                    polled = await probe.getmany(timeout_ms=POLL_MS)
                    for partition, records in polled.items():
                        if partition in missing:
                            missing.discard(partition)
                            first, wanted = records[0], next_offsets[partition] - 1
                            if first.offset == wanted:
                                ids[partition] = raw_record(first).inbox_id
                            else:  # an offset behind the end leads back to the beginning
                                found[partition] = (
                                    Before.NO_RECORD if first.offset > wanted else Before.BEYOND_THE_END
                                )
                    for partition in list(missing):
                        # As the fetch reports it: the embedded broker's ListOffsets answers its last batch's
                        # start.
                        end = probe.highwater(partition)
                        if end is not None and end < next_offsets[partition]:
                            missing.discard(partition)
                            found[partition] = Before.BEYOND_THE_END
        except TimeoutError as error:
            raise ConsumerStalledError(
                f"no answer about {len(missing)} partitions in {PROBE_TIMEOUT_S} s"
            ) from error
    return found, ids
