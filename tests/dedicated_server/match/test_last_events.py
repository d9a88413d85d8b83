"""Events at the end of a match wait for room on a full disk before they are given up."""

from __future__ import annotations

import asyncio
import errno
from typing import cast

from dedicated_server.server import EVENTS_ROOM_S, ROOM_RETRY_S, _stop
from launchday.clock import ManualClock
from rewards.events import EventProducer
from rewards.events.producer import ProducerCounters


class Producer:
    """A producer whose broker is away and whose disk is full until ``room`` is set."""

    def __init__(self) -> None:
        self.room = False
        self.flushes: list[float] = []
        self.stopped = False

    async def flush(self, timeout_s: float) -> bool:
        self.flushes.append(timeout_s)
        if not self.room:
            raise OSError(errno.ENOSPC, "no space")
        return False

    async def stop(self, timeout_s: float = 5.0) -> bool:
        self.stopped = True
        return await self.flush(timeout_s)

    def counters(self) -> ProducerCounters:
        return ProducerCounters(5, 0, 0, 0, {}, 5, 0)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_events_are_spooled_once_there_is_room() -> None:
    producer, clock = Producer(), ManualClock()
    stopping = asyncio.create_task(_stop(cast(EventProducer, producer), clock, 5.0, EVENTS_ROOM_S))
    for _ in range(3):
        await turns()
        clock.advance(ROOM_RETRY_S)
    await turns()
    assert producer.flushes == [5.0, 0.0, 0.0, 0.0]  # Kafka is waited for once
    assert not producer.stopped
    producer.room = True
    clock.advance(ROOM_RETRY_S)
    await stopping
    assert producer.stopped


async def test_a_server_that_is_told_to_stop_waits_for_no_room() -> None:
    producer = Producer()
    await asyncio.wait_for(_stop(cast(EventProducer, producer), ManualClock(), 0.01), 10.0)
    assert producer.stopped
