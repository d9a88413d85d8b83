"""Read-ahead: the next batch is read from Kafka and parsed while PostgreSQL works on the one before it.

One process has one core for Python, and PostgreSQL has another; applied one after the other, each would wait
for the other. So the next batch is read in slices, and between two slices the event loop sees whether
PostgreSQL has answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from rewards.consumer.batch import Batch, BatchBuilder
from rewards.records import RawRecord, raw_record

# 0.1 ms of work. Each answer of PostgreSQL waits for two or three slices, as the loop goes round for its
# bytes, its future and its task. With slices of 100, PostgreSQL stood idle so long that reading ahead won
# nothing: 0.62 of the transactions' own speed; with 50, 0.70; with 25, 0.84.
SLICE_RECORDS = 25
POLL_MS = 250


@dataclass(frozen=True, slots=True)
class PolledBatch:
    """Records in the order of their partitions, and the same parsed."""

    records: list[RawRecord]
    batch: Batch


class ReadAhead:
    """Reads one batch ahead of the one that is being applied.

    Args:
        kafka: a started consumer; while a batch is being read, nobody else may poll it or move it.
        max_records: the largest number of records in a batch, but for the last slice.
    """

    def __init__(self, kafka: AIOKafkaConsumer, max_records: int) -> None:
        self._kafka = kafka
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
        builder = BatchBuilder()
        polled = await self._kafka.getmany(timeout_ms=POLL_MS, max_records=SLICE_RECORDS)
        while polled:
            part = [raw_record(record) for of_partition in polled.values() for record in of_partition]
            builder.add(part)
            records += part
            await asyncio.sleep(0)
            if len(records) >= self._max_records:
                break
            polled = await self._kafka.getmany(timeout_ms=0, max_records=SLICE_RECORDS)
        return PolledBatch(records, builder.build())
