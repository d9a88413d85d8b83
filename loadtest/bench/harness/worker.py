"""A worker: a process of its own, on a core of its own, that runs one function after another for the benchmark that started it."""

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
from loadtest.bench.errors import BenchError
from loadtest.bench.harness.shared_state import SharedState

STOP_S: Final = 5.0
CONTEXT: Final = multiprocessing.get_context(
    "spawn"
)  # a fresh interpreter: nothing of the parent's is in its caches

Send = Callable[[Any], None]
T = TypeVar("T")


class Worker:
    """Runs functions of the form ``function(board, tell, *arguments) -> answer``, defined at module level.

    ``tell`` sends something before the answer is there. Both arrive at ``hear``, in order.
    """

    def __init__(self, name: str, board: SharedState, core: int) -> None:
        self.name = name
        self._pipe, self._other_end = CONTEXT.Pipe()
        self._messages: deque[Any] = deque()
        self._process = CONTEXT.Process(
            target=_work, args=(self._other_end, board, os.getpid(), core), name=f"bench-{name}", daemon=True
        )

    def start(self) -> None:
        """Start the process."""
        self._process.start()
        self._other_end.close()  # only then does the pipe tell of a process that is gone

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let it run ``function``. Raises BenchError when it has ended."""
        try:
            self._pipe.send((function, arguments))
        except OSError:
            raise BenchError(f"the {self.name} has ended without a word") from None

    def receive(self, kind: type[T], timeout_s: float, *others: Worker) -> T:
        """The next thing told or answered.

        Raises BenchError: it failed, or one of the ``others`` did meanwhile, it has ended, it takes too long.
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
            raise BenchError(f"the {self.name} has ended without a word") from None
        if isinstance(message, Exception):
            raise BenchError(f"the {self.name}: {message}") from message
        self._messages.append(message)

    def stop(self) -> None:
        """Let it end, or end it. Stopping twice is harmless."""
        if self._pipe.closed:
            return
        self._pipe.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _work(pipe: Connection, board: SharedState, parent: int, core: int) -> None:
    """One function after another, until the pipe is closed."""
    child_processes.die_with_parent(parent)
    os.sched_setaffinity(0, {core})
    telemetry.configure("bench", settings())  # logs go to standard error: standard output is for figures
    while True:
        try:
            function, arguments = pipe.recv()
            pipe.send(function(board, pipe.send, *arguments))
        except (EOFError, OSError, KeyboardInterrupt):
            return
        except Exception as error:
            pipe.send(BenchError(f"{type(error).__name__}: {error}"))
