"""A Locust worker's client of its process of bots: it sends orders and passes each reported stage to Locust
as a request. A process that ends is started again.

Everything here waits as greenlets do, because Locust has replaced the standard library's blocking calls
before it loads this module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.subprocess import PIPE, Popen

from loadtest.errors import BotWorkerEndedError
from loadtest.locust.stages import CONNECT, LOGIN, MATCH, ROUND_TRIP, WAIT

FAST_LANE = "UDP"  # the type that Locust shows for the stages in ON_THE_FAST_LANE
ON_THE_FAST_LANE = (CONNECT, ROUND_TRIP, MATCH)
STAGES = (LOGIN, WAIT, CONNECT, MATCH)  # in their order; round trips lie within
CLOSE_TIMEOUT_S = 10.0  # for players to leave and tickets to be cancelled
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 10.0  # before a process of bots is started again that was never ready

Fire = Callable[..., None]


@dataclass(slots=True)
class _Playing:
    """A player whose journey goes on: how many stages are over, and since when (monotonic seconds)."""

    stages: int = 0
    since_s: float = field(default_factory=time.monotonic)
    over: Event = field(default_factory=Event)


class BotWorkerClient:
    """Players in another process.

    Args:
        scenario: the file with their links, locations and match.
        seats: the most players at the same time.
        fire: Locust's ``events.request.fire``.
        on_fault: is told in one line what makes the load less than it should be.
        share: index and number of workers, where the scenario's own players of that share are played.
        command: starts the process of bots; empty: `loadtest.locust.bot_worker`.
    """

    def __init__(
        self,
        scenario: Path,
        seats: int,
        fire: Fire,
        on_fault: Callable[[str], None],
        *,
        share: tuple[int, int] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self._fire = fire
        self._on_fault = on_fault
        self._seats = seats
        self._command = [*(command or (sys.executable, "-m", "loadtest.locust.bot_worker"))]
        self._command += ["--scenario", str(scenario), "--seats", str(seats)]
        if share is not None:
            self._command += ["--share", *map(str, share)]
        self._playing: dict[int, _Playing] = {}
        self._ready, self._closed = Event(), Event()
        self._told_of_seats = False
        self._process: Any = None
        self._keeper = gevent.spawn(self._keep)

    def await_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until there is a process that takes orders; whether there is one."""
        return bool(self._ready.wait(timeout_s)) and not self._closed.is_set()

    def play(self, player: int, ready_s: float | None = None) -> None:
        """Let a player play, and return when that is over, whatever became of it.

        Args:
            player: a number; of a share, their number in it.
            ready_s: seconds to wait for the process of bots at most; the player is a failed login then.
        """
        if not self.await_ready(ready_s):
            if not self._closed.is_set():
                error = BotWorkerEndedError("there are no bots to play with")
                self._report(LOGIN, 1e3 * (ready_s or 0.0), error)
            return
        playing = self._playing[player] = _Playing()
        if not self._order({"play": player}):
            self._lose(player)
        playing.over.wait()

    def stop(self, player: int) -> None:
        """Let a player leave."""
        if player in self._playing:
            self._order({"stop": player})

    def close(self) -> None:
        """Let all players leave, and end the process."""
        self._closed.set()
        if self._process is not None:
            self._process.stdin.close()
            try:
                self._process.wait(CLOSE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._keeper.join(CLOSE_TIMEOUT_S)
        self._ready.set()  # whoever waits for it need not any more

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closed.is_set():
            self._process = Popen(self._command, stdin=PIPE, stdout=PIPE, env=dict(os.environ))
            for line in self._process.stdout:
                self._take(json.loads(line))
            code, was_ready = self._process.wait(), self._ready.is_set()
            self._ready.clear()
            for player in list(self._playing):
                self._lose(player)
            if self._closed.is_set():
                return
            pause_s = FIRST_PAUSE_S if was_ready else min(2 * pause_s, MAX_PAUSE_S)
            self._on_fault(
                f"the process of bots has ended with code {code}, and its own output says why: it is started "
                f"again in {pause_s:g} s"
            )
            self._closed.wait(pause_s)

    def _order(self, order: dict[str, int]) -> bool:
        """Send an order; returns whether there is a process that takes it."""
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # its end is broken, or ours closed
            return False
        return True

    def _lose(self, player: int) -> None:
        """End the journey of a player whose process has ended, as a failed request of the stage it was in."""
        if (playing := self._playing.pop(player, None)) is None:
            return
        if not self._closed.is_set():
            took_ms = (time.monotonic() - playing.since_s) * 1e3
            stage = STAGES[min(playing.stages, len(STAGES) - 1)]
            self._report(stage, took_ms, BotWorkerEndedError("the process of bots has ended"))
        playing.over.set()

    def _take(self, report: dict[str, Any]) -> None:
        if report.get("ready"):
            self._ready.set()
        elif report.get("no_seat"):
            if not self._told_of_seats:
                self._told_of_seats = True
                self._on_fault(f"there are more players than --bot-seats {self._seats}: raise it; they wait")
        elif report.get("over"):
            if (playing := self._playing.pop(report["player"], None)) is not None:
                playing.over.set()
        else:
            if report["name"] in STAGES and (playing := self._playing.get(report["player"])) is not None:
                playing.stages, playing.since_s = STAGES.index(report["name"]) + 1, time.monotonic()
            error = RuntimeError(report["error"]) if report["error"] else None
            self._report(report["name"], report["ms"], error)

    def _report(self, name: str, took_ms: float, error: Exception | None) -> None:
        self._fire(
            request_type=FAST_LANE if name in ON_THE_FAST_LANE else "HTTP",
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=error,
            context={},
        )
