"""The event producer of a game server: it never makes the tick wait, and loses nothing that fits on the disk.

emit ─▶ queue (bounded memory) ─▶ Kafka, acks=all
          └─ broker unavailable ─▶ spool (disk) ─▶ Kafka, when it answers again or at the next start
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiokafka.errors import UnknownTopicOrPartitionError

from launchday.clock import Clock
from launchday.resilience.bus import BusAddress
from launchday.resilience.retry import Backoff
from rewards.errors import BusUnavailableError, TopicsMissingError
from rewards.events import events_pb2 as pb
from rewards.events import spool
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.kafka_clients import is_being_cancelled
from rewards.events.parse import read_event, routing
from rewards.events.priority_queue import EventPriorityQueue
from rewards.events.resend import MAX_EVENTS_PER_SEND, SpoolResend
from rewards.events.topics import MATCH, PLAYER, ensure_topics

MAX_QUEUED_EVENTS = 20_000  # 20 s of a burst of 1,000 events a second; about 10 MB
FIRST_RECONNECT_S = 0.1
PRODUCER_TOPICS = (PLAYER, MATCH)  # what game servers and the fleet write to
MAX_RECONNECT_S = 3.0  # with full jitter: hundreds of game servers lose a broker at the same moment

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProducerCounters:
    """What became of the events: emitted = delivered + spooled + refused + dropped + waiting.

    Attributes:
        emitted: given to ``emit``.
        delivered: acknowledged by the broker.
        spooled: written to disk instead; this process or another delivers them later.
        refused: too large for the broker.
        dropped: lost because memory was full, by kind.
        waiting: in memory now.
        resent: delivered from spool files, this process's or older ones; counted apart from the above.
        newer: found in spool files of a newer program, and left there for one; counted apart, too.
    """

    emitted: int
    delivered: int
    spooled: int
    refused: int
    dropped: dict[str, int]
    waiting: int
    resent: int
    newer: int = 0


class EventProducer:
    """Sends events to Kafka in the background. Use it from one event loop's thread.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
        producer_name: names the spool files and the Kafka client; unique on this machine.
        spool_dir: folder for events that could not be delivered. The producers of one machine share it: each
            delivers what any of them has left there.
        clock: runs what blocks on the disk in a thread, and waits between attempts.
        capacity: the largest number of events held in memory.
    """

    def __init__(
        self,
        bus: BusAddress,
        prefix: str,
        producer_name: str,
        spool_dir: Path,
        *,
        clock: Clock,
        capacity: int = MAX_QUEUED_EVENTS,
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._name = producer_name
        self._spool_dir = spool_dir
        self._clock = clock
        self._queue = EventPriorityQueue(capacity)
        self._in_flight: list[pb.Envelope] = []
        self._sender: KafkaSender | None = None
        self._task: asyncio.Task[None] | None = None
        self._resend = SpoolResend(spool_dir, self._record, read_event, clock)
        self._spool_pending = True  # there may be spool files to resend
        self._arrived = asyncio.Event()  # something waits in the queue or the spool
        self._half_full = asyncio.Event()  # the queue is half full
        self._settled = asyncio.Event()  # nothing waits, nothing is in flight
        self._settled.set()
        self._spooling = asyncio.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the broker is connected, as far as is known."""
        return self._sender is not None

    @property
    def idempotent(self) -> bool | None:
        """Whether the broker removes duplicates of this producer's requests; None while not connected."""
        return None if self._sender is None else self._sender.idempotent

    async def start(self) -> None:
        """Begin to connect and deliver in the background, spool files first.

        Returns at once, whether the broker answers or not.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"events of {self._name}")

    def emit(self, envelope: pb.Envelope) -> bool:
        """Queue one event; the envelope belongs to the producer from now on. Never blocks, does no I/O.

        Returns:
            False when the event was dropped: memory is full of events at least as important. ``counters``
                counts it.
        """
        self._counts["emitted"] += 1
        kept = self._queue.put(envelope)
        self._settled.clear()
        self._arrived.set()
        if 2 * len(self._queue) >= self._queue.capacity:
            self._half_full.set()
        return kept

    async def flush(self, timeout_s: float) -> bool:
        """Wait until every event so far is acknowledged.

        Returns:
            True when they are. False when the time ran out: the rest is in the spool then
            (``counters().spooled``), on disk before this returns.

        Raises:
            OSError: they could not be spooled either. They are still in memory; the caller may flush again.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            await self._spool([*self._take_in_flight(), *self._queue.take(len(self._queue))])
            self._update_signals()
            return False
        return True

    async def stop(self, timeout_s: float = 5.0) -> bool:
        """Flush as ``flush`` does, then disconnect. Returns and raises what ``flush`` does."""
        try:
            return await self.flush(timeout_s)
        finally:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
                self._task = None
            await self._disconnect()

    def counters(self) -> ProducerCounters:
        """Return the counts so far."""
        return ProducerCounters(
            emitted=self._counts["emitted"],
            delivered=self._counts["delivered"],
            spooled=self._counts["spooled"],
            refused=self._counts["refused"],
            dropped=dict(self._queue.dropped),
            waiting=len(self._queue) + len(self._in_flight),
            resent=self._counts["resent"],
            newer=self._resend.newer,
        )

    async def _run(self) -> None:
        pauses = Backoff(self._clock, FIRST_RECONNECT_S, MAX_RECONNECT_S)
        while True:
            wait_s = pauses.next_s()
            try:
                self._sender = await KafkaSender.open(self._bus, self._name)
                log.info("events_connected", bootstrap=str(self._bus), idempotent=self._sender.idempotent)
                while True:
                    if self._spool_pending:
                        self._spool_pending = False
                        await self._resend.send(self._sender, self._count_resent)
                    pauses.reset()
                    wait_s = pauses.next_s()
                    await self._arrived.wait()
                    await self._deliver(self._sender)
            except BusUnavailableError as error:
                log.warning("events_broker_unavailable", reason=str(error), retry_in_s=wait_s)
                if isinstance(error.__cause__, UnknownTopicOrPartitionError):
                    await self._make_topics()
            except asyncio.CancelledError as error:
                if is_being_cancelled():
                    raise
                log.warning("events_broker_unavailable", reason=repr(error), retry_in_s=wait_s)
            except Exception:
                log.exception("events_delivery_failed", retry_in_s=wait_s)
            self._spool_pending = True
            await self._disconnect()
            await self._wait_for_retry(wait_s)

    async def _make_topics(self) -> None:
        """Make the topics that are missing: a server may come before the consumer that makes them."""
        try:
            await ensure_topics(self._bus, self._prefix, PRODUCER_TOPICS)
        except TopicsMissingError as error:
            log.error("events_topics_missing", reason=str(error))
        except BusUnavailableError:
            pass  # the next attempt says so

    async def _deliver(self, sender: KafkaSender) -> None:
        """Send some events; spool what the broker does not acknowledge."""
        self._in_flight = self._queue.take(MAX_EVENTS_PER_SEND)
        records = [self._record(envelope) for envelope in self._in_flight]
        try:
            refused = await sender.send(records)
        except Exception:  # also what aiokafka did not foresee: nobody else has these events
            await self._spool(self._take_in_flight())
            raise
        finally:
            self._update_signals()
        # Taken over by a flush whose time ran out? Then they are counted as spooled already.
        delivered = len(self._take_in_flight())
        self._counts["delivered"] += max(0, delivered - len(refused))
        self._counts["refused"] += min(len(refused), delivered)
        self._update_signals()

    async def _spool(self, events: Sequence[pb.Envelope]) -> None:
        """Write events to disk; put them back into memory when the disk fails. Raises OSError."""
        async with self._spooling:  # also a flush with nothing left to spool waits for what is being written
            if not events:
                return
            payloads = [envelope.SerializeToString() for envelope in events]
            name = f"{self._name}-{events[0].event_id.hex()}"
            try:
                path = await self._clock.run_in_thread(spool.write, self._spool_dir, name, payloads)
            except OSError as error:
                log.error("events_spool_failed", reason=str(error), events=len(events))
                for envelope in events:
                    self._queue.put(envelope)
                raise
        self._counts["spooled"] += len(events)
        self._spool_pending = True
        self._arrived.set()
        log.warning("events_spooled", events=len(events), file=path.name)

    async def _wait_for_retry(self, wait_s: float) -> None:
        """Wait before the next attempt; when memory is half full, spool at once to make room."""
        self._update_signals()
        try:
            async with asyncio.timeout(wait_s):
                await self._half_full.wait()
        except TimeoutError:
            return
        try:
            await self._spool(self._queue.take(len(self._queue)))
        except OSError:
            await self._clock.sleep(wait_s)
        self._update_signals()

    def _take_in_flight(self) -> list[pb.Envelope]:
        taken, self._in_flight = self._in_flight, []
        return taken

    def _update_signals(self) -> None:
        """Bring the three events in line with what is in memory."""
        if not self._queue:
            if not self._spool_pending:
                self._arrived.clear()
            if not self._in_flight:
                self._settled.set()
        if 2 * len(self._queue) < self._queue.capacity:
            self._half_full.clear()

    def _record(self, envelope: pb.Envelope, data: bytes | None = None) -> KafkaRecord:
        """Make the record of an event, with its bytes as they are where they are there already."""
        topic, key = routing(envelope)
        value = envelope.SerializeToString() if data is None else data
        return KafkaRecord(topic.name(self._prefix), key, value, int(envelope.occurred_at * 1000))

    def _count_resent(self, events: int) -> None:
        self._counts["resent"] += events

    async def _disconnect(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()
