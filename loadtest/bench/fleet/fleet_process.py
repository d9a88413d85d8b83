"""The process of a measured fleet: ``idle`` forks real servers that play no match, ``processless`` has
servers without processes.

A processless server is Ready at once and gone a moment after it was allocated, so the allocator alone is
measured.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
from collections.abc import AsyncIterator

from fastapi import FastAPI

from dedicated_server.fleet.agones import allocator_fast_path
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.agones.allocator import Allocator
from dedicated_server.fleet.agones.requests import AllocationAnswer, AllocationRequest
from dedicated_server.fleet.app import create_fleet
from dedicated_server.fleet.pool.config import ForkRequest, HealthSpec, PoolConfig
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from launchday import service, startup
from launchday.clock import Clock
from launchday.settings import Settings, settings

READY_SERVERS = 64
MAX_PLAYING = 16  # allocated servers before the first is gone


class NullSpawner:
    """A spawner that forks nothing."""

    warm = True

    def fork(self, request: ForkRequest) -> str:
        """Start nothing."""
        return "local"

    def signal(self, name: str, number: signal.Signals) -> None:
        """Do nothing."""


class ProcesslessAllocator(Allocator):
    """An allocator whose pool is always full, and whose matches end."""

    def __init__(self, pool: WarmPool, journal: AllocationJournal) -> None:
        super().__init__(pool, journal)
        self._servers = pool
        self._playing: list[str] = []

    def allocate(self, request: AllocationRequest, key: str | None, now: float) -> AllocationAnswer:
        """Allocate a server, end the oldest match beyond MAX_PLAYING, and make the new servers Ready."""
        answer = super().allocate(request, key, now)
        self._playing.append(answer.name)
        if len(self._playing) > MAX_PLAYING:
            self._servers.exited(self._playing.pop(0), "the match was over", now)
        make_ready(self._servers, now)
        return answer


def make_ready(pool: WarmPool, now: float) -> None:
    """Make every starting server Ready."""
    for region in pool.regions.values():
        waiting: list[GameServer] = list(region.in_state[State.CREATING].values())
        for server in waiting:
            pool.sidecar_called(server, now)
            pool.ready(server, now)


def create_processless_fleet(configured: Settings) -> FastAPI:
    """Return a fleet without server processes: the real allocator and journal over real HTTP."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        clock: Clock = app.state.clock
        numbers = itertools.count()
        journal = AllocationJournal(configured.state_dir / "fleet" / "allocations.jsonl")
        pool = WarmPool(
            PoolConfig(configured.region_names, READY_SERVERS, 4 * READY_SERVERS, "127.0.0.1", HealthSpec()),
            NullSpawner(),
            clock=clock,
            logs=ServerLogs(configured.state_dir / "logs"),
            game_ports=range(7000, 7000 + 4 * READY_SERVERS),
            sdk_ports=range(20_000, 20_000 + 4 * READY_SERVERS),
            new_id=lambda: str(next(numbers)),
            on_finished=lambda server, ended, why: journal.finished(server.name, ended, why),
        )
        app.state.allocator = ProcesslessAllocator(pool, journal)
        while not len(pool) or pool.regions[configured.region_names[0]].missing() > 0:
            pool.fill(clock.monotonic())
            make_ready(pool, clock.monotonic())
        yield

    app = service.create_app("processless fleet", configured, lifespan)
    allocator_fast_path.install(app)
    return app


def main() -> None:
    """Serve the fleet that the first argument names until SIGTERM."""
    configured = settings()
    if sys.argv[1] == "processless":
        app = create_processless_fleet(configured)
    else:
        app = create_fleet(configured, server_module="loadtest.bench.fleet.idle_server", start_timeout_s=60.0)
    service.serve(app, configured.bind_host, configured.fleet_port)


if __name__ == "__main__":
    startup.prepare()
    main()
