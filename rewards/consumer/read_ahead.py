"""Read-ahead: the next batch is read from Kafka and parsed while PostgreSQL works on the one before it.

One process has one core for Python, and PostgreSQL has another; applied one after the other, each would wait
for the other. So the next batch is read in slices, and between two slices the event loop sees whether
PostgreSQL has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from rewards.arrival import Judge
from rewards.consumer.batch import Batch, BatchBuilder
from rewards.events.logs.guard import Span, span_of
from rewards.events.logs.identity import LogIdentity
from rewards.events.parse import ReadEvent, read_event
from rewards.records import RawRecord, raw_record

# 0.1 ms of work. Each answer of PostgreSQL waits for two or three slices, as the loop goes round for its
# bytes, its future and its task. With slices of 100, PostgreSQL stood idle so long that reading ahead won
# nothing: 0.62 of the transactions' own speed; with 50, 0.70; with 25, 0.84.
SLICE_RECORDS = 25
POLL_MS = 250
FINISH_S = 1.0  # for what is being read when it is wanted no more


@dataclass(frozen=True, slots=True)
class PolledBatch:
    """Records in the order of their partitions, and the same parsed.

    Attributes:
        spans: where they lie.
        logs: which logs their partitions were after they had been read.
    """

    records: list[RawRecord]
    batch: Batch
    spans: Sequence[Span] = ()
    logs: Mapping[TopicPartition, LogIdentity] = field(default_factory=dict)


Look = Callable[[Collection[TopicPartition]], Awaitable[Mapping[TopicPartition, LogIdentity]]]


async def _look_nowhere(_partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, LogIdentity]:
    return {}


class ReadAhead:
    """Reads one batch ahead of the one that is being applied.

    Args:
        kafka: a started consumer; while a batch is being read, nobody else may poll it or move it.
        max_records: the largest number of records in a batch, but for the last slice.
        read: reads an event, and tells what of it is newer than this program.
        look: asks which logs partitions are, once all records of a batch have been read.
        judge: tells of an event whose time cannot be right.
    """

    def __init__(
        self,
        kafka: AIOKafkaConsumer,
        max_records: int,
        read: ReadEvent = read_event,
        look: Look = _look_nowhere,
        judge: Judge | None = None,
    ) -> None:
        self._kafka = kafka
        self._look = look
        self._judge = judge
        self._read_event = read
        self._max_records = max_records
        self._reading: asyncio.Task[PolledBatch] | None = None

    async def next(self) -> PolledBatch:
        """Return the next batch, empty when none came in POLL_MS.

        Begins to read the following one, unless the batch is empty.
        """
        reading = self._reading or self._begin()
        self._reading = reading
        read = await reading
        self._reading = self._begin() if read.records else None
        return read

    async def finish(self) -> PolledBatch | None:
        """Return the batch that is being read, once it is, and read no further; None where none came."""
        reading, self._reading = self._reading, None
        if reading is None:
            return None
        await asyncio.wait({reading}, timeout=FINISH_S)
        if not reading.done() or reading.cancelled() or reading.exception() is not None:
            self._reading = reading
            await self.drop()
            return None
        return reading.result() if reading.result().records else None

    async def drop(self) -> None:
        """Forget what was read and not returned.

        Its records come again only where the consumer is moved back to them.
        """
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()  # of a connection that we give up

    def _begin(self) -> asyncio.Task[PolledBatch]:
        return asyncio.create_task(self._read(), name="read ahead")

    async def _read(self) -> PolledBatch:
        records: list[RawRecord] = []
        spans: list[Span] = []
        builder = BatchBuilder(self._read_event, self._judge)
        polled = await self._kafka.getmany(timeout_ms=POLL_MS, max_records=SLICE_RECORDS)
        while polled:
            part = [raw_record(record) for of_partition in polled.values() for record in of_partition]
            builder.add(part)
            records += part
            spans += [span_of(partition, found) for partition, found in polled.items()]
            await asyncio.sleep(0)
            if len(records) >= self._max_records:
                break
            polled = await self._kafka.getmany(timeout_ms=0, max_records=SLICE_RECORDS)
        logs = await self._look({span.partition for span in spans}) if spans else {}
        return PolledBatch(records, builder.build(), spans, logs)
