"""One time for the processes that share a cache: by it leases end, tickets age and deadlines pass.

By its own machine's clock each would have a time of its own: machines differ, and of two processes one may
have begun before a step and the other after it. So the cache keeps the time: every process asks it once a
second, and goes on evenly from its answer (`SystemClock.agree`). Nobody's step moves it, the cache's own
neither: the first process that asks after one says which time it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import structlog

from launchday.clock import MAX_STEP_S, SLEW, Clock, SystemClock
from launchday.resilience.clocks.skew import PEERS

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEY = "launchday:time"
PERIOD_S = 1.0  # between two questions
GAP_S = 5.0  # without a question from anybody: a cache on a busy machine may keep all waiting for a second
FIRST_S = 1.0  # for the first answer
NEAR_S = 0.1  # machines whose clocks NTP keeps differ by less
CLOSE_S = 0.2  # an answer that took longer says too little of the time

log = structlog.get_logger()


class SharedTime:
    """Keeps one process's clock with those of the others.

    Args:
        cache: a client of the region's cache.
        clock: the process's; one that is no `SystemClock` itself is a world of its own and is left alone.
    """

    def __init__(self, cache: Redis, clock: Clock) -> None:
        self._clock = clock
        text = resources.files(__package__).joinpath("shared_time.lua").read_text()
        self._script = cache.register_script(text)
        self._agreed = False

    async def agree(self) -> None:
        """Ask once, and go by the answer. Raises the cache's errors."""
        clock = self._clock
        if type(clock) is not SystemClock:
            return
        mine = repr(clock.now()) if self._agreed else ""
        began, sent = clock.monotonic(), clock.wall()
        answer, theirs = await cast(Any, self._script(keys=[KEY], args=[mine, GAP_S, MAX_STEP_S, SLEW]))
        took_s = clock.monotonic() - began
        PEERS.heard("cache", theirs, sent, clock.wall())
        least_s, wall = float(answer), clock.wall()
        if least_s - NEAR_S <= wall <= least_s + took_s + NEAR_S:
            clock.agree(wall)  # ours is it, as far as can be told
        elif took_s <= CLOSE_S or not self._agreed:
            clock.agree(least_s + took_s / 2)
        self._agreed = True

    async def run(self) -> None:
        """Ask once a second, until cancelled. While the cache is away the clock goes on evenly."""
        from redis.exceptions import RedisError

        while True:
            try:
                await self.agree()
            except (RedisError, OSError) as error:
                log.debug("no shared time", reason=repr(error))
            await self._clock.sleep(PERIOD_S)


@contextlib.asynccontextmanager
async def shared_time(cache: Redis, clock: Clock) -> AsyncIterator[None]:
    """Keep a clock with those of the cache's other processes until the block ends.

    The first answer is waited for, as what a process does first is not to be dated by its own clock.
    """
    keeper = SharedTime(cache, clock)
    with contextlib.suppress(Exception):  # without the cache the process starts, too
        async with asyncio.timeout(FIRST_S):
            await keeper.agree()
    task = asyncio.create_task(keeper.run(), name="shared time")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
