"""Where to begin in each partition: at the stored offset, if the log is still the one that it is for.

A broker without its data (the embedded one keeps them in memory), or a topic that was created again, counts
from 0 again, and an offset of the old log would silently skip events of the new one. So the record before the
stored offset is checked: if the inbox does not know it, or there is none, the partition is read from its
beginning. The inbox keeps what is read again from counting twice. That rests on one thing: the inbox
remembers ids for longer than the topics keep records.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from rewards.errors import ConsumerStalledError
from rewards.events.kafka_clients import answered, reader
from rewards.records import Partition, RawRecord, raw_record

PROBE_TIMEOUT_S = 10.0
POLL_MS = 200

log = structlog.get_logger()


class OffsetStore(Protocol):
    """Remembers how far a log was read, and the last record read: the store, or the lake of analytics."""

    async def next_offsets(self) -> dict[Partition, int]:
        """Return the offset after the last record read, for each partition."""

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids (`RawRecord.inbox_id`) whose records were read."""


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Calls ``on_rebalance`` whenever the group's partitions are revoked or assigned."""

    def __init__(self, on_rebalance: Callable[[], None]) -> None:
        self._on_rebalance = on_rebalance

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Partitions were taken from this member."""
        self._on_rebalance()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Partitions were given to this member."""
        self._on_rebalance()


async def starting_offsets(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition], store: OffsetStore, bootstrap: str
) -> dict[TopicPartition, int]:
    """Find the offset to begin at in each partition.

    Args:
        consumer: a started consumer; asked for the partitions' beginnings alone.
        partitions: those that this member was assigned.
        store: what was read.
        bootstrap: ``host:port,…`` of Kafka, for the probe that reads the last records again.

    Raises StoreUnavailableError, ConsumerStalledError, BusUnavailableError.
    """
    stored = await store.next_offsets()
    async with answered(bootstrap, "asking where its partitions begin"):
        beginnings: dict[TopicPartition, int] = await consumer.beginning_offsets(list(partitions))
    starts = {
        partition: max(beginnings[partition], stored.get((partition.topic, partition.partition), 0))
        for partition in partitions
    }
    suspects = {partition: start for partition, start in starts.items() if start > beginnings[partition]}
    if suspects:
        for partition in await _partitions_of_another_log(suspects, store, bootstrap):
            log.warning(
                "rewards_log_replaced",
                topic=partition.topic,
                partition=partition.partition,
                stored_offset=starts[partition],
                begins_at=beginnings[partition],
            )
            starts[partition] = beginnings[partition]
    return starts


async def _partitions_of_another_log(
    next_offsets: Mapping[TopicPartition, int], store: OffsetStore, bootstrap: str
) -> set[TopicPartition]:
    last = await _last_applied_records(next_offsets, bootstrap)
    ids = {partition: raw.inbox_id for partition, raw in last.items() if raw is not None}
    known = await store.known(ids.values())
    return {partition for partition, raw in last.items() if raw is None or ids[partition] not in known}


async def _last_applied_records(
    next_offsets: Mapping[TopicPartition, int], bootstrap: str
) -> dict[TopicPartition, RawRecord | None]:
    """Read the record before each offset: None where the log ends before, absent where the log skips it."""
    found: dict[TopicPartition, RawRecord | None] = {}
    missing = set(next_offsets)
    async with reader(bootstrap, "probing the last records", auto_offset_reset="earliest") as probe:
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
                            if first.offset <= wanted:
                                found[partition] = raw_record(first) if first.offset == wanted else None
                    for partition in list(missing):
                        # As the fetch reports it: the embedded broker's ListOffsets answers its last batch's
                        # start.
                        end = probe.highwater(partition)
                        if end is not None and end < next_offsets[partition]:
                            missing.discard(partition)
                            found[partition] = None
        except TimeoutError as error:
            raise ConsumerStalledError(
                f"no answer about {len(missing)} partitions in {PROBE_TIMEOUT_S} s"
            ) from error
    return found
