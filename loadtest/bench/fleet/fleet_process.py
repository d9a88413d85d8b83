"""Fleets to measure, each a process: ``parked`` forks real servers that play no match; ``phantom`` has servers without processes.

A phantom is Ready as soon as it is asked for and gone a moment after it was allocated, so that what is measured is the allocator alone.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI

from dedicated_server.fleet.agones import allocator_fast_path
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.agones.allocator import Allocator
from dedicated_server.fleet.agones.requests import AllocationAnswer, AllocationRequest
from dedicated_server.fleet.app import create_fleet
from dedicated_server.fleet.pool.config import ForkRequest, PoolConfig
from dedicated_server.fleet.pool.gameserver import GameServer, HealthSpec
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from launchday import service
from launchday.settings import Settings, settings

READY_SERVERS = 64
MAX_PLAYING = 16  # phantoms in a match before the first is gone


class NullSpawner:
    """A forker that forks nothing."""

    warm = True

    def fork(self, order: ForkRequest) -> str:
        """Fork nothing."""
        return "local"

    def signal(self, name: str, number: signal.Signals) -> None:
        """Tell nobody."""


class ProcesslessAllocator(Allocator):
    """An allocator whose pool is kept full, and whose matches end."""

    def __init__(self, pool: WarmPool, journal: AllocationJournal) -> None:
        super().__init__(pool, journal)
        self._phantoms = pool
        self._playing: list[str] = []

    def allocate(self, request: AllocationRequest, key: str | None, now: float) -> AllocationAnswer:
        """Allocate a phantom, end the match of the oldest, and make the new ones Ready."""
        answer = super().allocate(request, key, now)
        self._playing.append(answer.name)
        if len(self._playing) > MAX_PLAYING:
            self._phantoms.exited(self._playing.pop(0), "the match was over", now)
        make_ready(self._phantoms, now)
        return answer


def make_ready(pool: WarmPool, now: float) -> None:
    """Make every phantom Ready."""
    for region in pool.regions.values():
        waiting: list[GameServer] = list(region.in_state[State.CREATING].values())
        for server in waiting:
            pool.sidecar_called(server, now)
            pool.ready(server, now)


def create_processless_fleet(configured: Settings) -> FastAPI:
    """A fleet of phantoms behind the real allocator, over real HTTP, with the real journal."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        numbers = itertools.count()
        journal = AllocationJournal(configured.state_dir / "fleet" / "allocations.jsonl")
        pool = WarmPool(
            PoolConfig(configured.region_names, READY_SERVERS, 4 * READY_SERVERS, "127.0.0.1", HealthSpec()),
            NullSpawner(),
            logs=ServerLogs(configured.state_dir / "logs"),
            game_ports=range(7000, 7000 + 4 * READY_SERVERS),
            sdk_ports=range(20_000, 20_000 + 4 * READY_SERVERS),
            new_id=lambda: str(next(numbers)),
            on_finished=lambda server, ended, why: journal.finished(server.name, ended, why),
        )
        app.state.allocator = ProcesslessAllocator(pool, journal)
        while not len(pool) or pool.regions[configured.region_names[0]].missing() > 0:
            pool.fill(time.time())
            make_ready(pool, time.time())
        yield

    app = service.create_app("phantom fleet", configured, lifespan)
    allocator_fast_path.install(app)
    return app


def main() -> None:
    """Serve the fleet that the first argument names, until SIGTERM."""
    configured = settings()
    if sys.argv[1] == "phantom":
        app = create_processless_fleet(configured)
    else:
        app = create_fleet(configured, server_module="loadtest.bench.fleet.idle_server", start_timeout_s=60.0)
    service.serve(app, configured.bind_host, configured.fleet_port)


if __name__ == "__main__":
    main()
