"""A real fleet, in this process, whose forked servers have no game in them."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from pydantic import SecretStr

from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.app import create_fleet
from dedicated_server.fleet.client import AllocatorClient, FleetAdminClient
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from dedicated_server.fleet.warm.supervisor import WarmParents
from launchday.engines import free_port
from launchday.identity import signer_of
from launchday.settings import Settings
from tests.waiting import until

HERE = Path(__file__).parent
REGION = "west-europe"


@dataclass
class RunningFleet:
    """A fleet and its clients."""

    url: str
    pool: WarmPool
    allocator: AllocatorClient
    admin: FleetAdminClient
    settings: Settings
    journal: AllocationJournal
    warm_parents: WarmParents

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of the pool."""
        await until(condition, "of the fleet")

    async def full(self) -> None:
        """Wait until every region has its buffer."""
        await self.until(
            lambda: all(
                len(self.pool.in_state(region, State.READY)) == wanted
                for region, wanted in self.settings.ready_by_region.items()
            )
        )

    async def play(self, mode: str, key: str | None = None) -> str:
        """Allocate a server for a match of that mode; returns the server's name."""
        match = {"match_id": str(uuid.uuid4()), "mode": mode}
        given = await self.allocator.allocate(
            region=REGION, match=match, idempotency_key=key or match["match_id"]
        )
        return given.name


def free_port_range(count: int) -> int:
    """The first of ``count`` ports that nobody listens on, by UDP; below those that the kernel gives to
    outgoing connections.
    """
    for first in range(10_000 + os.getpid() % 100 * 100, 32_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")


@pytest.fixture
def fleet_settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def settings_in(folder: Path) -> Settings:
    """Settings of a small fleet of two regions that nothing else is running beside."""
    first = free_port_range(20)
    return Settings(
        state_dir=folder,
        identity_secret=SecretStr(secrets.token_hex(32)),
        fleet_key=SecretStr(secrets.token_hex(32)),
        regions=f"{REGION},east-us",
        ready_per_region=2,
        max_servers=10,
        game_port_min=first,
        game_port_max=first + 19,
        server_health_s=5.0,
        meta_url="http://127.0.0.1:1",
        matchmaker_url="http://127.0.0.1:1",
        rewards_url="http://127.0.0.1:1",
    )


@asynccontextmanager
async def running_fleet(
    settings: Settings, *, stand_in: str = "", start_timeout_s: float = 30.0
) -> AsyncIterator[RunningFleet]:
    """Run a fleet on a free port until the block ends."""
    settings = settings.model_copy(update={"fleet_port": free_port()})
    env = {**os.environ, "PYTHONPATH": str(HERE), "STAND_IN": stand_in}
    app = create_fleet(settings, server_module="stand_in_server", env=env, start_timeout_s=start_timeout_s)
    server = InProcess(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=settings.fleet_port,
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done(), "the fleet serves", within_s=60.0)
    if serving.done():
        await serving
    url = f"http://127.0.0.1:{settings.fleet_port}"
    token = signer_of(settings, "loadtest").service_token("test", time.time())
    async with AllocatorClient(url, token) as allocator, FleetAdminClient(url, token) as admin:
        try:
            yield RunningFleet(
                url,
                app.state.pool,
                allocator,
                admin,
                settings,
                app.state.match_finalizer.journal,
                app.state.warm_parents,
            )
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def fleet(fleet_settings: Settings) -> AsyncIterator[RunningFleet]:
    """A fleet whose buffer is full."""
    async with running_fleet(fleet_settings) as running:
        await running.full()
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningFleet]:
    """A fleet for the tests of a module that leave it as it was, but for servers; they run in the module's
    loop.
    """
    async with running_fleet(settings_in(tmp_path_factory.mktemp("fleet"))) as running:
        yield running


class InProcess(uvicorn.Server):
    """A server inside a test: it leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
