"""The rig: two workers on cores of their own, one for the measured server and one for its clients, and the
matches between them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from loadtest.bench.harness import clients, game_server, lossy_clients, roaming_clients
from loadtest.bench.harness.run_config import (
    ClientFigures,
    LossyClientFigures,
    RoamingClientFigures,
    RunConfig,
    ServerFigures,
    ServerReady,
)
from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.bench.harness.worker import CONTEXT, Worker

PREPARE_S: Final = 300.0  # compiling all kernels takes a minute, on a busy machine several
SLACK_S: Final = 60.0

T = TypeVar("T")


def server_core() -> int:
    """Return the core that the measured server has to itself."""
    return max(os.sched_getaffinity(0))


class Rig:
    """Both workers, for up to ``capacity`` players. A context manager.

    Its methods raise BenchError where a worker cannot go on; the rig cannot be used after that.
    """

    def __init__(self, capacity: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.shared = SharedState(CONTEXT, capacity)
        # The first core takes most of a machine's interrupts, so it is the clients'.
        self.server = Worker("server", self.shared, server_core())
        self.clients = Worker("clients", self.shared, cores[0])

    def __enter__(self) -> Self:
        for worker in (self.server, self.clients):
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in (self.server, self.clients):
            worker.stop()

    def warm_up(self) -> None:
        """Load or compile what a match needs, in both workers."""
        self._warm_up(clients.prepare)

    def warm_up_lossy(self) -> None:
        """Load or compile what a match over lossy links needs, in both workers."""
        self._warm_up(lossy_clients.prepare)

    def warm_up_roaming(self) -> None:
        """Load or compile what a match needs whose players roam, in both workers."""
        self._warm_up(roaming_clients.prepare)

    def play(
        self, config: RunConfig, on_ready: Callable[[ServerReady], None] = lambda ready: None
    ) -> tuple[ServerFigures, ClientFigures]:
        """Play one match and return what both sides measured; ``on_ready`` is called before the clients
        connect.
        """
        return self._play(config, clients.play, ClientFigures, on_ready)

    def play_lossy(self, config: RunConfig) -> tuple[ServerFigures, LossyClientFigures]:
        """Play one match over lossy links and return what both sides measured."""
        return self._play(config, lossy_clients.play, LossyClientFigures)

    def play_roaming(self, config: RunConfig) -> tuple[ServerFigures, RoamingClientFigures]:
        """Play one match whose players roam and return what both sides measured."""
        return self._play(config, roaming_clients.play, RoamingClientFigures)

    def _warm_up(self, prepare: Callable[..., bool]) -> None:
        self.server.run(game_server.prepare)
        self.clients.run(prepare)
        for worker in (self.server, self.clients):
            worker.receive(bool, PREPARE_S)

    def _play(
        self,
        config: RunConfig,
        clients: Callable[..., T],
        kind: type[T],
        on_ready: Callable[[ServerReady], None] = lambda ready: None,
    ) -> tuple[ServerFigures, T]:
        self.shared.window = Window.CLOSED
        self.shared.disturbed = False
        self.server.run(game_server.serve, config)
        ready = self.server.receive(ServerReady, SLACK_S)
        on_ready(ready)
        self.clients.run(clients, config, ready)
        served = self.server.receive(ServerFigures, config.seconds + SLACK_S, self.clients)
        return served, self.clients.receive(kind, SLACK_S)
