"""Pacing: a tick every 1/60 s, on time to a fraction of a millisecond, and never two to catch up.

An event loop wakes up to 1.3 ms late. So the loop sleeps until ``MARGIN_NS`` before a tick is due, compiled
code sleeps until ``SPIN_NS`` before it, and the rest is spun. Ticks begin within 5 µs (p50) and about 15 µs
(p99) of their time, for 2 % of a core. Before the spinning, the engine may prefetch for the tick, in time
that would have been spent waiting.

This is the one module of a service that reads the machine's clock itself: compiled code spins on it, and
stages are measured by it. Wall time and sleeping in the event loop are those of `launchday.clock`.
"""

from __future__ import annotations

import sys
import time
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from numba import njit, types

from dedicated_server.native.compilation import STAGE
from launchday.clock import Clock, SystemClock

SECOND_NS: Final = 1_000_000_000
MARGIN_NS: Final = 1_500_000  # how late an event loop may wake up: selectors count in milliseconds
SPIN_NS: Final = 300_000  # how late a sleeping thread may wake up
PREFETCH_NS: Final = 100_000  # what prefetching may take; with less time than that left it is left out
CLOCK_MONOTONIC: Final = 1
TIMER_ABSTIME: Final = 1
# The two constants above are Linux's, and there perf_counter reads the same clock.
CAN_SPIN: Final = sys.platform == "linux"

_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))
_clock_nanosleep = types.ExternalFunction(
    "clock_nanosleep", types.int32(types.int32, types.int32, types.uintp, types.uintp)
)


class PacedEngine(Protocol):
    """What `run_paced` paces."""

    @property
    def finished(self) -> bool:
        """True once there is nothing left to do."""

    @property
    def period_ns(self) -> int:
        """Nanoseconds from one tick to the next."""

    def prefetch(self) -> None:
        """Prefetch for a tick that is due in a moment. May be left out."""

    def tick(self, now_s: float, late_s: float) -> None:
        """Do one tick: the time is ``now_s``, it was due ``late_s`` ago."""

    def skip(self, missed_ticks: int) -> None:
        """Skip ticks that are too late to be done."""


class PacingClock(Protocol):
    """Time as the pacing of ticks needs it: to the nanosecond, and waiting for a moment."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary moment, never going backwards."""

    def unix_s(self, now_ns: int) -> float:
        """The same moment as Unix time."""

    async def sleep_until_near(self, due_ns: int) -> None:
        """Let other tasks run, and return a little before ``due_ns``.

        Where that is past, after other tasks ran once.
        """

    def spin_until(self, due_ns: int) -> None:
        """Return at ``due_ns``, as nearly as possible; at once if it is past."""


class TickClock(Clock, PacingClock, Protocol):
    """The clock of a game server: the seam of its services, and the pacing of its ticks."""

    def read_wall(self) -> None:
        """Read the wall clock: `unix_s` goes on from it."""


def measured_ns() -> int:
    """Nanoseconds of the monotonic clock: for measuring how long a stage takes, and for pacing."""
    return time.perf_counter_ns()


class SystemTickClock(SystemClock):
    """The machine's clock.

    The time of ticks goes on evenly from the last `read_wall`: a step in the middle of a match times nobody
    out. What is dated in a match goes by `wall`, which is read anew each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read_wall()
        self._timespec = np.zeros(2, dtype=np.int64)

    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return measured_ns()

    def read_wall(self) -> None:
        """Read the wall clock: for hours a server was idle, its machine may have been set right meanwhile."""
        self._unix_offset_s = self.wall() - measured_ns() / SECOND_NS

    def unix_s(self, now_ns: int) -> float:
        """Unix time of a moment of ``now_ns``, as of the last `read_wall`."""
        return self._unix_offset_s + now_ns / SECOND_NS

    async def sleep_until_near(self, due_ns: int) -> None:
        """Sleep in the event loop until ``MARGIN_NS`` before ``due_ns``, in the kernel until ``SPIN_NS``
        before.
        """
        if CAN_SPIN:
            await self.sleep(max(due_ns - MARGIN_NS - measured_ns(), 0) / SECOND_NS)
            sleep_until_ns(due_ns - SPIN_NS, self._timespec)
        else:
            await self.sleep(max(due_ns - measured_ns(), 0) / SECOND_NS)

    def spin_until(self, due_ns: int) -> None:
        """Read the clock until it says ``due_ns``, without sleeping."""
        if CAN_SPIN:
            spin_until_ns(due_ns, self._timespec)


@njit(cache=True, nogil=True, **STAGE)
def sleep_until_ns(wake_ns: int, timespec: npt.NDArray[np.int64]) -> None:
    """Sleep until ``wake_ns`` of the monotonic clock."""
    timespec[0] = wake_ns // SECOND_NS
    timespec[1] = wake_ns % SECOND_NS
    at = np.uintp(timespec.ctypes.data)
    _clock_nanosleep(np.int32(CLOCK_MONOTONIC), np.int32(TIMER_ABSTIME), at, np.uintp(0))


@njit(cache=True, nogil=True, **STAGE)
def spin_until_ns(due_ns: int, timespec: npt.NDArray[np.int64]) -> int:
    """Read the monotonic clock until it says ``due_ns``; return its time then."""
    at = np.uintp(timespec.ctypes.data)
    while True:
        _clock_gettime(np.int32(CLOCK_MONOTONIC), at)
        now_ns = timespec[0] * SECOND_NS + timespec[1]
        if now_ns >= due_ns:
            return int(now_ns)


async def run_paced(engine: PacedEngine, clock: PacingClock) -> None:
    """Tick until ``engine.finished``.

    Ticks are due at whole multiples of the period after the first, so rounding never accumulates. A tick that
    begins late is followed by the next at its own time. Ticks whose whole period has passed are skipped and
    counted, never made up for.
    """
    first_ns = clock.now_ns()
    turn = 0
    while not engine.finished:
        due_ns = first_ns + turn * engine.period_ns
        await clock.sleep_until_near(due_ns)
        if clock.now_ns() < due_ns - PREFETCH_NS:
            engine.prefetch()
        clock.spin_until(due_ns)
        now_ns = clock.now_ns()
        missed = max(now_ns - due_ns, 0) // engine.period_ns
        if missed:
            engine.skip(missed)
            turn += missed
            due_ns += missed * engine.period_ns
        engine.tick(clock.unix_s(now_ns), max(now_ns - due_ns, 0) / SECOND_NS)
        turn += 1
