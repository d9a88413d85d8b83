"""The writer: reads the event topics as the group ``<prefix>.analytics`` and adds them to the lake, many at a time.

How far it has read is in the lake, in the same step as the files, so the way back from a crash or a rebalance is the one that rewards
takes: go there and read on. A lake has one writer; a second process waits in reserve until the first is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from rewards import metrics
from rewards.analytics.lake import Lake
from rewards.consumer.batch import Partition, inbox_id
from rewards.consumer.offsets import raw_record, starting_offsets
from rewards.errors import ConsumerStalledError, LakeInUseError
from rewards.events import (
    EVENT_TOPICS,
    BadEventError,
    BusUnavailableError,
    Envelope,
    ensure_topics,
    parse_envelope,
)
from rewards.events.closing import close_within, is_being_cancelled

MAX_BUFFERED_EVENTS = 50_000  # in memory at most: about 50 MB
FLUSH_S = 10.0  # every flush makes a file a kind; shorter makes them many and small
POLL_MS = 250
MAX_POLL_RECORDS = 2_000
STANDBY_RETRY_S = 1.0
RETRY_S = 1.0
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

log = structlog.get_logger()


class Writer:
    """Consumes until it is stopped; outages of Kafka only pause it.

    Args:
        bootstrap: Kafka's address.
        prefix: first part of the topics' names.
        lake: where events go.
        clock: monotonic seconds, for flushes.

    Attributes:
        written: events written since it started.
    """

    def __init__(
        self, bootstrap: str, prefix: str, lake: Lake, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._topics = [topic.name(prefix) for topic in EVENT_TOPICS]
        self._lake = lake
        self._clock = clock
        self._stopping = asyncio.Event()
        self._positioned: set[TopicPartition] = set()
        self._events: list[Envelope] = []
        self._reached: dict[Partition, tuple[int, uuid.UUID]] = {}
        self.written = 0

    async def run(self) -> None:
        """Write until ``stop``, then write what is in memory."""
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(self._lake.open)
                break
            except LakeInUseError as error:
                log.info("analytics_in_reserve", reason=str(error))
                await self._sleep(STANDBY_RETRY_S)
        try:
            while not self._stopping.is_set():
                try:
                    await self._session()
                except (
                    KafkaError,
                    BusUnavailableError,
                    ConsumerStalledError,
                    OSError,
                    TimeoutError,
                ) as error:
                    log.warning("analytics_paused", reason=str(error) or repr(error))
                except asyncio.CancelledError as error:
                    if is_being_cancelled():
                        raise
                    log.warning("analytics_paused", reason=repr(error))
                except Exception:
                    log.exception("analytics_failed")
                await self._sleep(RETRY_S)
        finally:
            self._lake.close()

    def stop(self) -> None:
        """Ask ``run`` to end after a last flush."""
        self._stopping.set()

    async def _session(self) -> None:
        """One membership in the group."""
        with contextlib.suppress(BusUnavailableError):
            await ensure_topics(self._bootstrap, self._prefix)
        self._on_rebalance()
        kafka = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=f"{self._prefix}.analytics",
            client_id="analytics",
            enable_auto_commit=False,  # offsets are in the lake, in the step that writes the files
            auto_offset_reset="earliest",
            max_poll_records=MAX_POLL_RECORDS,
        )
        kafka.subscribe(self._topics, listener=_Rebalances(self._on_rebalance))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await kafka.start()
            log.info("analytics_consuming", topics=self._topics)
            await self._consume(kafka)
        finally:
            await close_within(STOP_TIMEOUT_S, "analytics", kafka.stop())

    async def _consume(self, kafka: AIOKafkaConsumer) -> None:
        flushed_at = self._clock()
        while not self._stopping.is_set():
            if not self._positioned >= kafka.assignment():
                await self._seek_to_stored_offsets(kafka)
            polled = await kafka.getmany(timeout_ms=POLL_MS)
            if (
                self._positioned >= kafka.assignment()
            ):  # else dealt out anew meanwhile: it comes again, after _place
                self._buffer(polled)
            if len(self._events) >= MAX_BUFFERED_EVENTS or self._clock() - flushed_at >= FLUSH_S:
                await self._flush()
                flushed_at = self._clock()
        await self._flush()

    async def _seek_to_stored_offsets(self, kafka: AIOKafkaConsumer) -> None:
        self._on_rebalance()
        assigned = kafka.assignment()
        starts = await starting_offsets(kafka, assigned, self._lake, self._bootstrap)
        if kafka.assignment() != assigned:
            return
        for partition, offset in starts.items():
            kafka.seek(partition, offset)
        self._positioned = set(starts)

    def _buffer(self, polled: dict[TopicPartition, list[object]]) -> None:
        for partition, records in polled.items():
            for record in records:
                with contextlib.suppress(BadEventError):  # rewards makes it a dead letter
                    self._events.append(parse_envelope(record.value))  # type: ignore[attr-defined]
            last = raw_record(records[-1])
            self._reached[partition.topic, partition.partition] = (last.offset + 1, inbox_id(last))

    async def _flush(self) -> None:
        events, reached = self._events, self._reached
        if not reached:
            return
        self._events, self._reached = [], {}
        new = await asyncio.to_thread(self._lake.add, events, reached)
        self.written += new
        metrics.ANALYTICS_EVENTS.inc(new)
        metrics.ANALYTICS_DUPLICATES.inc(len(events) - new)
        log.debug("analytics_flushed", events=new)

    def _on_rebalance(self) -> None:
        self._positioned = set()
        self._events, self._reached = [], {}

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget

    async def on_partitions_revoked(self, revoked: object) -> None:
        self._forget()

    async def on_partitions_assigned(self, assigned: object) -> None:
        self._forget()
