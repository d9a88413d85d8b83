"""Pauses: what a process does that was stopped for a while and wakes late.

A process that was stopped (SIGSTOP, a frozen control group, a machine that is moved) wakes with every one of
its time-outs over, and with the answers that it waited for in its sockets. Whoever concludes from the clock
alone then gives up on parts that were well. So time for which a process did not run is not counted:
`PauseWatch` notices it, whoever decides by time-outs grants fresh ones, and `timeout` grants them to a block.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

LOOK_S = 0.5  # between two looks of `timeout`; a loop that is later than that by as much again was stopped


class PauseWatch:
    """Notices that this process was stopped, by being asked at regular times.

    Args:
        period_s: seconds between two calls of `noticed`, as planned.
        tolerance_s: how late a call may be without meaning anything; a busy machine is late too.
    """

    __slots__ = ("_last", "_period_s", "_tolerance_s")

    def __init__(self, period_s: float, tolerance_s: float) -> None:
        self._period_s = period_s
        self._tolerance_s = tolerance_s
        self._last: float | None = None

    def noticed(self, now: float) -> float:
        """Return for how many seconds this process was stopped since the last call; 0 where it was not.

        ``now`` is monotonic seconds.
        """
        last, self._last = self._last, now
        late_s = 0.0 if last is None else now - last - self._period_s
        return late_s if late_s > self._tolerance_s else 0.0


@contextlib.asynccontextmanager
async def timeout(seconds: float, look_s: float = LOOK_S) -> AsyncIterator[None]:
    """Bound a block as ``asyncio.timeout`` does, but do not count time for which the process was stopped.

    Args:
        seconds: that the block may take.
        look_s: between two looks whether the loop stood still.

    Raises:
        TimeoutError: the block took longer.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds) as bound:
        watch = PauseWatch(look_s, look_s)
        watch.noticed(loop.time())
        handle: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal handle
            # It is due before the bound: a loop that wakes late calls it first, and the bound moves in time.
            stopped_s, until = watch.noticed(loop.time()), bound.when()
            if stopped_s and until is not None and not bound.expired():
                bound.reschedule(until + stopped_s)
            handle = loop.call_later(look_s, look)

        handle = loop.call_later(look_s, look)
        try:
            yield
        finally:
            if handle is not None:
                handle.cancel()
