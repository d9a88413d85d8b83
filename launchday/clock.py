"""The one seam for time and chance: every clock reading, sleep, random number, id and thread of a service.

A service is given a `Clock` and asks nothing else, so a whole backend can live in virtual time from a seed,
and a test needs no sleep. ``__main__`` modules make a `SystemClock`; tests make a `ManualClock`. ``python -m
tests.seam_rules`` checks that no service goes past it.

Three times, for three purposes:

- `Clock.monotonic` for what one process decides alone: deadlines, back-off, liveness. A step of the wall
  clock does not move it.
- `Clock.now` for ages and deadlines that processes share: leases, tickets. It is Unix time, but it does not
  jump: when the wall clock steps against the monotonic clock by more than `MAX_STEP_S`, `SystemClock` says so
  and walks to the new time at `SLEW` seconds a second, so that a step ends nothing early by more than that
  share of its life. Processes that share a cache agree on it (`launchday.resilience.clocks.shared_time`).
- `Clock.wall` for what is dated, signed or shown: events, tokens, seasons. It is the wall clock, read
  anew at each call, and jumps with it. Whoever compares such times of two machines allows for their skew.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

import structlog

# NTP slews smaller errors; what is larger was a step: a person, a resumed machine, a first sync.
MAX_STEP_S = 1.0
SLEW = 0.05  # as adjtime(3) does it, but 100 times faster: a step of a minute is made up within 20
AGREED_S = 30.0  # for so long a process goes by what others said last; then by its own machine alone
OFFSET_FILE = "LAUNCHDAY_CLOCK_OFFSET_FILE"
"""Environment variable of tests and benchmarks: a file with the seconds that the wall clock is ahead by.

