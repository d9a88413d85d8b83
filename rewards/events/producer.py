"""The producer that a game server holds: it never makes the tick wait and loses nothing that fits on the disk.

emit ─▶ backlog (bounded memory) ─▶ Kafka, acks=all
                └─ broker away ─▶ spool (disk) ─▶ Kafka, when it is back or at the next start
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from rewards.events import events_pb2 as pb
from rewards.events import spool
from rewards.events.backlog import Backlog
from rewards.events.closing import is_being_cancelled
from rewards.events.errors import BadEventError, BusUnavailableError
from rewards.events.link import Link, Record
from rewards.events.parse import parse_envelope, routing

CAPACITY = 20_000  # events: 20 s of a storm of 1,000 a second, about 10 MB
CHUNK = 500  # events delivered and acknowledged together
RECONNECT_FIRST_S = 0.1
RECONNECT_MAX_S = 3.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProducerBooks:
    """What became of the events: emitted = delivered + spooled + refused + dropped + waiting.

    Attributes:
        emitted: given to ``emit``.
        delivered: acknowledged by the broker.
        spooled: written to disk instead; they are delivered later, by this process or another.
        refused: too large for the broker.
        dropped: lost because memory was full, by kind.
        waiting: in memory now.
        replayed: delivered from spool files, this process's or older ones; counted apart from the above.
    """

    emitted: int
    delivered: int
    spooled: int
    refused: int
    dropped: dict[str, int]
    waiting: int
    replayed: int


class EventProducer:
    """Sends events to Kafka in the background. Use it from one event loop's thread.

    Args:
        bootstrap: ``host:port,…`` of Kafka.
        prefix: first part of the topics' names.
        producer_name: names the spool files and the Kafka client; unique on this machine.
        spool_dir: folder for events that could not be delivered. Producers of one machine share it: each delivers what
            any of them has left there.
        capacity: events held in memory at most.
    """

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        producer_name: str,
        spool_dir: Path,
        *,
        capacity: int = CAPACITY,
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._name = producer_name
        self._spool_dir = spool_dir
        self._backlog = Backlog(capacity)
        self._in_flight: list[pb.Envelope] = []
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._owed = True  # there may be spool files to replay
        self._arrived = asyncio.Event()  # something waits in the backlog or the spool
        self._pressed = asyncio.Event()  # the backlog is half full
        self._settled = asyncio.Event()  # nothing waits, nothing is in flight
        self._settled.set()
        self._spooling = asyncio.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as is known."""
        return self._link is not None

    @property
    def idempotent(self) -> bool | None:
        """Whether the broker removes duplicates of this producer's requests; None while not connected."""
        return None if self._link is None else self._link.idempotent

    async def start(self) -> None:
        """Begin to connect and to deliver in the background, spool files first. Returns at once, broker or not."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"events of {self._name}")

    def emit(self, envelope: pb.Envelope) -> bool:
        """Queue one event; the envelope is the producer's from now on. Never blocks, does no I/O.

        Returns:
            False when it was dropped: memory is full of events at least as important. ``books`` counts it.
        """
        self._counts["emitted"] += 1
        kept = self._backlog.put(envelope)
        self._settled.clear()
        self._arrived.set()
        if 2 * len(self._backlog) >= self._backlog.capacity:
            self._pressed.set()
        return kept

    async def flush(self, timeout_s: float) -> bool:
        """Wait until every event so far is acknowledged.

        Returns:
            True when they are. False when the time ran out: the rest is in the spool then (``books().spooled``), on disk
            before this returns.

        Raises:
            OSError: they could not be spooled either. They are still in memory; the caller may flush again.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            await self._spool([*self._take_in_flight(), *self._backlog.take(len(self._backlog))])
            self._note_state()
            return False
        return True

    async def stop(self, timeout_s: float = 5.0) -> bool:
        """Flush, as ``flush`` does, and disconnect."""
        try:
            return await self.flush(timeout_s)
        finally:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
                self._task = None
            await self._disconnect()

    def books(self) -> ProducerBooks:
        """The counts so far."""
        return ProducerBooks(
            emitted=self._counts["emitted"],
            delivered=self._counts["delivered"],
            spooled=self._counts["spooled"],
            refused=self._counts["refused"],
            dropped=dict(self._backlog.dropped),
            waiting=len(self._backlog) + len(self._in_flight),
            replayed=self._counts["replayed"],
        )

    async def _run(self) -> None:
        wait_s = RECONNECT_FIRST_S
        while True:
            try:
                self._link = await Link.open(self._bootstrap, self._name)
                log.info("events_connected", bootstrap=self._bootstrap, idempotent=self._link.idempotent)
                while True:
                    if self._owed:
                        await self._replay(self._link)
                    wait_s = RECONNECT_FIRST_S
                    await self._arrived.wait()
                    await self._deliver(self._link)
            except BusUnavailableError as error:
                log.warning("events_broker_away", reason=str(error), retry_in_s=wait_s)
            except asyncio.CancelledError as error:
                if is_being_cancelled():
                    raise
                log.warning("events_broker_away", reason=repr(error), retry_in_s=wait_s)
            except Exception:
                log.exception("events_delivery_failed", retry_in_s=wait_s)
            self._owed = True
            await self._disconnect()
            await self._wait_for_retry(wait_s)
            wait_s = min(2 * wait_s, RECONNECT_MAX_S)

    async def _deliver(self, link: Link) -> None:
        """Send one chunk; what the broker does not acknowledge goes to the spool."""
        self._in_flight = self._backlog.take(CHUNK)
        records = [self._record(envelope) for envelope in self._in_flight]
        try:
            refused = await link.deliver(records)
        except Exception:  # also what aiokafka did not foresee: nobody else has these events
            await self._spool(self._take_in_flight())
            raise
        finally:
            self._note_state()
        # Taken over by a flush whose time ran out? Then they are counted as spooled already.
        delivered = len(self._take_in_flight())
        self._counts["delivered"] += max(0, delivered - refused)
        self._counts["refused"] += min(refused, delivered)
        self._note_state()

    async def _replay(self, link: Link) -> None:
        """Deliver what spool files hold, and delete each once all of it is acknowledged."""
        self._owed = False
        claims = spool.claims(self._spool_dir)
        while (claim := await asyncio.to_thread(next, claims, None)) is not None:
            if claim.damage:
                log.error("events_spool_damaged", file=claim.path.name, damage=claim.damage)
            records = []
            for data in claim.events:
                try:
                    records.append(self._record(parse_envelope(data)))
                except BadEventError as error:
                    log.error("events_spool_bad_event", file=claim.path.name, reason=str(error))
            for start in range(0, len(records), CHUNK):
                chunk = records[start : start + CHUNK]
                self._counts["replayed"] += len(chunk) - await link.deliver(chunk)
            await asyncio.to_thread(claim.done)
            log.info("events_spool_replayed", file=claim.path.name, events=len(records))

    async def _spool(self, events: Sequence[pb.Envelope]) -> None:
        """Write events to disk; when the disk fails they go back to memory. Raises OSError."""
        async with self._spooling:  # also a flush with nothing left to spool waits for what is being written
            if not events:
                return
            payloads = [envelope.SerializeToString() for envelope in events]
            name = f"{self._name}-{events[0].event_id.hex()}"
            try:
                path = await asyncio.to_thread(spool.write, self._spool_dir, name, payloads)
            except OSError as error:
                log.error("events_spool_failed", reason=str(error), events=len(events))
                for envelope in events:
                    self._backlog.put(envelope)
                raise
        self._counts["spooled"] += len(events)
        self._owed = True
        self._arrived.set()
        log.warning("events_spooled", events=len(events), file=path.name)

    async def _wait_for_retry(self, wait_s: float) -> None:
        """Wait before the next attempt; when memory is half full, make room by spooling."""
        self._note_state()
        try:
            async with asyncio.timeout(wait_s):
                await self._pressed.wait()
        except TimeoutError:
            return
        try:
            await self._spool(self._backlog.take(len(self._backlog)))
        except OSError:
            await asyncio.sleep(wait_s)
        self._note_state()

    def _take_in_flight(self) -> list[pb.Envelope]:
        taken, self._in_flight = self._in_flight, []
        return taken

    def _note_state(self) -> None:
        """Bring the three events in line with what is in memory."""
        if not self._backlog:
            if not self._owed:
                self._arrived.clear()
            if not self._in_flight:
                self._settled.set()
        if 2 * len(self._backlog) < self._backlog.capacity:
            self._pressed.clear()

    def _record(self, envelope: pb.Envelope) -> Record:
        topic, key = routing(envelope)
        return Record(
            topic.name(self._prefix), key, envelope.SerializeToString(), int(envelope.occurred_at * 1000)
        )

    async def _disconnect(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()
