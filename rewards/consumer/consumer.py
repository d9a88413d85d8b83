"""The consumer: poll, parse, apply in one transaction, publish to the cache; again.

PostgreSQL alone knows what was applied and how far we have read. So every recovery, from a crash, an outage
or a rebalance, is the same: go to the stored offsets and read on. What is read twice finds its id in the
inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from launchday.clock import Clock
from launchday.resilience.bus import BusAddress
from launchday.resilience.retry import Backoff
from rewards import metrics
from rewards.arrival import Judge
from rewards.consumer.batch import Batch, apply_or_bisect, parse_batch
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.lag import LagAge, bring_back_topics, count_behind, end_offsets
from rewards.consumer.newer_events import NewerEvents
from rewards.consumer.offsets import RebalanceListener, identified, ids_by_topic, starting_offsets
from rewards.consumer.read_ahead import PolledBatch, ReadAhead
from rewards.consumer.store import AppliedBatch, Store
from rewards.dead_letters import DeadLetterWriter
from rewards.errors import BusUnavailableError, ConsumerStalledError, LogChangedError, StoreUnavailableError
from rewards.events import REWARDS_TOPICS, ensure_topics
from rewards.events.kafka_clients import close, group_member, is_being_cancelled
from rewards.events.logs.guard import LogGuard
from rewards.events.parse import ReadEvent, read_event
from rewards.events.topics import retention_s
from rewards.records import BadRecord

MAX_BATCH_RECORDS = 2_000  # in one transaction; 500 already cost 19 µs an event, more only shortens the tail
SESSION_TIMEOUT_MS = 6_000  # Kafka's smallest: after this a killed member's partitions go to another
HEARTBEAT_MS = 2_000
REPUBLISH_WINDOW_S = 600.0  # progress that changed this long before the newest change is published again
LAG_CHECK_S = 2.0
STALL_TIMEOUT_S = 15.0  # behind and without a record for this long: aiokafka has stalled
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
MAX_NAMED = 20  # producers whose clocks the log names
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 3.0

log = structlog.get_logger()


@dataclass(slots=True)
class ConsumerCounters:
    """What this process has done since it started."""

    events_applied: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    newer_kept: int = 0
    newer_taken_up: int = 0


class Consumer:
    """Consumes the event topics as a member of the group ``<prefix>.rewards``.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
        store: where effects go.
        publisher: is given every change after it is stored.
        clock: its wall time stamps rows and gives the age of events; its monotonic time finds stalls.
        notify_outbox: called when a transaction has put events into the outbox.
        read: reads an event, and tells what of it is newer than this program.
        judge: tells of an event whose time cannot be right: it is a dead letter. None: all may be.
    """

    def __init__(
        self,
        bus: BusAddress,
        prefix: str,
        store: Store,
        publisher: CachePublisher,
        clock: Clock,
        *,
        notify_outbox: Callable[[], object] = lambda: None,
        read: ReadEvent = read_event,
        judge: Judge | None = None,
    ) -> None:
        self.counters = ConsumerCounters()
        self._bus = bus
        self._prefix = prefix
        self._topics = [topic.name(prefix) for topic in REWARDS_TOPICS]
        self._store = store
        self._publisher = publisher
        self._notify_outbox = notify_outbox
        self._clock = clock
        self._dead_letters = DeadLetterWriter(bus, prefix)
        self._read = read
        self._judge = judge
        self._parse = partial(parse_batch, read=read, judge=judge)
        self._wrong_clocks: set[str] = set()  # producers that the log has named
        self._newer = NewerEvents(store, read, clock)
        self._kafka: AIOKafkaConsumer | None = None
        self._guard = LogGuard()
        self._age = LagAge("rewards")
        self._next: dict[TopicPartition, int] = {}  # the offset after the last applied; empty: not positioned
        self._stale = False  # what was read ahead is from before a rebalance
        self._held: PolledBatch | None = None  # read at old positions; void, unless its log is gone
        self._paused = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Consume until ``stop``; outages of any engine only pause it."""
        pauses = Backoff(self._clock, FIRST_RETRY_S, MAX_RETRY_S)
        while not self._stopping.is_set():
            wait_s = pauses.next_s()
            try:
                await self._session()
                pauses.reset()
            except StoreUnavailableError as error:
                self._note_outage("store", error, wait_s)
            except (KafkaError, BusUnavailableError, ConsumerStalledError, OSError, TimeoutError) as error:
                self._note_outage("bus", error, wait_s)
            except asyncio.CancelledError as error:
                # Without is_being_cancelled it is aiokafka's own, of a request that was lost with its
                # connection.
                if is_being_cancelled():
                    raise
                self._note_outage("bus", error, wait_s)
            except Exception:
                log.exception("rewards_consumer_failed", retry_in_s=wait_s)
            await self._sleep(wait_s)

    async def stop(self) -> None:
        """Ask ``run`` to end after the transaction it is in."""
        self._stopping.set()

    @property
    def paused(self) -> bool:
        """Whether the store does not answer, and consuming waits for it."""
        return self._paused

    @property
    def partitions(self) -> int:
        """The number of partitions that this member reads."""
        return len(self._next)

    @property
    def lag_seconds(self) -> float:
        """The age of the oldest record that waits in this member's partitions; 0 where none does."""
        return self._age.seconds(self._clock.wall())

    async def lag(self) -> int | None:
        """Count the records of all partitions, other members' too, that are not applied yet.

        None when Kafka does not answer.

        Raises StoreUnavailableError.
        """
        kafka = self._kafka
        if kafka is None:
            return None
        numbers = {topic: kafka.partitions_for_topic(topic) for topic in self._topics}
        if not all(numbers.values()):
            return None
        partitions = [TopicPartition(topic, number) for topic in numbers for number in numbers[topic]]
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                ends = await end_offsets(kafka, partitions)
        except (KafkaError, OSError, TimeoutError):
            return None
        stored = await self._store.next_offsets()
        return sum(max(0, end - stored.get((tp.topic, tp.partition), 0)) for tp, end in ends.items())

    async def _session(self) -> None:
        """One membership in the group, from joining to leaving."""
        try:
            await ensure_topics(self._bus, self._prefix)
            self._age.retention_s = await retention_s(self._bus, self._prefix, REWARDS_TOPICS)
        except BusUnavailableError as error:
            log.warning("rewards_topics_unchecked", reason=str(error))
        self._next.clear()
        kafka = group_member(  # offsets live in the store, in the transaction of what they stand for
            self._bus,
            f"{self._prefix}.rewards",
            "rewards",
            session_ms=SESSION_TIMEOUT_MS,
            heartbeat_ms=HEARTBEAT_MS,
            max_records=MAX_BATCH_RECORDS,
        )
        kafka.subscribe(self._topics, listener=RebalanceListener(self._on_rebalance, "rewards"))
        ahead = ReadAhead(kafka, MAX_BATCH_RECORDS, self._read, partial(self._guard.look, kafka), self._judge)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await kafka.start()
            self._kafka = kafka
            self._guard.watch(kafka)
            log.info("rewards_consuming", topics=self._topics)
            await self._consume(kafka, ahead)
        finally:
            self._kafka = None
            await ahead.drop()
            await close(kafka, "consumer", STOP_TIMEOUT_S)
            await self._dead_letters.close()

    async def _consume(self, kafka: AIOKafkaConsumer, ahead: ReadAhead) -> None:
        checked_at = progressed_at = self._clock.monotonic()
        pauses = Backoff(self._clock, FIRST_RETRY_S, MAX_RETRY_S)
        while not self._stopping.is_set():
            try:
                if self._stale or not self._is_positioned(kafka):
                    self._held = await ahead.finish() or self._held  # it was read at the old positions
                    # Kafka does not return again what is dropped here, so we go back to the stored offsets in
                    # any case: a rebalance may have happened during the last seek, and then the positions
                    # only seem right.
                    self._stale = False
                    self._next.clear()
                if not self._is_positioned(kafka):
                    await self._seek_to_stored_offsets(kafka)
                await self._take_up()
                moved = await self._apply_next(kafka, ahead)
            except StoreUnavailableError as error:
                await ahead.drop()
                await self._pause(kafka, error, pauses.next_s())
                checked_at = progressed_at = self._clock.monotonic()
                continue
            pauses.reset()
            now = self._clock.monotonic()
            if moved:
                progressed_at = now
            if now - checked_at >= LAG_CHECK_S:
                checked_at = now
                if await self._own_lag(kafka) == 0:
                    progressed_at = now
                elif now - progressed_at >= STALL_TIMEOUT_S:
                    raise ConsumerStalledError(f"records wait, and none arrived for {STALL_TIMEOUT_S} s")

    def _is_positioned(self, kafka: AIOKafkaConsumer) -> bool:
        assigned: set[TopicPartition] = kafka.assignment()
        return self._next.keys() >= assigned

    async def _seek_to_stored_offsets(self, kafka: AIOKafkaConsumer) -> None:
        """Go to the stored offsets, and bring the cache up to date with the store."""
        assigned = kafka.assignment()
        logs = await identified(kafka, assigned, self._bus)  # first: a log may go at any time
        if (held := self._held) and not self._guard.unchanged(logs, {span.partition for span in held.spans}):
            await self._apply_unplaced(held)  # it does not come again: its log may be gone
        self._held = None
        starts = await starting_offsets(
            kafka,
            logs,
            self._store.positions,
            self._bus,
            consumer="rewards",
            missing=self._guard.missing,
            now_s=self._clock.wall(),
        )
        # A crash, or a commit whose answer was lost, may have kept this from the cache.
        self._publisher.enqueue(
            await self._store.recent_progress(REPUBLISH_WINDOW_S),
            await self._store.recent_ratings(REPUBLISH_WINDOW_S),
            await self._store.recently_given(REPUBLISH_WINDOW_S),
        )
        if kafka.assignment() != assigned:
            return  # a rebalance meanwhile: the caller checks again
        for partition, offset in starts.items():
            kafka.seek(partition, offset)
        self._next.clear()
        self._next.update(starts)
        self._guard.begin(logs)
        self._store.positions.topic_ids = ids_by_topic(logs)
        self._newer.restart()
        self._note_store(up=True)

    async def _take_up(self) -> None:
        """Apply some of what waited for a program that knows more, where this is one."""
        records = await self._newer.next()
        if records:
            written: set[UUID] = set()
            batch = self._newer.batch(records)
            await apply_or_bisect(
                records, lambda batch: self._apply_batch(batch, written), batch, self._newer.batch
            )

    async def _apply_next(self, kafka: AIOKafkaConsumer, ahead: ReadAhead) -> bool:
        """Apply the next batch, and read the one after it meanwhile; returns False when nothing came."""
        async with asyncio.timeout(STALL_TIMEOUT_S):
            read = await ahead.next()
        if self._stale or not self._is_positioned(kafka):
            return False  # a rebalance while we read: what came will come again
        if not read.records:
            return False
        self._age.read(read.spans)
        written: set[UUID] = set()  # letters: a batch that is bisected comes back in halves
        if not await self._guard.is_ours(kafka, read.spans, read.logs, self._next):
            await self._apply_unplaced(read)
            self._stale = True
            return True
        await apply_or_bisect(
            read.records, lambda batch: self._apply_batch(batch, written), read.batch, self._parse
        )
        for place, next_offset in read.batch.next_offsets.items():
            partition = TopicPartition(*place)
            if partition in self._next:
                self._next[partition] = next_offset
        self._age.applied(read.spans)
        return True

    async def _apply_unplaced(self, read: PolledBatch) -> None:
        """Apply what may be of another log: events count once each, and their offsets stand for nothing."""
        written: set[UUID] = set()
        await apply_or_bisect(
            read.records,
            lambda batch: self._apply_batch(replace(batch, next_offsets={}), written),
            read.batch,
            self._parse,
        )

    def _on_rebalance(self) -> None:
        """Note that positions have to be read again from the store, and that what was read ahead is stale."""
        self._stale = True
        self._next.clear()

    async def _pause(self, kafka: AIOKafkaConsumer, error: StoreUnavailableError, wait_s: float) -> None:
        """Wait while the store does not answer, staying in the group; then read from the stored offsets."""
        self._note_outage("store", error, wait_s)
        self._note_store(up=False)
        self._next.clear()
        assigned = kafka.assignment()
        self._age.paused(assigned, self._clock.wall())
        kafka.pause(*assigned)
        await self._sleep(wait_s)
        await kafka.getmany(timeout_ms=0)  # tells the group that we are alive; brings nothing while paused
        kafka.resume(*(assigned & kafka.assignment()))

    async def _apply_batch(self, batch: Batch, written: set[UUID]) -> None:
        """Store a batch; its letters are written before, and are added to those ``written``."""
        bad_records = [bad for bad in batch.bad_records if bad.raw.dead_letter_id not in written]
        if bad_records:
            known = await self._store.known([bad.raw.dead_letter_id for bad in bad_records])
            await self._dead_letters.send([bad for bad in bad_records if bad.raw.dead_letter_id not in known])
            written.update(bad.raw.dead_letter_id for bad in bad_records)
        with metrics.APPLY_SECONDS.time():
            applied = await self._store.apply(batch, self._clock.wall())
        self._publisher.enqueue(applied.progress, applied.ratings, applied.given)
        if applied.level_ups:
            self._notify_outbox()
        self._count(batch, applied)

    def _count(self, batch: Batch, applied: AppliedBatch) -> None:
        self.counters.events_applied += sum(applied.effects.kinds.values())
        self.counters.duplicates += applied.duplicates
        self.counters.dead_letters += applied.dead_letters
        self.counters.newer_kept += applied.newer
        self.counters.newer_taken_up += len(batch.taken_up)
        for kind, count in applied.effects.kinds.items():
            metrics.EVENTS_APPLIED.labels(kind).inc(count)
        metrics.DUPLICATES.inc(applied.duplicates)
        metrics.DEAD_LETTERS.inc(applied.dead_letters)
        self._newer.note(batch, applied.newer)
        metrics.BATCH_RECORDS.observe(len(batch.events) + len(batch.bad_records))
        if batch.events:
            newest_at = max(event.envelope.occurred_at for event in batch.events)
            metrics.AGE_SECONDS.set(max(0.0, self._clock.wall() - newest_at))
        for bad in batch.bad_records:
            self._note_wrong_clock(bad)
            raw = bad.raw
            log.warning(
                "rewards_bad_record",
                reason=bad.reason,
                topic=raw.topic,
                partition=raw.partition,
                offset=raw.offset,
            )

    def _note_wrong_clock(self, bad: BadRecord) -> None:
        """Count an event whose time cannot be right, and name each producer of such once."""
        if not bad.producer:
            return
        metrics.WRONG_CLOCKS.inc()
        if bad.producer not in self._wrong_clocks and len(self._wrong_clocks) < MAX_NAMED:
            self._wrong_clocks.add(bad.producer)
            log.error(
                "rewards_producer_clock_wrong",
                producer=bad.producer,
                reason=bad.reason,
                next_step="set its clock; then launchday events dead-letters resend --all --at-arrival",
            )

    async def _own_lag(self, kafka: AIOKafkaConsumer) -> int | None:
        """Count the records that wait in our partitions; None when Kafka does not answer.

        Where a log is no longer what was read, positions have to be read again.
        """
        ours = dict(self._next)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await bring_back_topics(kafka, self._bus, self._prefix, self._topics)
                behind = await count_behind(kafka, self._guard, ours)
        except (KafkaError, BusUnavailableError, OSError, TimeoutError):
            return None
        except LogChangedError:
            self._stale = self._stale or self._next == ours
            return None
        self._age.counted(behind, self._clock.wall())
        self._age.show(self._clock.wall())
        metrics.LAG.set(sum(behind.values()))
        return sum(behind.values())

    def _note_store(self, *, up: bool) -> None:
        self._paused = not up
        metrics.STORE_UP.set(up)

    def _note_outage(self, engine: str, error: BaseException, wait_s: float) -> None:
        metrics.OUTAGES.labels(engine).inc()
        self._age.show(self._clock.wall())
        log.warning("rewards_paused", engine=engine, reason=str(error) or repr(error), retry_in_s=wait_s)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
