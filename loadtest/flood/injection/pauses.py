"""Processes that are stopped where they stand (SIGSTOP) and go on afterwards (SIGCONT)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import psutil

from loadtest.flood.watching.allocations import AllocatedServer


@contextlib.contextmanager
def stopped(pid: int, *, family: bool = False) -> Iterator[None]:
    """Stop a process until the block ends; does nothing for one that has ended.

    Args:
        pid: the process.
        family: stop all that descend from it too. A PostgreSQL whose first process alone stands still answers
            on every connection that it has; a fleet's descendants are game servers, which are not meant.
    """
    handles: list[int] = []

    def stop(each: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(each))  # its id may go to another process while it stands still
            signal.pidfd_send_signal(handles[-1], signal.SIGSTOP)

    try:
        stop(pid)
        if family:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(pid).children(recursive=True):
                    stop(child.pid)
        yield
    finally:
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
            os.close(handle)


class AllocationStopper:
    """Stops every nth game server that is allocated, at once, each for a while.

    Args:
        every: 3 stops every third.
        for_s: seconds that each stands still.

    Attributes:
        stopped: names of the servers that were stopped.
    """

    def __init__(self, every: int, for_s: float) -> None:
        self._every, self._for_s = every, for_s
        self._seen = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.stopped: list[str] = []

    def on_allocated(self, server: AllocatedServer) -> None:
        """Count a server, and stop it where its turn has come."""
        self._seen += 1
        if self._seen % self._every or not server.pid:
            return
        self.stopped.append(server.name)
        self._tasks.append(asyncio.create_task(self._stop(server.pid)))

    async def close(self) -> None:
        """Let those go on that still stand."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stop(self, pid: int) -> None:
        with stopped(pid):
            await asyncio.sleep(self._for_s)
