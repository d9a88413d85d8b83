"""The rig: two workers on cores of their own, one for what is measured and one for its clients, and matches played between them."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from loadtest.bench import crowd, far_crowd, game_server
from loadtest.bench.noticeboard import Noticeboard, Window
from loadtest.bench.plan import CrowdFigures, FarFigures, Opened, Plan, ServerFigures
from loadtest.bench.worker import CONTEXT, Worker

PREPARE_S: Final = 300.0  # compiling every kernel takes a minute, on a busy machine a few
SLACK_S: Final = 60.0

T = TypeVar("T")


class Rig:
    """Both workers, for up to ``capacity`` players. Use it as a context manager.

    Its methods raise BenchError when a worker cannot go on; the rig is of no use after that.
    """

    def __init__(self, capacity: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.board = Noticeboard(CONTEXT, capacity)
        # The first core takes most of a machine's interrupts: leave it to the clients.
        self.server = Worker("server", self.board, cores[-1])
        self.crowd = Worker("crowd", self.board, cores[0])

    def __enter__(self) -> Self:
        for worker in (self.server, self.crowd):
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in (self.server, self.crowd):
            worker.stop()

    def warm_up(self) -> None:
        """Let both load, or compile, what a match needs."""
        self._warm_up(crowd.prepare)

    def warm_up_far(self) -> None:
        """Likewise, for a match over bad lines."""
        self._warm_up(far_crowd.prepare)

    def play(
        self, plan: Plan, on_opened: Callable[[Opened], None] = lambda opened: None
    ) -> tuple[ServerFigures, CrowdFigures]:
        """Play one match and return what both sides measured. ``on_opened`` is called before the clients come."""
        return self._play(plan, crowd.play, CrowdFigures, on_opened)

    def play_far(self, plan: Plan) -> tuple[ServerFigures, FarFigures]:
        """Play one match over bad lines."""
        return self._play(plan, far_crowd.play, FarFigures)

    def _warm_up(self, prepare: Callable[..., bool]) -> None:
        self.server.ask(game_server.prepare)
        self.crowd.ask(prepare)
        for worker in (self.server, self.crowd):
            worker.hear(bool, PREPARE_S)

    def _play(
        self,
        plan: Plan,
        clients: Callable[..., T],
        kind: type[T],
        on_opened: Callable[[Opened], None] = lambda opened: None,
    ) -> tuple[ServerFigures, T]:
        self.board.window = Window.CLOSED
        self.board.rough = False
        self.server.ask(game_server.serve, plan)
        opened = self.server.hear(Opened, SLACK_S)
        on_opened(opened)
        self.crowd.ask(clients, plan, opened)
        served = self.server.hear(ServerFigures, plan.seconds + SLACK_S, self.crowd)
        return served, self.crowd.hear(kind, SLACK_S)
