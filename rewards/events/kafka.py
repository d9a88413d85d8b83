"""The producer's link to Kafka: connect, hand over a batch, learn what became of it, and let go even of a dead broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed, RecordListTooLargeError

from rewards.events.closing import close_within
from rewards.events.errors import BusUnavailableError

LINGER_MS = 20  # an event is on its way after at most this; a storm of kills becomes one request
BATCH_BYTES = 64 * 1024
REQUEST_TIMEOUT_MS = 5_000  # after this without an answer the broker counts as away
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
BURST = 32  # events handed over at a stretch: about 0.4 ms, after which a tick that is due gets its turn

_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Record:
    """One record: what goes where."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class KafkaSender:
    """A connected producer with acks=all, idempotent where the broker can.

    Attributes:
        idempotent: whether the broker removes the duplicates that a repeated request makes. Nothing depends on it: the
            inbox removes them too.
    """

    def __init__(self, producer: AIOKafkaProducer, idempotent: bool) -> None:
        self._producer = producer
        self.idempotent = idempotent

    @classmethod
    async def open(cls, bootstrap: str, client_id: str, *, idempotence: bool = True) -> Self:
        """Connect; raises BusUnavailableError when the broker is away.

        With ``idempotence``, a broker that refuses an idempotent producer gets a plain one.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            acks="all",
            enable_idempotence=idempotence,
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                with _silenced_if(idempotence):
                    await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            connected = bool(producer.client.cluster.brokers())
            await _close(producer)
            if idempotence and connected:
                return await cls.open(bootstrap, client_id, idempotence=False)
            raise BusUnavailableError(f"cannot connect to Kafka at {bootstrap}: {error}") from error
        except BaseException:
            await _close(producer)
            raise
        return cls(producer, idempotence)

    async def send(self, records: Sequence[Record]) -> int:
        """Hand over a batch and wait until the broker has acknowledged it.

        Returns:
            how many records it refused for good, because they are too large.

        Raises:
            BusUnavailableError: not all are acknowledged; some may be. Close this link then: aiokafka would go on trying.
        """
        refused = 0
        acknowledgements: list[asyncio.Future[object]] = []
        failure: Exception | None = None
        for index, record in enumerate(records):
            if index % BURST == BURST - 1:
                await asyncio.sleep(0)
            try:
                acknowledgements.append(
                    await self._producer.send(
                        record.topic,
                        record.value,
                        record.key,
                        timestamp_ms=record.timestamp_ms,
                        headers=list(record.headers),  # a tuple it would refuse
                    )
                )
            except _REFUSALS:
                refused += 1
            except (KafkaError, OSError) as error:
                failure = error
                break
        if acknowledgements:
            done, pending = await asyncio.wait(acknowledgements, timeout=2 * REQUEST_TIMEOUT_MS / 1000)
            for future in pending:
                future.cancel()
            for future in done:
                cause = ProducerClosed() if future.cancelled() else future.exception()
                if isinstance(cause, _REFUSALS):
                    refused += 1
                elif isinstance(cause, Exception):
                    failure = failure or cause
            if pending:
                failure = failure or TimeoutError("no acknowledgement in time")
        if failure is not None:
            raise BusUnavailableError(f"the broker did not take the events: {failure!r}") from failure
        return refused

    async def close(self) -> None:
        """Let go, at once: what is not acknowledged by now is the caller's to keep."""
        await _close(self._producer)


@contextlib.contextmanager
def _silenced_if(idempotence: bool) -> Iterator[None]:
    # A broker without idempotent producers is expected, and told by Link.idempotent; aiokafka calls it an unexpected error.
    sender_log = logging.getLogger("aiokafka.producer.sender")
    before = sender_log.disabled
    sender_log.disabled = idempotence or before
    try:
        yield
    finally:
        sender_log.disabled = before


async def _close(producer: AIOKafkaProducer) -> None:
    # aiokafka has no way to stop without delivering first, and an idempotent producer tries for ever. Failing its batches
    # is what its own sender does when it dies, so stop() then has nothing left to wait for.
    accumulator = producer._message_accumulator
    for batches in accumulator._batches.values():
        for batch in batches:
            batch._drain_waiter.cancel()
    accumulator.fail_all(ProducerClosed())
    await close_within(CLOSE_TIMEOUT_S, "producer", producer.stop())
