"""The writer: reads the event topics as the group ``<prefix>.analytics``, and adds events to the lake.

The lake stores how far the writer has read in the commit that publishes the files. So the writer recovers
from a crash or a rebalance as rewards does: it goes to the stored offsets and reads on. A lake has one
writer; a second process waits on standby until the first is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from launchday.clock import Clock
from rewards import metrics
from rewards.analytics.lake import Lake
from rewards.consumer.offsets import RebalanceListener, starting_offsets
from rewards.errors import ConsumerStalledError, LakeInUseError
from rewards.events import (
    EVENT_TOPICS,
    BadEventError,
    BusUnavailableError,
    Envelope,
    ensure_topics,
    parse_envelope,
)
from rewards.events.kafka_clients import close, is_being_cancelled
from rewards.records import Partition, raw_record

MAX_BUFFERED_EVENTS = 50_000  # in memory: about 50 MB
FLUSH_S = 10.0  # every flush makes a file for each kind; a shorter time makes many small files
POLL_MS = 250
MAX_POLL_RECORDS = 2_000
SESSION_TIMEOUT_MS = 10_000  # Kafka's default: nothing waits for this consumer
HEARTBEAT_MS = 3_000
REQUEST_TIMEOUT_MS = 10_000
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
        lake: where events go; it is opened and closed here.
        clock: its monotonic time decides when to flush; it runs what blocks on the disk in a thread.

    Attributes:
        written: the number of events written since it started.
    """

    def __init__(self, bootstrap: str, prefix: str, lake: Lake, clock: Clock) -> None:
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
        """Write until ``stop``, then flush what is in memory."""
        while not self._stopping.is_set():
            try:
                await self._clock.run_in_thread(self._lake.open)
                break
            except LakeInUseError as error:
                log.info("analytics_on_standby", reason=str(error))
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
            enable_auto_commit=False,  # offsets are in the lake, in the commit that publishes the files
            auto_offset_reset="earliest",
            max_poll_records=MAX_POLL_RECORDS,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        kafka.subscribe(self._topics, listener=RebalanceListener(self._on_rebalance))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await kafka.start()
            log.info("analytics_consuming", topics=self._topics)
            await self._consume(kafka)
        finally:
            await close(kafka, "analytics", STOP_TIMEOUT_S)

    async def _consume(self, kafka: AIOKafkaConsumer) -> None:
        flushed_at = self._clock.monotonic()
        while not self._stopping.is_set():
            if not self._positioned >= kafka.assignment():
                await self._seek_to_stored_offsets(kafka)
            polled = await kafka.getmany(timeout_ms=POLL_MS)
            if self._positioned >= kafka.assignment():  # else a rebalance meanwhile: the records come again
                self._buffer(polled)
            if len(self._events) >= MAX_BUFFERED_EVENTS or self._clock.monotonic() - flushed_at >= FLUSH_S:
                await self._flush()
                flushed_at = self._clock.monotonic()
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
            self._reached[partition.topic, partition.partition] = (last.offset + 1, last.inbox_id)

    async def _flush(self) -> None:
        events, reached = self._events, self._reached
        if not reached:
            return
        self._events, self._reached = [], {}
        new = await self._clock.run_in_thread(self._lake.add, events, reached)
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
