"""Processes that compute side by side, and are joined by pipes alone.

A ``ProcessPoolExecutor`` takes semaphores, which lie in /dev/shm: it does not start where that is full, or
where there is none.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from launchday import child_processes
from loadtest.errors import LoadTestError

# Spawned, not forked: a fork would inherit the parent's threads.
CONTEXT: Final = multiprocessing.get_context("spawn")
STOP_S: Final = 5.0

T = TypeVar("T")


class ProcessEndedError(LoadTestError):
    """Raised when a process was killed, mostly for lack of memory. Use fewer."""


def computed(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], processes: int
) -> Generator[tuple[int, T], None, None]:
    """Call a function with the arguments of each task; yield the task's number and its result, as they come.

    Ctrl-C is the parent's: these processes end with the iterator, and with the parent.

    Args:
        function: defined at module level; what it raises is raised here.
        tasks: its arguments, begun in this order.
        processes: how many, at least one.

    Raises:
        ProcessEndedError: one has ended without an answer.
    """
    left = iter(enumerate(tasks))
    workers: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, int] = {}
    try:
        for number, task in zip(range(processes), left, strict=False):
            pipe = _start(function, workers, number)
            _give(pipe, task, busy)
        while busy:
            answered = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in answered]:
                yield busy.pop(pipe), _answer(pipe)
                if (following := next(left, None)) is not None:
                    _give(pipe, following, busy)
    finally:
        for pipe, process in workers.items():
            pipe.close()
            process.kill()
            process.join(STOP_S)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C in this process: its parent takes it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _start(function: Callable[..., Any], workers: dict[Connection, BaseProcess], number: int) -> Connection:
    pipe, other_end = CONTEXT.Pipe()
    process = CONTEXT.Process(
        target=_work, args=(other_end, function, os.getpid()), name=f"computing-{number}", daemon=True
    )
    process.start()
    other_end.close()  # otherwise the pipe does not notice that the process has ended
    workers[pipe] = process
    return pipe


def _give(pipe: Connection, task: tuple[int, tuple[Any, ...]], busy: dict[Connection, int]) -> None:
    index, arguments = task
    busy[pipe] = index
    try:
        pipe.send(arguments)
    except OSError as error:
        raise ProcessEndedError("a process was killed") from error


def _answer(pipe: Connection) -> Any:
    try:
        failed, answer = pipe.recv()
    except (EOFError, OSError) as error:
        raise ProcessEndedError("a process was killed") from error
    if failed:
        raise answer
    return answer


def _work(pipe: Connection, function: Callable[..., Any], parent: int) -> None:
    ignore_interrupts()
    child_processes.die_with_parent(parent)
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = (False, function(*arguments))
        except Exception as error:
            answer = (True, error)
        pipe.send(answer)
