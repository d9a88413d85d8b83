"""The writer: reads the event topics as the group ``<prefix>.analytics``, and adds events to the lake.

The lake stores how far the writer has read in the commit that publishes the files. So the writer recovers
from a crash or a rebalance as rewards does: it goes to the stored offsets and reads on. A lake has one
writer; a second process waits on standby until the first is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from launchday.clock import Clock
from launchday.folders import FolderError
from launchday.resilience.bus import BusAddress
from rewards import metrics
from rewards.analytics.erased_players import ErasedPlayers
from rewards.analytics.lake import Lake
from rewards.analytics.lake_positions import LakePositions
from rewards.arrival import Judge
from rewards.consumer.lag import LagAge, bring_back_topics, count_behind
from rewards.consumer.offsets import RebalanceListener, identified, ids_by_topic, starting_offsets
from rewards.errors import ConsumerStalledError, LakeInUseError, LogChangedError
from rewards.events import (
    EVENT_TOPICS,
    BadEventError,
    BusUnavailableError,
    Envelope,
    ensure_topics,
)
from rewards.events.kafka_clients import close, group_member, is_being_cancelled
from rewards.events.logs.guard import LogGuard, Span, span_of
from rewards.events.parse import ReadEvent, read_whole_event
from rewards.events.topics import retention_s
from rewards.records import Partition, raw_record

MAX_BUFFERED_EVENTS = 50_000  # in memory: about 50 MB
FLUSH_S = 10.0  # every flush makes a file for each kind; a shorter time makes many small files
POLL_MS = 250
MAX_POLL_RECORDS = 2_000
SESSION_TIMEOUT_MS = 10_000  # Kafka's default: nothing waits for this consumer
HEARTBEAT_MS = 3_000
LAG_CHECK_S = 2.0
STANDBY_RETRY_S = 1.0
RETRY_S = 1.0
MAX_NAMED = 20  # causes that the log names
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

log = structlog.get_logger()

Polled = Mapping[TopicPartition, Sequence[Any]]
"""aiokafka's records by partition."""


