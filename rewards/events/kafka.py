"""A sender of batches to Kafka that says what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from launchday.resilience.bus import Bus, BusAddress, bus_at
from rewards.errors import BusUnavailableError
from rewards.events.kafka_clients import close, explained
from rewards.events.topics import tool_line

LINGER_MS = 20  # an event is on its way after at most this; a burst of kills becomes one request
MAX_BATCH_BYTES = 64 * 1024
REQUEST_TIMEOUT_MS = 5_000  # after this without an answer the broker counts as unavailable
CONNECT_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 10.0  # for a batch in all: handing it over waits for topics and memory, then for the broker
BURST_RECORDS = 32  # handed over at a stretch: about 0.4 ms, after which a tick that is due gets its turn

_NOT_ALLOWED = "this user may not write idempotently: duplicates are found by their ids alone"
_ALLOW = "kafka-acls.sh --add --allow-principal User:… --operation IdempotentWrite --cluster"

log = structlog.get_logger()

_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One record to be sent: what goes where."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class KafkaSender:
    """A connected producer with acks=all, idempotent where the broker supports it.

    Attributes:
        idempotent: whether the broker removes the duplicates that a repeated request makes. Nothing depends
            on it: the inbox removes them too.
    """

    def __init__(self, producer: AIOKafkaProducer, idempotent: bool, bus: BusAddress) -> None:
        self._producer = producer
        self._bus = bus_at(bus)
        self.idempotent = idempotent

    @classmethod
    async def open(cls, bus: BusAddress, client_id: str, *, idempotence: bool = True) -> Self:
        """Connect.

        Args:
            bus: Kafka's, or ``host:port,…`` of it.
            client_id: how the broker names this client in its logs.
            idempotence: ask for an idempotent producer; a broker that refuses it gets a plain one.

        Raises:
            BusUnavailableError: the broker cannot be reached.
        """
        producer = AIOKafkaProducer(
            **bus_at(bus).options(),
            client_id=client_id,
            acks="all",
            enable_idempotence=idempotence,
            linger_ms=LINGER_MS,
            max_batch_size=MAX_BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                with _sender_log_silenced(idempotence):
                    await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await _close(producer)
            if idempotence and _refuses_idempotence(error):
                if isinstance(error, ClusterAuthorizationFailedError):
                    log.warning("events_not_idempotent", reason=_NOT_ALLOWED, remedy=_ALLOW)
                return await cls.open(bus, client_id, idempotence=False)
            reason = await explained(bus, error)
            raise BusUnavailableError(f"cannot connect to Kafka at {bus}: {reason}") from error
        except BaseException:
            await _close(producer)
            raise
        return cls(producer, idempotence, bus)

    async def send(self, records: Sequence[KafkaRecord]) -> list[int]:
        """Hand over a batch, and wait until the broker has acknowledged it.

        Returns:
            the places of the records that the broker refused for good, because they are too large.

        Raises:
            BusUnavailableError: not all are acknowledged; some may be. Close this sender then: aiokafka would
                go on trying.
        """
        acknowledgements: dict[int, asyncio.Future[object]] = {}
        refused: list[int] = []
        failure: Exception | None = None
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                try:
                    refused = await self._hand_over(records, acknowledgements)
                except (KafkaError, OSError) as error:
                    failure = error
                if acknowledgements:
                    await asyncio.wait(acknowledgements.values())
        except TimeoutError:
            failure = failure or TimeoutError(f"no acknowledgement within {SEND_TIMEOUT_S:g} s")
        for place, future in acknowledgements.items():
            if not future.done():
                future.cancel()
                continue
            cause = ProducerClosed() if future.cancelled() else future.exception()
            if isinstance(cause, _REFUSALS):
                refused.append(place)
            elif isinstance(cause, Exception):
                failure = failure or cause
        if failure is not None:
            reason = repr(failure)
            if isinstance(failure, TopicAuthorizationFailedError):
                reason = _not_allowed(self._bus, sorted({record.topic for record in records}))
            raise BusUnavailableError(f"the broker did not take the events: {reason}") from failure
        return refused

    async def _hand_over(
        self, records: Sequence[KafkaRecord], acknowledgements: dict[int, asyncio.Future[object]]
    ) -> list[int]:
        """Give records to aiokafka, add a future for each to ``acknowledgements``, by its place; return the
        places of those that it refused.
        """
        refused = []
        for index, record in enumerate(records):
            if index % BURST_RECORDS == BURST_RECORDS - 1:
                await asyncio.sleep(0)
            try:
                acknowledgements[index] = await self._producer.send(
                    record.topic,
                    record.value,
                    record.key,
                    timestamp_ms=record.timestamp_ms,
                    headers=list(record.headers),  # a tuple it would refuse
                )
            except _REFUSALS:
                refused.append(index)
        return refused

    async def close(self) -> None:
        """Disconnect at once; the caller keeps what is not acknowledged by now."""
        await _close(self._producer)


def _not_allowed(bus: Bus, topics: Sequence[str]) -> str:
    words = [*tool_line("kafka-acls.sh", bus), "--add", "--allow-principal", f"User:{bus.user or '…'}"]
    words += ["--operation", "Write", *(f"--topic {topic}" for topic in topics)]
    return f"this user may not write to {', '.join(topics)}: {' '.join(words)}"


def _refuses_idempotence(error: Exception) -> bool:
    """Whether a broker that answers has said no; one that is slow, or on its way out, has not."""
    if isinstance(error, BrokerResponseError):
        return not error.retriable
    return isinstance(error, IncompatibleBrokerVersion)


@contextlib.contextmanager
def _sender_log_silenced(silenced: bool) -> Iterator[None]:
    # A broker without idempotent producers is expected, and KafkaSender.idempotent says so; aiokafka logs it
    # as an unexpected error.
    sender_log = logging.getLogger("aiokafka.producer.sender")
    before = sender_log.disabled
    sender_log.disabled = silenced or before
    try:
        yield
    finally:
        sender_log.disabled = before


async def _close(producer: AIOKafkaProducer) -> None:
    # aiokafka has no way to stop without delivering first, and an idempotent producer tries for ever. Failing
    # its batches is what its own sender does when it dies, so stop() then has nothing left to wait for.
    if (sending := producer._sender.sender_task) is not None:
        # It would fail them once more, and end in a traceback where there is no transaction.
        sending.remove_done_callback(producer._sender._fail_all)
    accumulator = producer._message_accumulator
    for batches in accumulator._batches.values():
        for batch in batches:
            batch._drain_waiter.cancel()
    accumulator.fail_all(ProducerClosed())
    await close(producer, "producer")
