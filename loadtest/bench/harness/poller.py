"""Waiting for many sockets at once, to a fraction of a millisecond."""

from __future__ import annotations

import resource
import select
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from loadtest.bench.errors import BenchError

SPARE_DESCRIPTORS: Final = 256  # for all else that a process has open


class Poller:
    """Waits for whichever socket has something to read, or for a moment.

    epoll's own time-out counts in milliseconds, so select waits for the epoll. It wants a descriptor below 1,024: make the doorbell
    first, the sockets after it.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._row_of: dict[int, int] = {}

    def watch(self, descriptors: npt.NDArray[np.int32]) -> None:
        """From now on wait for these; negative ones are left out."""
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
        """Rows of the descriptors that can be read; none when the time is up first."""
        if timeout_s > 0.0:
            select.select((self._epoll,), (), (), timeout_s)
        ringing = self._epoll.poll(0, max(len(self._row_of), 1))
        return np.fromiter((self._row_of[descriptor] for descriptor, _ in ringing), np.int32, len(ringing))


def allow_descriptors(sockets: int) -> None:
    """Raise this process's own limit on open files to so many sockets. Raises BenchError where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchError(f"{wanted} descriptors are needed, and this process may open {hard} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
