"""A scenario's players as users of Locust: each comes at its time, plays its session, and goes.

Locust's own way is to keep a number of users, and to put others in the place of those who go. So it is asked
for none, and each worker starts the players of its share itself, at the times that the scenario has drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.event import Event

READY_S = 300.0  # for the process of bots, which may have kernels to compile

Start = Callable[[int], Any]


class ScenarioPlayers:
    """Lets the players of one share come.

    Args:
        arrives_s: seconds after the start, in order.
        start: starts the player of a number, who calls ``left`` at the end.
        await_ready: waits so many seconds until players can be played at most; whether they can.
        on_over: called once the last player has left.
        on_fault: is told in one line why nobody comes.
    """

    def __init__(
        self,
        arrives_s: Sequence[float],
        start: Start,
        await_ready: Callable[[float], bool],
        on_over: Callable[[], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._arrives_s = arrives_s
        self._start, self._await_ready = start, await_ready
        self._on_over, self._on_fault = on_over, on_fault
        self._present = 0
        self._nobody_left = Event()
        self._coming = gevent.spawn(self._let_come)

    def left(self) -> None:
        """A player has gone."""
        self._present -= 1
        if not self._present:
            self._nobody_left.set()

    def stop(self) -> None:
        """Let nobody come any more."""
        self._coming.kill()

    def _let_come(self) -> None:
        if self._arrives_s and not self._await_ready(READY_S):
            self._on_fault(f"the bots were not ready after {READY_S:g} s, so no player came")
            self._on_over()
            return
        began_s = time.monotonic()
        for number, at_s in enumerate(self._arrives_s):
            gevent.sleep(max(0.0, began_s + at_s - time.monotonic()))
            self._present += 1
            self._nobody_left.clear()
            self._start(number)
        if self._present:
            self._nobody_left.wait()
        self._on_over()