Whoever writes another number into it steps the clock of each process that was started with it.
"""
OFFSET_PERIOD_S = 0.1  # between two looks into that file

T = TypeVar("T")

log = structlog.get_logger()


class Clock(Protocol):
    """Time, chance, ids and threads, as a service sees them."""

    def now(self) -> float:
        """Unix time in seconds that no step moves, for ages and deadlines that processes share."""

    def wall(self) -> float:
        """Unix time in seconds as the wall clock has it, for what is dated, signed or shown; it may jump."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, for what this process decides alone; it never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at the next turn of the event loop where that is 0 or less."""

    def random(self, name: str) -> random.Random:
        """The stream of random numbers of one purpose.

        Args:
            name: the purpose, such as ``"retry"`` or ``"session-id"``. In a seeded world each name has a
                stream of its own, so that one purpose's draws do not shift another's.

        Returns:
            A stream fit for keys and tokens where the clock is a `SystemClock`.
        """

    def uuid(self) -> UUID:
        """A new random UUID (version 4)."""

    async def run_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function(*args)`` where it does not block the event loop, and return what it returns or
        raise its error.
        """

    def start_thread(self, function: Callable[[], None], name: str) -> threading.Thread:
        """Start a daemon thread that runs ``function`` beside the event loop until it returns."""


class SystemClock:
    """The machine's clocks, the operating system's randomness, real threads.

    Attributes:
        steps: of the wall clock, as seen by calls of `now` and `wall`. The log says each once a process.
    """

    _said_offset_s: ClassVar[float] = float("inf")

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._offset_file = os.environ.get(OFFSET_FILE, "")
        self._added_s, self._look_again_at = 0.0, float("-inf")
        self._slewed_at = time.monotonic()
        self._wall_offset_s = self._offset_s = self._read_wall(self._slewed_at) - self._slewed_at
        self._walking = False
        self._agreed_until = float("-inf")
        self.steps = 0

    def now(self) -> float:
        """Unix time in seconds; see the module's docstring for what happens at a step."""
        monotonic = time.monotonic()
        ahead_s = self._wall(monotonic) - monotonic - self._offset_s
        if monotonic >= self._agreed_until:
            if abs(ahead_s) <= MAX_STEP_S:
                self._offset_s += ahead_s
                self._walking = False
            elif self._walking:
                walked_s = min(abs(ahead_s), SLEW * (monotonic - self._slewed_at))
                self._offset_s += walked_s if ahead_s > 0 else -walked_s
            else:
                self._walking = True
        self._slewed_at = monotonic
        return monotonic + self._offset_s

    def wall(self) -> float:
        """Unix time in seconds of the machine's wall clock."""
        return self._wall(time.monotonic())

    def agree(self, now: float) -> None:
        """Take ``now`` for the present time of `now`, and go on from it evenly for `AGREED_S`."""
        monotonic = time.monotonic()
        self._offset_s = now - monotonic
        self._walking, self._slewed_at = False, monotonic
        self._agreed_until = monotonic + AGREED_S

    def _wall(self, monotonic: float) -> float:
        """Read the wall clock; a step since the last reading is logged and counted."""
        wall = self._read_wall(monotonic)
        step_s = wall - monotonic - self._wall_offset_s
        self._wall_offset_s += step_s
        if abs(step_s) > MAX_STEP_S:
            self.steps += 1
            if abs(self._wall_offset_s - SystemClock._said_offset_s) > MAX_STEP_S:
                SystemClock._said_offset_s = self._wall_offset_s
                log.warning(
                    "the wall clock stepped: check the machine's time service", step_s=round(step_s, 3)
                )
        return wall

    def _read_wall(self, monotonic: float) -> float:
        """Unix time, with what the file of tests adds to it."""
        if self._offset_file and monotonic >= self._look_again_at:
            self._look_again_at = monotonic + OFFSET_PERIOD_S
            with contextlib.suppress(OSError, ValueError):  # not there, or half written: as before
                self._added_s = float(Path(self._offset_file).read_text())
        return time.time() + self._added_s

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(seconds)

    def random(self, name: str) -> random.Random:
        """The operating system's randomness, whatever the name."""
        return self._random

    def uuid(self) -> UUID:
        """A new random UUID (version 4)."""
        return UUID(bytes=_random_bytes(), version=4)

    async def run_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` in the event loop's pool of threads."""
        return await asyncio.to_thread(function, *args)

    def start_thread(self, function: Callable[[], None], name: str) -> threading.Thread:
        """Start a daemon thread."""
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread


class ManualClock:
    """Time that moves only when told to, seeded chance, work "in a thread" done at once: a world of one test.

    Args:
        now: Unix seconds at the start.
        seed: decides every random stream and every id.
    """

    def __init__(self, now: float = 1_800_000_000.0, seed: int = 0) -> None:
        self._now = now
        self._monotonic = 1_000.0
        self._seed = seed
        self._streams: dict[str, random.Random] = {}
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def now(self) -> float:
        """Unix seconds, as last set."""
        return self._now

    def wall(self) -> float:
        """Unix seconds, the same as `now`: whoever steps this clock by hand lets nobody walk."""
        return self._now

    def monotonic(self) -> float:
        """Monotonic seconds, as last set."""
        return self._monotonic

    def step_wall(self, seconds: float) -> None:
        """Move wall time alone, as a machine's administrator does."""
        self._now += seconds

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and wake who slept until then; they run at the event loop's next turn."""
        self._now += seconds
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Return once time was advanced by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._slept += 1
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._slept, sleeper))
        await sleeper

    def random(self, name: str) -> random.Random:
        """The stream of that name, the same object at each call."""
        return self._streams.setdefault(name, random.Random(f"{self._seed}/{name}"))

    def uuid(self) -> UUID:
        """The next UUID of the seed."""
        return _uuid(self.random("uuid"))

    async def run_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` at once, in the event loop."""
        await asyncio.sleep(0)
        return function(*args)

    def start_thread(self, function: Callable[[], None], name: str) -> threading.Thread:
        """Start a real thread: what runs beside the loop for long cannot be run at once."""
        return SystemClock().start_thread(function, name)


ID_BYTES = 16
DRAWN_IDS = 64  # at a time: to ask the operating system for each took 4 % of all that a ticket costs
_drawn: deque[bytes] = deque()
os.register_at_fork(after_in_child=_drawn.clear)  # a child's ids are not its parent's


def _random_bytes() -> bytes:
    """Bytes of the operating system's randomness for one id; each is given once, whichever thread asks."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            block = os.urandom(ID_BYTES * DRAWN_IDS)
            _drawn.extend(block[at : at + ID_BYTES] for at in range(0, len(block), ID_BYTES))


def _uuid(stream: random.Random) -> UUID:
    return UUID(int=stream.getrandbits(128), version=4)
