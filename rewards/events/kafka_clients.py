"""aiokafka's clients as ours: sockets that notice a broker that is gone, and no wait without an end.

aiokafka bounds a request and hardly anything else: ``start`` tries broker after broker, ``position`` waits
until there is one, ``stop`` waits for connections to drain. `answered` bounds what is done between, and gives
one clear error; `reader` is a consumer whose beginning and end are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError

from launchday.resilience.bus import BusAddress, bus_at
from launchday.resilience.bus_handshake import why_not
from rewards.errors import BusUnavailableError

START_S = 10.0  # to connect and to learn the topics
ANSWER_S = 10.0  # for anything that is one request or a few
CLOSE_S = 2.0
REQUEST_TIMEOUT_MS = 5_000  # of one request without a group; aiokafka's own 40 s outlast every caller
GROUP_REQUEST_TIMEOUT_MS = 10_000  # of a member's: to join may wait for a session of another
METADATA_MAX_AGE_MS = 30_000  # partitions that are added to a topic are read after this at most

log = structlog.get_logger()


@contextlib.asynccontextmanager
async def answered(bus: BusAddress, what: str, within_s: float | None = None) -> AsyncIterator[None]:
    """Bound a block of calls to the broker.

    Args:
        bus: ``host:port,…``, for the message.
        what: is being done, for the message: "reading the dead letters".
        within_s: seconds for the block in all; None: ANSWER_S.

    Raises:
        BusUnavailableError: the broker refused, or did not answer in time.
    """
    within_s = ANSWER_S if within_s is None else within_s
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as error:
        raise BusUnavailableError(f"Kafka at {bus} did not answer within {within_s:g} s: {what}") from error
    except (KafkaError, OSError) as error:
        reason = await explained(bus, error)
        raise BusUnavailableError(f"Kafka at {bus}: {what}: {reason}") from error


async def explained(bus: BusAddress, error: BaseException) -> str:
    """Say why a client could not do something, in one line.

    aiokafka says of a wrong password, a wrong authority and a broker that is away alike that it could not
    bootstrap. So a broker with security is asked again.
    """
    found = bus_at(bus)
    if found.security != "plaintext" and isinstance(error, KafkaConnectionError):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                if (reason := await why_not(found)) is not None:
                    return reason
    return repr(error)


@contextlib.asynccontextmanager
async def reader(
    bus: BusAddress, what: str, *topics: str, start_s: float | None = None, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """Lend a started consumer that is in no group and commits nothing.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        what: it does, for the log and for messages.
        topics: to read; none: the caller assigns partitions.
        start_s: seconds to connect; None: START_S.
        options: further ones of aiokafka's consumer.

    Raises:
        BusUnavailableError: the broker cannot be reached.
    """
    kafka = AIOKafkaConsumer(
        *topics,
        **bus_at(bus).options(),
        group_id=None,
        enable_auto_commit=False,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **options,
    )
    try:
        async with answered(bus, what, START_S if start_s is None else start_s):
            await kafka.start()
        yield kafka
    finally:
        await close(kafka, what)


def group_member(
    bus: BusAddress, group: str, client_id: str, *, session_ms: int, heartbeat_ms: int, max_records: int
) -> AIOKafkaConsumer:
    """Make a consumer, not started, that is a member of a group and commits nothing to Kafka.

    Args:
        bus: Kafka's, or ``host:port,…`` of it.
        group: its name.
        client_id: how the broker names this client in its logs.
        session_ms: after which a member that was killed loses its partitions.
        heartbeat_ms: between its signs of life.
        max_records: of one poll.

    Where an offset is not there it leaps to the beginning; the caller has to notice.
    """
    return AIOKafkaConsumer(
        **bus_at(bus).options(),
        group_id=group,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        max_poll_records=max_records,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=heartbeat_ms,
        request_timeout_ms=GROUP_REQUEST_TIMEOUT_MS,
    )


async def close(client: Any, what: str, within_s: float | None = None) -> None:
    """End a client of aiokafka's in bounded time, and with it every connection of its.

    Args:
        client: a producer, a consumer or an admin client.
        what: names it in the log.
        within_s: seconds for the good order, and as many again for what is cancelled; None: CLOSE_S.
    """
    within_s = CLOSE_S if within_s is None else within_s
    try:
        await close_within(within_s, what, (client.stop if hasattr(client, "stop") else client.close)())
    finally:
        connections = getattr(client, "client", None) or client._client
        for connection in list(
            connections._conns.values()
        ):  # those to a broker that did not let it end in good order
            if connection._writer is not None:
                connection._writer.transport.abort()
            connection.close()


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
