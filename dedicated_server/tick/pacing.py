"""Pacing: a tick every 1/60 s, on time to a fraction of a millisecond, and never two to catch up.

An event loop wakes up to 1.3 ms late. So the loop sleeps until ``MARGIN_NS`` before the thread is to wake,
and compiled code sleeps the rest in the kernel, which is late by what `WakeUps` measures: 5 µs on a machine
of its own, 50 to 300 µs on a shared one. An engine that needs its time to the microsecond is woken that much
earlier, prefetches in the time that is left, and the rest is spun. An engine that has slack is woken when its
tick is due, and costs nothing while it waits.

This is the one module of a service that reads the machine's clock itself: compiled code spins on it, and
stages are measured by it. Wall time and sleeping in the event loop are those of `launchday.clock`.
"""

from __future__ import annotations

import ctypes
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
PREFETCH_NS: Final = 100_000  # what prefetching may take; with less time than that left it is left out
MAX_LEAD_NS: Final = 300_000  # what an engine is woken early at most: more is a core for nothing
FIRST_LATE_NS: Final = 60_000.0  # until it is measured
MIN_LATE_NS: Final = 2_000.0
# A tick in five wakes up later than what is expected: rises by a tenth then, falls by its fourth root.
LATER: Final = 1.1
SOONER: Final = LATER**-0.25
CLOCK_MONOTONIC: Final = 1
TIMER_ABSTIME: Final = 1
PR_SET_TIMERSLACK: Final = 29
# The three constants above are Linux's, and there perf_counter reads the same clock.
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

    @property
    def has_slack(self) -> bool:
        """Whether the next tick may begin as late as the machine wakes a thread."""

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

    async def sleep_until(self, wake_ns: int) -> None:
        """Let other tasks run, and return at ``wake_ns``, as late as the machine wakes a thread.

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
        if CAN_SPIN:  # else the kernel may wake this thread 50 µs late, to wake others with it
            ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)

    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return measured_ns()

    def read_wall(self) -> None:
        """Read the wall clock: for hours a server was idle, its machine may have been set right meanwhile."""
        self._unix_offset_s = self.wall() - measured_ns() / SECOND_NS

    def unix_s(self, now_ns: int) -> float:
        """Unix time of a moment of ``now_ns``, as of the last `read_wall`."""
        return self._unix_offset_s + now_ns / SECOND_NS

    async def sleep_until(self, wake_ns: int) -> None:
        """Sleep in the event loop until ``MARGIN_NS`` before ``wake_ns``, and in the kernel from then on."""
        if CAN_SPIN:
            await self.sleep(max(wake_ns - MARGIN_NS - measured_ns(), 0) / SECOND_NS)
            sleep_until_ns(wake_ns, self._timespec)
        else:
            await self.sleep(max(wake_ns - measured_ns(), 0) / SECOND_NS)

    def spin_until(self, due_ns: int) -> None:
        """Read the clock until it says ``due_ns``, without sleeping."""
        if CAN_SPIN:
            spin_until_ns(due_ns, self._timespec)
        while measured_ns() < due_ns:
            pass


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


class WakeUps:
    """How late this machine wakes a sleeping thread, and how long before a tick one is to be woken.

    ``late_ns`` is what four wake-ups in five stay below, followed as it changes: a single late one, such as a
    thread that another one was preferred to, raises it by a tenth alone.
    """

    def __init__(self) -> None:
        self.late_ns = FIRST_LATE_NS

    def note(self, late_ns: int) -> None:
        """The thread was woken ``late_ns`` after it had asked to be."""
        factor = LATER if late_ns > self.late_ns else SOONER
        self.late_ns = min(max(self.late_ns * factor, MIN_LATE_NS), MAX_LEAD_NS - PREFETCH_NS)

    def lead_ns(self, has_slack: bool) -> int:
        """Return how long before a tick the thread is to be woken."""
        return 0 if has_slack else round(self.late_ns) + PREFETCH_NS


async def run_paced(engine: PacedEngine, clock: PacingClock, wake_ups: WakeUps | None = None) -> None:
    """Tick until ``engine.finished``.

    Ticks are due at whole multiples of the period after the first, so rounding never accumulates. A tick that
    begins late is followed by the next at its own time. Ticks whose whole period has passed are skipped and
    counted, never made up for. ``wake_ups`` decides when the thread wakes; None: a new one.
    """
    wake_ups = wake_ups or WakeUps()
    first_ns = clock.now_ns()
    turn = 0
    while not engine.finished:
        due_ns = first_ns + turn * engine.period_ns
        await _wake_before(due_ns, engine, clock, wake_ups)
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


async def _wake_before(due_ns: int, engine: PacedEngine, clock: PacingClock, wake_ups: WakeUps) -> None:
    """Sleep until as long before ``due_ns`` as the engine needs, and note how late that ended."""
    wake_ns = due_ns - wake_ups.lead_ns(engine.has_slack)
    sleeps = clock.now_ns() < wake_ns
    await clock.sleep_until(wake_ns)
    if sleeps:
        wake_ups.note(clock.now_ns() - wake_ns)
