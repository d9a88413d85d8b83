"""Supervision: what dies is started again, told in one line, and given up only when it cannot even start.

The pauses are systemd's idea: short at first, because most deaths are one bad moment; doubled up to a limit,
because what dies at once again would otherwise take the machine's time from the others.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from launchday.errors import LaunchdayError
from launchday.launcher.children import Child

WATCH_S = 0.1  # between two looks; a look at ten processes takes 20 µs
FIRST_PAUSE_S = 0.1  # systemd's RestartSec
MAX_PAUSE_S = 10.0
GOOD_S = 60.0  # a process that has lived for so long begins with the first pause again
EARLY_S = 5.0  # a death within its first seconds is one of its start
MAX_EARLY_DEATHS = 10  # in a row: half a minute with the pauses, so that what is only slow to leave has left
LATE_S = 120.0  # a process that is not ready by then is told of, once

Say = Callable[[str], None]


@dataclass(slots=True)
class _State:
    """What is remembered of one process.

    Attributes:
        deaths: since it lived for a good minute.
        early_deaths: in a row.
        died_at: monotonic seconds; None while it runs and is ready.
        due_at: when it is started again; None where it is not to be.
        asking: whether it is ready, where that is being asked.
        restarts: since the backend's start.
    """

    deaths: int = 0
    early_deaths: int = 0
    died_at: float | None = None
    due_at: float | None = None
    asking: asyncio.Future[bool] | None = None
    told_late: bool = False
    restarts: int = 0


class Supervisor:
    """Watches processes, and starts again those that die.

    Args:
        now: monotonic seconds; those of `Child.started_at`.

    Attributes:
        deaths: one line each; those of a planned outage are not among them.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.deaths: list[str] = []
        self._states: dict[str, _State] = {}
        self._planned: dict[str, int] = {}

    @contextmanager
    def planned_outage(self, name: str) -> Iterator[None]:
        """Leave one process alone: somebody kills or stops it on purpose, and may start it again.

        Where it is dead when the block ends, it is started again then.

        Args:
            name: as in ``Backend.processes``.
        """
        self._planned[name] = self._planned.get(name, 0) + 1
        try:
            yield
        finally:
            self._planned[name] -= 1
            if not self._planned[name]:  # it is due at once; where it lives, nothing comes of that
                self._states.setdefault(name, _State()).due_at = self._now()

    async def run(self, children: Mapping[str, Child], say: Say, stop: asyncio.Event) -> str | None:
        """Supervise until ``stop``.

        Runs in the main thread: the system ends a child with the thread that started it.

        Args:
            children: by name.
            say: is given one line for each death and each return.
            stop: ends it.

        Returns:
            None; or, where a process dies at each start, why that is the backend's end.
        """
        while not stop.is_set():
            for child in children.values():
                if not self._planned.get(child.name) and (reason := self._look(child, children, say)):
                    return reason
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WATCH_S)
        return None

    def _look(self, child: Child, children: Mapping[str, Child], say: Say) -> str | None:
        now = self._now()
        state = self._states.setdefault(child.name, _State())
        process = child.process
        if process is not None and process.poll() is None:
            state.due_at = None
            if state.died_at is not None:
                self._ask(child, state, state.died_at, say)
            elif now - child.started_at >= GOOD_S:
                state.deaths = state.early_deaths = 0
            return None
        if state.due_at is None:
            return self._died(child, state, children, say)
        if now >= state.due_at:
            state.due_at = None
            state.restarts += 1
            state.died_at = state.died_at or now
            state.asking, state.told_late = None, False
            try:
                child.start(state.restarts)
            except (OSError, LaunchdayError) as error:  # no memory, no processes, a full disk
                state.due_at = now + MAX_PAUSE_S
                say(f"{child.label} cannot be started: {error}; it is tried again in {MAX_PAUSE_S:g} s")
        return None

    def _died(self, child: Child, state: _State, children: Mapping[str, Child], say: Say) -> str | None:
        now = self._now()
        lived_s = now - child.started_at
        if lived_s >= GOOD_S:
            state.deaths = 0
        state.deaths += 1
        if lived_s >= EARLY_S:
            state.early_deaths = 0
        elif not self._is_another_engine_away(child, children):
            state.early_deaths += 1
        state.died_at = state.died_at or now
        told = f"{child.label} died: {_how(child)}; the last line of its log: {child.last_words()}"
        self.deaths.append(told)
        if state.early_deaths >= MAX_EARLY_DEATHS:
            return (
                f"{child.label} died {state.early_deaths} times in a row within {EARLY_S:g} s of its start: "
                f"{_how(child)}; the last line of its log: {child.last_words()} (log: {child.log})"
            )
        pause_s = min(FIRST_PAUSE_S * 2.0 ** (state.deaths - 1), MAX_PAUSE_S)
        state.due_at = now + pause_s
        say(f"{told}; it is started again in {pause_s:.1f} s")
        if child.lost:
            say(child.lost)
        return None

    def _ask(self, child: Child, state: _State, died_at: float, say: Say) -> None:
        """Ask whether a process that was started again is ready, beside the loop, and tell when it is."""
        away_s = self._now() - died_at
        if state.asking is None:
            state.asking = asyncio.get_running_loop().run_in_executor(None, child.is_ready)
        elif state.asking.done():
            if state.asking.result():
                say(f"{child.label} is back after {away_s:.1f} s")
                state.died_at = None
            elif away_s > LATE_S and not state.told_late:
                state.told_late = True
                say(f"{child.label} runs again, but is not ready after {LATE_S:g} s (log: {child.log})")
            state.asking = None

    def _is_another_engine_away(self, child: Child, children: Mapping[str, Child]) -> bool:
        """Whether a process may die at its start through no fault of its own."""
        return any(
            self._planned.get(name) or self._states.get(name, _State()).died_at is not None
            for name, other in children.items()
            if other.needed_by_others and other is not child
        )


def _how(child: Child) -> str:
    """How a process has ended, in a few words."""
    code = child.process.returncode if child.process is not None else None
    if code is None or code >= 0:
        return f"code {code}"
    try:
        return f"code {code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"code {code}"
