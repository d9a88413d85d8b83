"""A Locust worker's client of its process of bots: it sends orders and passes each reported stage to Locust
as a request.

Everything here waits as greenlets do, because Locust has replaced the standard library's blocking calls
before it loads this module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.subprocess import PIPE, Popen

from loadtest.errors import BotWorkerEndedError

FAST_LANE = "UDP"  # the type that Locust shows for the stages in ON_THE_FAST_LANE
ON_THE_FAST_LANE = ("connect", "round trip", "match")
CLOSE_TIMEOUT_S = 10.0  # for players to leave and tickets to be cancelled

Fire = Callable[..., None]


class BotWorkerClient:
    """Players in another process.

    Args:
        scenario: the file with their links, locations and match.
        seats: the most players at the same time.
        fire: Locust's ``events.request.fire``.
    """

    def __init__(self, scenario: Path, seats: int, fire: Fire) -> None:
        self._fire = fire
        self._playing: dict[int, AsyncResult] = {}
        self._ready = Event()
        argv = [
            sys.executable,
            "-m",
            "loadtest.locust.bot_worker",
            "--scenario",
            str(scenario),
            "--seats",
            str(seats),
        ]
        self._process = Popen(argv, stdin=PIPE, stdout=PIPE, env=dict(os.environ))
        self._reader = gevent.spawn(self._read)

    def play(self, player: int) -> None:
        """Let a player play a match, and return when it is over. Raises BotWorkerEndedError."""
        self._ready.wait()
        over: AsyncResult = AsyncResult()
        self._playing[player] = over
        self._order({"play": player})
        over.get()

    def stop(self, player: int) -> None:
        """Let a player leave."""
        if player in self._playing:
            self._order({"stop": player})

    def close(self) -> None:
        """Let all players leave, and end the process."""
        self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(CLOSE_TIMEOUT_S)

    def _order(self, order: dict[str, int]) -> None:
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # its end is broken, or ours closed
            raise BotWorkerEndedError("the process of bots has ended: its own output says why") from error

    def _read(self) -> None:
        for line in self._process.stdout:
            self._take(json.loads(line))
        self._ready.set()
        for over in self._playing.values():
            over.set_exception(BotWorkerEndedError("the process of bots has ended: its own output says why"))
        self._playing.clear()

    def _take(self, report: dict[str, Any]) -> None:
        if report.get("ready"):
            self._ready.set()
        elif report.get("over"):
            if (over := self._playing.pop(report["player"], None)) is not None:
                over.set()
        else:
            self._fire(
                request_type=FAST_LANE if report["name"] in ON_THE_FAST_LANE else "HTTP",
                name=report["name"],
                response_time=report["ms"],
                response_length=0,
                exception=RuntimeError(report["error"]) if report["error"] else None,
                context={},
            )