class Writer:
    """Consumes until it is stopped; outages of Kafka only pause it.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
        lake: where events go; it is opened and closed here.
        clock: its monotonic time decides when to flush; it runs what blocks on the disk in a thread.
        read: reads an event, and tells what of it is newer than this program.
        judge: tells of an event whose time cannot be right: it is left out, as rewards makes it a letter.
        erased: who was deleted, and goes out of the lake; None: nobody is looked for.

    Attributes:
        written: the number of events written since it started.
    """

    def __init__(
        self,
        bus: BusAddress,
        prefix: str,
        lake: Lake,
        clock: Clock,
        *,
        read: ReadEvent = read_whole_event,
        judge: Judge | None = None,
        erased: ErasedPlayers | None = None,
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._topics = [topic.name(prefix) for topic in EVENT_TOPICS]
        self._lake = lake
        self._clock = clock
        self._stopping = asyncio.Event()
        self._guard = LogGuard()
        self._age = LagAge("analytics")
        self._next: dict[TopicPartition, int] = {}  # the offset after the last record read; empty: nowhere
        self._read = read
        self._judge = judge
        self._erased = erased
        self._events: list[Envelope] = []
        self._newer: list[tuple[Envelope, str]] = []
        self._told: set[str] = set()  # what the log has named as newer
        self._reached: dict[Partition, tuple[int, uuid.UUID]] = {}
        self.written = 0

    async def run(self) -> None:
        """Write until ``stop``, then flush what is in memory."""
        while not self._stopping.is_set():
            try:
                await self._clock.run_in_thread(self._lake.open)
                metrics.ANALYTICS_NEWER_WAITING.set(self._lake.newer_waiting)
                break
            except LakeInUseError as error:
                log.info("analytics_on_standby", reason=str(error))
            except (OSError, FolderError) as error:  # a file in its place, no right to write, a full disk
                log.error("analytics_folder_unusable", reason=str(error))
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
            await ensure_topics(self._bus, self._prefix, EVENT_TOPICS)
            self._age.retention_s = await retention_s(self._bus, self._prefix, EVENT_TOPICS)
        self._on_rebalance()
        kafka = group_member(  # offsets are in the lake, in the commit that publishes the files
            self._bus,
            f"{self._prefix}.analytics",
            "analytics",
            session_ms=SESSION_TIMEOUT_MS,
            heartbeat_ms=HEARTBEAT_MS,
            max_records=MAX_POLL_RECORDS,
        )
        kafka.subscribe(self._topics, listener=RebalanceListener(self._on_rebalance, "analytics"))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await kafka.start()
            self._guard.watch(kafka)
            log.info("analytics_consuming", topics=self._topics)
            await self._consume(kafka)
        finally:
            await close(kafka, "analytics", STOP_TIMEOUT_S)

    async def _consume(self, kafka: AIOKafkaConsumer) -> None:
        flushed_at = checked_at = self._clock.monotonic()
        while not self._stopping.is_set():
            if not self._next.keys() >= kafka.assignment():
                await self._seek_to_stored_offsets(kafka)
            polled = await kafka.getmany(timeout_ms=POLL_MS)
            spans = [span_of(partition, records) for partition, records in polled.items()]
            logs = await self._guard.look(kafka, polled.keys()) if polled else {}
            if self._next.keys() >= kafka.assignment():  # else a rebalance meanwhile: the records come again
                if await self._guard.is_ours(kafka, spans, logs, self._next):
                    self._buffer(polled, spans)
                else:
                    await self._leave_log(polled)
            if self._clock.monotonic() - checked_at >= LAG_CHECK_S:
                await self._check_lag(kafka)
                checked_at = self._clock.monotonic()
            is_full = len(self._events) + len(self._newer) >= MAX_BUFFERED_EVENTS
            if is_full or self._clock.monotonic() - flushed_at >= FLUSH_S:
                await self._flush()
                if self._erased is not None:
                    await self._erased.look(self._lake)
                flushed_at = self._clock.monotonic()
        await self._flush()

    async def _seek_to_stored_offsets(self, kafka: AIOKafkaConsumer) -> None:
        self._on_rebalance()
        assigned = kafka.assignment()
        logs = await identified(kafka, assigned, self._bus)  # first: a log may go at any time
        starts = await starting_offsets(
            kafka,
            logs,
            LakePositions(self._lake, self._clock),
            self._bus,
            consumer="analytics",
            missing=self._guard.missing,
            now_s=self._clock.wall(),
        )
        if kafka.assignment() != assigned:
            return
        for partition, offset in starts.items():
            kafka.seek(partition, offset)
        self._guard.begin(logs)
        self._lake.topic_ids = ids_by_topic(logs)
        self._next = dict(starts)

    def _add_events(self, polled: Polled) -> None:
        """Take events into memory, those of which something is newer apart."""
        for records in polled.values():
            for record in records:
                with contextlib.suppress(BadEventError):  # rewards makes it a dead letter
                    event, newer = self._read(record.value)
                    if self._judge is not None and self._judge(raw_record(record), event) is not None:
                        metrics.ANALYTICS_WRONG_CLOCKS.inc()
                        continue
                    if not newer:
                        self._events.append(event)
                        continue
                    self._newer.append((event, newer))
                    if newer not in self._told and len(self._told) < MAX_NAMED:
                        self._told.add(newer)
                        log.warning(
                            "analytics_newer_event_kept",
                            newer=newer,
                            next_step="upgrade analytics, which takes it up when it starts",
                        )

    def _buffer(self, polled: Polled, spans: Sequence[Span]) -> None:
        self._age.read(spans)
        self._add_events(polled)
        for partition, records in polled.items():
            last = raw_record(records[-1])
            self._reached[partition.topic, partition.partition] = (last.offset + 1, last.inbox_id)
            self._next[partition] = last.offset + 1

    async def _leave_log(self, polled: Polled) -> None:
        """Write what was read, and what came now of whichever log; then go back to the stored offsets."""
        await self._flush()
        self._add_events(polled)
        await self._flush()
        self._next = {}

    async def _check_lag(self, kafka: AIOKafkaConsumer) -> None:
        """See how much waits, and whether the logs are still those that were read."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await bring_back_topics(kafka, self._bus, self._prefix, self._topics)
                behind = await count_behind(kafka, self._guard, dict(self._next))
        except LogChangedError:
            await self._leave_log({})
        except (KafkaError, BusUnavailableError, OSError, TimeoutError):
            pass
        else:
            self._age.counted(behind, self._clock.wall())
        self._age.show(self._clock.wall())

    async def _flush(self) -> None:
        events, newer, reached = self._events, self._newer, self._reached
        if not reached and not events and not newer:
            return
        self._events, self._newer, self._reached = [], [], {}
        new = await self._clock.run_in_thread(self._lake.add, events, reached, newer)
        metrics.ANALYTICS_NEWER_WAITING.set(self._lake.newer_waiting)
        self.written += new
        metrics.ANALYTICS_EVENTS.inc(new)
        metrics.ANALYTICS_DUPLICATES.inc(len(events) - new)
        log.debug("analytics_flushed", events=new)

    def _on_rebalance(self) -> None:
        # Events in memory stay, for the log that they are of may be gone; those that come again count once.
        self._next = {}
        self._reached = {}

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
