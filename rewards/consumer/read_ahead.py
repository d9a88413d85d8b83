"""The batch to come: read from Kafka and parsed while PostgreSQL works on the one before it.

One process has one core for Python, and PostgreSQL has another: applied one after the other they wait for each other. So the next batch
is taken in slices, and between two slices the loop sees whether PostgreSQL has answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from rewards.consumer.batch import Batch, BatchBuilder, Raw
from rewards.consumer.offsets import raw_record

# 0.1 ms of work. Each answer of PostgreSQL waits for two or three slices, as the loop goes round for its bytes, its future and its task; with
# slices of 100, PostgreSQL stood idle so long that reading ahead won nothing (of the transactions' own speed: 0.62; with 50: 0.70; with 25: 0.84).
SLICE_RECORDS = 25
POLL_MS = 250


@dataclass(frozen=True, slots=True)
class PolledBatch:
    """Records in the order of their partitions, and the same sorted."""

    records: list[Raw]
    batch: Batch


class ReadAhead:
    """Reads one batch ahead of the one that is being applied.

    Args:
        kafka: a started consumer; while there is a batch in the making, nobody else may poll it or move it.
        at_most: records in a batch.
    """

    def __init__(self, kafka: AIOKafkaConsumer, max_records: int) -> None:
        self._kafka = kafka
        self._max_records = max_records
        self._reading: asyncio.Task[PolledBatch] | None = None

    async def next(self) -> PolledBatch:
        """The next batch, empty when none came in POLL_MS; begins to read the one after a batch that is not empty."""
        coming = self._reading or self._begin()
        self._reading = coming
        read = await coming
        self._reading = self._begin() if read.records else None
        return read

    async def drop(self) -> None:
        """Forget what was read and not given out. Its records come again only where the consumer is moved back to them."""
        coming, self._reading = self._reading, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()  # of a connection that we let go of

    def _begin(self) -> asyncio.Task[PolledBatch]:
        return asyncio.create_task(self._read(), name="read ahead")

    async def _read(self) -> PolledBatch:
        records: list[Raw] = []
        sorting = BatchBuilder()
        polled = await self._kafka.getmany(timeout_ms=POLL_MS, max_records=SLICE_RECORDS)
        while polled:
            part = [raw_record(record) for of_partition in polled.values() for record in of_partition]
            sorting.add(part)
            records += part
            await asyncio.sleep(0)
            if len(records) >= self._max_records:
                break
            polled = await self._kafka.getmany(timeout_ms=0, max_records=SLICE_RECORDS)
        return PolledBatch(records, sorting.build())
