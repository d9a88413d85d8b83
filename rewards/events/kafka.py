"""Kafka clients: a sender of batches that says what became of them, and closing a dead broker's client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed, RecordListTooLargeError

from rewards.errors import BusUnavailableError

LINGER_MS = 20  # an event is on its way after at most this; a burst of kills becomes one request
MAX_BATCH_BYTES = 64 * 1024
REQUEST_TIMEOUT_MS = 5_000  # after this without an answer the broker counts as unavailable
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
BURST_RECORDS = 32  # handed over at a stretch: about 0.4 ms, after which a tick that is due gets its turn

_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)

log = structlog.get_logger()


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

    def __init__(self, producer: AIOKafkaProducer, idempotent: bool) -> None:
        self._producer = producer
        self.idempotent = idempotent

    @classmethod
    async def open(cls, bootstrap: str, client_id: str, *, idempotence: bool = True) -> Self:
        """Connect.

        Args:
            bootstrap: ``host:port,…`` of Kafka.
            client_id: how the broker names this client in its logs.
            idempotence: ask for an idempotent producer; a broker that refuses it gets a plain one.

        Raises:
            BusUnavailableError: the broker cannot be reached.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
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
            connected = bool(producer.client.cluster.brokers())
            await _close(producer)
            if idempotence and connected:
                return await cls.open(bootstrap, client_id, idempotence=False)
            raise BusUnavailableError(f"cannot connect to Kafka at {bootstrap}: {error}") from error
        except BaseException:
            await _close(producer)
            raise
        return cls(producer, idempotence)

    async def send(self, records: Sequence[KafkaRecord]) -> int:
        """Hand over a batch, and wait until the broker has acknowledged it.

        Returns:
            the number of records that the broker refused for good, because they are too large.

        Raises:
            BusUnavailableError: not all are acknowledged; some may be. Close this sender then: aiokafka would
                go on trying.
        """
        refused = 0
        acknowledgements: list[asyncio.Future[object]] = []
        failure: Exception | None = None
        for index, record in enumerate(records):
            if index % BURST_RECORDS == BURST_RECORDS - 1:
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
        """Disconnect at once; the caller keeps what is not acknowledged by now."""
        await _close(self._producer)


async def close_within(timeout_s: float, what: str, closing: Awaitable[None]) -> None:
    """Run ``closing`` for at most twice ``timeout_s`` seconds, and go on however it ends.

    aiokafka's ``stop()`` can hang on a dead broker, fail, or, where the coordinator was being cancelled, end
    with a CancelledError that nobody asked for. Passed on, that one would look like a wish to end the caller:
    a consumer once ended so for good, and its service said that it was well.

    Args:
        what: names the client in the log.
        closing: the client's ``stop()``.

    Raises CancelledError when the caller itself is being cancelled, and nothing else.
    """
    stopping = asyncio.ensure_future(closing)
    try:
        _, pending = await asyncio.wait({stopping}, timeout=timeout_s)
    except asyncio.CancelledError:
        await asyncio.wait({stopping}, timeout=timeout_s)
        raise
    if pending:
        log.warning("kafka_close_slow", client=what, timeout_s=timeout_s)
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=timeout_s)
    elif stopping.cancelled():
        log.warning("kafka_close_cancelled", client=what)
    elif (error := stopping.exception()) is not None:
        log.warning("kafka_close_failed", client=what, error=repr(error))


def is_being_cancelled() -> bool:
    """Tell whether somebody asked the running task to end.

    A CancelledError while this is False came out of a library, and is a fault like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
    accumulator = producer._message_accumulator
    for batches in accumulator._batches.values():
        for batch in batches:
            batch._drain_waiter.cancel()
    accumulator.fail_all(ProducerClosed())
    await close_within(CLOSE_TIMEOUT_S, "producer", producer.stop())
