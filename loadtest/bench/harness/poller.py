"""Waiting for many sockets to a fraction of a millisecond, and the loop in which clients take their steps."""

from __future__ import annotations

import resource
import select
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.errors import BenchError

SPARE_DESCRIPTORS: Final = 256  # for everything else that a process has open
OPEN_S: Final = 40.0  # from the first step until all clients are connected and the window opens


class Poller:
    """Waits until a socket can be read, or for a time much shorter than a millisecond. A context manager.

    The time-out of epoll counts in milliseconds, so select waits for the epoll. select needs a descriptor
    below 1,024: create the poller before the sockets.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._row_of: dict[int, int] = {}

    def watch(self, descriptors: npt.NDArray[np.int32]) -> None:
        """Wait for these descriptors from now on: int32[N], negative ones are left out."""
        self._row_of = {int(descriptor): row for row, descriptor in enumerate(descriptors) if descriptor >= 0}
        for descriptor in self._row_of:
            self._epoll.register(descriptor, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._epoll.close()

    def wait(self, timeout_s: float) -> npt.NDArray[np.int32]:
        """Return int32, the rows of the descriptors that can be read; none where the time is up first."""
        if timeout_s > 0.0:
            select.select((self._epoll,), (), (), timeout_s)
        readable = self._epoll.poll(0, max(len(self._row_of), 1))
        return np.fromiter((self._row_of[descriptor] for descriptor, _ in readable), np.int32, len(readable))


def allow_descriptors(sockets: int) -> None:
    """Raise the process's limit on open files for this many sockets.

    Raises BenchError where the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(
            f"{wanted} descriptors are needed, and this process may open {hard}: raise ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Step(NamedTuple):
    """One step of the clients.

    Attributes:
        number: counts up from 1; skipped steps are counted too.
        now_s: when it began, on ``time.perf_counter``'s clock.
        late_ns: how much later than it was due.
        window: where the run was then.
    """

    number: int
    now_s: float
    late_ns: int
    window: Window


class StepLoop:
    """Yields a step every ``1 / step_hz`` until the window is over; in between it reads whatever arrives.

    The process sleeps until a datagram arrives or the next step is due, as clients do. A loop that is more
    than a frame behind skips whole frames, so that every client keeps its turn.

    Args:
        shared: of the run.
        poller: watches the sockets.
        step_hz: steps a second.
        steps_per_frame: a client takes one step of this many.
        read: called with the rows of the readable descriptors and the time in seconds.
    """

    def __init__(
        self,
        shared: SharedState,
        poller: Poller,
        step_hz: int,
        steps_per_frame: int,
        read: Callable[[npt.NDArray[np.int32], float], None],
    ) -> None:
        self._shared = shared
        self._poller = poller
        self._step_hz = step_hz
        self._steps_per_frame = steps_per_frame
        self._read = read
        self.missed = 0  # steps skipped while the window was open

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps. Raises BenchError where the window does not open within OPEN_S."""
        number, start_ns = 0, time.perf_counter_ns()
        while True:
            number += 1
            due_ns = start_ns + number * 1_000_000_000 // self._step_hz
            now_ns = time.perf_counter_ns()
            while True:
                rows = self._poller.wait((due_ns - now_ns) / 1e9)
                now_ns = time.perf_counter_ns()
                self._read(rows, now_ns / 1e9)
                if now_ns >= due_ns:
                    break
            window = self._shared.window
            if window == Window.OVER:
                return
            if window == Window.CLOSED and now_ns - start_ns > OPEN_S * 1e9:
                raise BenchError("the window did not open: not all clients are connected")
            yield Step(number, now_ns / 1e9, now_ns - due_ns, window)
            behind = (time.perf_counter_ns() - start_ns) * self._step_hz // 1_000_000_000 - number
            if behind > self._steps_per_frame:
                skipped = behind - behind % self._steps_per_frame
                number += skipped
                self.missed += skipped if window == Window.OPEN else 0
