"""What a server says to its players between its last tick and the end of its process.

A match that ends as it should has told everybody by its last tick. What is left is to refuse who asks while
the results are committed. A server that has to end before its match tells everybody first, for a second at
most: whoever wants it gone may kill it soon after.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from dedicated_server.protocol.reasons import GOING_AWAY
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import TickClock

PART_S = 1.0
PART_PERIOD_S = 0.02  # between two looks for the answers, while a server parts
ANSWER_PERIOD_S = 0.1  # between two answers to those who come late


async def part(engine: Engine, clock: TickClock) -> None:
    """Tell everybody that the server goes away; return when they have answered, or could have.

    Does nothing where they have been told how the match ended.
    """
    engine.close(GOING_AWAY)
    last_s = clock.unix_s(clock.now_ns()) + PART_S
    while engine.parting and (now_s := clock.unix_s(clock.now_ns())) < last_s:
        engine.answer(now_s)
        await clock.sleep(PART_PERIOD_S)


@contextlib.asynccontextmanager
async def answering(engine: Engine, clock: TickClock) -> AsyncIterator[None]:
    """Refuse who comes after the match, while the block runs."""

    async def answer() -> None:
        while True:
            engine.answer(clock.unix_s(clock.now_ns()))
            await clock.sleep(ANSWER_PERIOD_S)

    task = asyncio.create_task(answer(), name="late players")
    try:
        yield
    finally:
        task.cancel()
