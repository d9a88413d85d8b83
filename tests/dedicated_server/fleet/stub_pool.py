"""A pool whose servers have no processes: everything that is a plain function of time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from signal import Signals
from typing import Any

from dedicated_server.fleet.pool.config import ForkRequest, HealthSpec, PoolConfig
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from launchday.clock import ManualClock

REGION = "west-europe"
CONFIG = PoolConfig((REGION, "east-us"), 3, 100, "127.0.0.1", HealthSpec())


class StubSpawner:
    """A spawner that forks nothing, on ``nodes`` nodes in turn."""

    warm = True

    def __init__(self, nodes: int = 1) -> None:
        self.requests: list[ForkRequest] = []
        self.signals: list[tuple[str, Signals]] = []
        self._nodes = nodes

    def fork(self, request: ForkRequest) -> str:
        self.requests.append(request)
        return f"node-{(len(self.requests) - 1) % self._nodes}"

    def signal(self, name: str, number: Signals) -> None:
        self.signals.append((name, number))


def new_pool(
    folder: Path,
    *,
    spawner: StubSpawner | None = None,
    memory: Any = None,
    clock: ManualClock | None = None,
    **config: Any,
) -> WarmPool:
    names = itertools.count()
    more = {} if memory is None else {"memory": memory}
    more["clock"] = clock or ManualClock()
    return WarmPool(
        replace(CONFIG, **config),
        spawner or StubSpawner(),
        logs=ServerLogs(folder),
        game_ports=range(7000, 7100),
        sdk_ports=range(9000, 9100),
        new_id=lambda: str(next(names)),
        **more,
    )


def make_ready(pool: WarmPool, now: float) -> None:
    """Fill the pool, and let every server on its way arrive."""
    pool.fill(now)
    while arriving := [
        server
        for region in pool.regions.values()
        for server in region.in_state[State.CREATING].values()
        if server.node
    ]:
        for server in arriving:
            pool.sidecar_called(server, now)
            pool.ready(server, now)


def ready(pool: WarmPool, region: str = REGION) -> list[GameServer]:
    """The Ready servers of a region, the longest so first."""
    return list(pool.in_state(region, State.READY).values())
