"""What is said while simulations run: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from launchday.terminal import Terminal

PLAIN_STEP = 0.1  # share of the runs between two plain lines, at least
PLAIN_EVERY_S = 5.0  # and the time


class RunsProgress:
    """Watches many runs. Use it as a context manager around them.

    Args:
        console: of standard error.
        clock: seconds of any zero.
    """

    def __init__(self, console: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._shown, self._shown_s = 0.0, clock()
        self._bar = Progress(
            TextColumn("simulating", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("simulating", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def planned(self, text: str) -> None:
        """Print how many runs there are, and how long they will take."""
        self._console.print(text)

    def ran(self, done: int, of: int) -> None:
        """Show how many runs are done."""
        self._bar.update(self._task, completed=done, total=of)
        if self._console.is_terminal:
            return
        share, now_s = done / of, self._clock()
        if share >= self._shown + PLAIN_STEP and now_s >= self._shown_s + PLAIN_EVERY_S:
            self._shown, self._shown_s = share, now_s
            self._console.print(f"simulated {done:,} of {of:,}")
