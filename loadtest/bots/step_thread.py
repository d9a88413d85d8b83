"""A thread that makes the bots' steps at their times, and does between two of them what coroutines ask of it.

It holds the interpreter's lock only between steps, so a busy event loop delays it little; how much is
measured. Coroutines talk to it through a queue of commands and get answers as futures on their own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from launchday.percentiles import histogram_percentiles
from loadtest.bots.step import STEP_HZ, STEPS_PER_FRAME
from loadtest.errors import SwarmError

T = TypeVar("T")

LATE_BIN_US = 20
LATE_BINS = 10_000  # up to 200 ms
SWITCH_INTERVAL_S = 0.001  # CPython's 5 ms would let a busy event loop delay the thread by more than a step


class StepThread:
    """The thread.

    Args:
        step: makes a step; is given its number and the seconds of the monotonic clock.
        failed: is called once, on the thread, where a step or a command has raised.

    Attributes:
        steps: that were made.
        steps_missed: that were skipped, because the thread was a frame behind.
    """

    def __init__(self, step: Callable[[int, float], None], failed: Callable[[], None]) -> None:
        self._step, self._failed = step, failed
        self._commands: queue.SimpleQueue[Callable[[BaseException | None], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swarm", daemon=True)
        self._fault: BaseException | None = None
        self._switch_interval_s = SWITCH_INTERVAL_S
        self._late_us = np.zeros(LATE_BINS, np.int64)
        self.steps = 0
        self.steps_missed = 0

    def start(self) -> None:
        """Begin with the steps."""
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    async def stop(self) -> None:
        """End after the present step."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        sys.setswitchinterval(self._switch_interval_s)

    def lateness_us(self, *points: float) -> dict[str, float | None]:
        """Percentiles of how late steps began, in µs, right to LATE_BIN_US; 100 is "max".

        None before the first step.
        """
        return histogram_percentiles(self._late_us, LATE_BIN_US, *points)

    async def run(self, command: Callable[[], T]) -> T:
        """Run ``command`` on the thread between two steps; its result or exception comes back here.

        Raises SwarmError where the thread has ended.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        def deliver(result: T | None, error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        def carry_out(fault: BaseException | None = None) -> None:
            if fault is not None:
                deliver(None, SwarmError(f"the swarm has stopped: {fault!r}"))
                return
            try:
                result = command()
            except BaseException as error:
                deliver(None, error)
            else:
                deliver(result, None)

        if not self._thread.is_alive():
            raise SwarmError(f"the swarm has stopped: {self._fault!r}")
        self._commands.put(carry_out)
        return await answer

    def _run(self) -> None:
        try:
            self._keep_time()
        except BaseException as error:
            self._fault = error
            self._failed()
        with contextlib.suppress(queue.Empty):  # answer what still waits
            while True:
                self._commands.get_nowait()(self._fault or RuntimeError("it was stopped"))

    def _keep_time(self) -> None:
        """Make one step after another, each at its time."""
        start_s = time.monotonic()
        number = 0
        while not self._stopping.is_set():
            number += 1
            due_s = start_s + number / STEP_HZ
            now_s = time.monotonic()
            if now_s < due_s:
                time.sleep(due_s - now_s)
                now_s = time.monotonic()
            late_s = now_s - due_s
            self._late_us[min(int(late_s * 1e6) // LATE_BIN_US, LATE_BINS - 1)] += 1
            with contextlib.suppress(queue.Empty):
                while True:
                    self._commands.get_nowait()(None)
            self._step(number, now_s)
            self.steps += 1
            behind = int((time.monotonic() - start_s) * STEP_HZ) - number
            if behind > STEPS_PER_FRAME:
                # A whole frame behind: let go what cannot be made up, in whole frames, so that every bot
                # keeps its turn.
                skipped = behind - behind % STEPS_PER_FRAME
                self.steps_missed += skipped
                number += skipped
