"""A worker: a process on a core of its own that runs one function after another for the benchmark that
started it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Final, TypeVar

from launchday import child_processes, telemetry
from launchday.settings import settings
from loadtest.bench.harness.shared_state import SharedState
from loadtest.errors import BenchError

STOP_S: Final = 5.0
# a fresh interpreter: its caches hold nothing of the parent's
CONTEXT: Final = multiprocessing.get_context("spawn")

Send = Callable[[Any], None]
T = TypeVar("T")


class Worker:
    """Runs functions of the form ``function(shared, send, *arguments) -> answer``, defined at module level.

    ``send`` sends something before the answer. ``receive`` returns both in order.
    """

    def __init__(self, name: str, shared: SharedState, core: int) -> None:
        self.name = name
        self._pipe, self._other_end = CONTEXT.Pipe()
        self._messages: deque[Any] = deque()
        self._process = CONTEXT.Process(
            target=_work, args=(self._other_end, shared, os.getpid(), core), name=f"bench-{name}", daemon=True
        )

    def start(self) -> None:
        """Start the process."""
        self._process.start()
        self._other_end.close()  # otherwise the pipe does not notice that the process has ended

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let the worker run ``function``. Raises BenchError where the worker has ended."""
        try:
            self._pipe.send((function, arguments))
        except OSError:
            raise BenchError(f"the {self.name} has ended without an answer") from None

    def receive(self, kind: type[T], timeout_s: float, *others: Worker) -> T:
        """Return the next message or answer.

        Raises BenchError where the function fails, or meanwhile that of one of the ``others``; where the
        worker has ended, or does not answer within ``timeout_s``.
        """
        until_s = time.monotonic() + timeout_s
        while not self._messages:
            pipes: dict[Any, Worker] = {worker._pipe: worker for worker in (self, *others)}
            ready = wait(list(pipes), max(until_s - time.monotonic(), 0.0))
            if not ready:
                raise BenchError(f"the {self.name} has not answered for {timeout_s:g} s")
            for pipe in ready:
                pipes[pipe]._read_message()
        message = self._messages.popleft()
        if not isinstance(message, kind):
            raise BenchError(f"the {self.name} answered {message!r}, not {kind.__name__}")
        return message

    def _read_message(self) -> None:
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            raise BenchError(f"the {self.name} has ended without an answer") from None
        if isinstance(message, Exception):
            raise BenchError(f"the {self.name}: {message}") from message
        self._messages.append(message)

    def stop(self) -> None:
        """Let the process end, or kill it. Stopping twice is harmless."""
        if self._pipe.closed:
            return
        self._pipe.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _work(pipe: Connection, shared: SharedState, parent: int, core: int) -> None:
    """Run one function after another until the pipe is closed."""
    child_processes.die_with_parent(parent)
    os.sched_setaffinity(0, {core})
    telemetry.configure("bench", settings())  # logs go to standard error: standard output is for figures
    while True:
        try:
            function, arguments = pipe.recv()
            pipe.send(function(shared, pipe.send, *arguments))
        except (EOFError, OSError, KeyboardInterrupt):
            return
        except Exception as error:
            pipe.send(BenchError(f"{type(error).__name__}: {error}"))
