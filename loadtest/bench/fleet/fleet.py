"""``fleet``: how fast servers start, warm and cold, what idle ones cost, and how fast they are allocated.

The processes are real: a fleet with a warm parent, and real servers that play no match. The allocator is
measured twice: in bursts on real servers, while their replacements are forked on the same two cores; and
alone, on servers without processes, by three directors at once, where no server may be allocated twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import numpy as np
import psutil
import uvloop
from pydantic import SecretStr

from dedicated_server.cards import shipped_cards
from dedicated_server.fleet.agones.sidecar import Sidecar, SidecarServer
from dedicated_server.fleet.client import FleetAdminClient, FleetError
from dedicated_server.fleet.pool.config import ForkRequest, HealthSpec, PoolConfig
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.ports import open_sidecar_sockets
from dedicated_server.fleet.pool.states import State
from dedicated_server.match.spectator import SpectatorFeed
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from launchday import child_processes
from launchday.clock import SystemClock
from launchday.engines.base import free_port
from launchday.identity import OPERATOR, SERVICE, Signer
from launchday.settings import Settings, environment
from loadtest.bench.fleet.allocation_clients import REGION, Calls, allocate_servers
from loadtest.bench.fleet.allocation_turns import CALLERS, allocate_in_turns
from loadtest.bench.harness.statistics import percentiles
from loadtest.errors import BenchError

IDLE = 100
BURST = 250
BURSTS = 4
ONE_BY_ONE = 40
COLD_STARTS = 3
IDLE_S = 10.0
START_S = 300.0
SECRET = "a benchmark's secret, which signs nothing else"
POLL_S = 0.02


@dataclass
class FleetUnderTest:
    """The fleet that is measured: its process, port, token and client."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    admin: FleetAdminClient

    async def until_ready(self, count: int) -> None:
        """Wait until ``count`` servers are Ready. Raises BenchError where the fleet has ended."""
        while True:
            if self.process.poll() is not None:
                raise BenchError("the fleet ended while it was measured")
            if (await self.admin.fleet())["total"].get("Ready", 0) >= count:
                return
            await asyncio.sleep(POLL_S)


def run(allocations: int = 100_000) -> dict[str, Any]:
    """Measure and return what is printed.

    ``allocations``: servers that three directors allocate at once. Raises BenchError where a process does not
    start.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        settings = Settings(
            state_dir=Path(name),
            identity_secret=SecretStr(SECRET),
            fleet_key=SecretStr("0" * 64),
            regions=REGION,
            ready_per_region=IDLE,
            max_servers=2 * BURST + 100,
            game_port_min=12_000,
            game_port_max=12_000 + 2 * BURST + 200,
            fleet_port=free_port(),
            meta_url="http://127.0.0.1:1",
            matchmaker_url="http://127.0.0.1:1",
            kafka_bootstrap="127.0.0.1:1",
            claim_s=0.0,
            fleet_starts_max=0,
        )
        figures: dict[str, Any] = {"bench": "fleet", "cold_start_ms": uvloop.run(_cold_starts(settings))}
        try:
            with _process(settings, "idle") as (process, token):
                figures |= uvloop.run(_warm(settings, process, token))
        except (FleetError, OSError, ValueError) as error:
            raise BenchError(f"the fleet could not be measured: {error}") from error
        figures["directors"] = _directors(settings, allocations)
        figures["spectator_us"] = _spectator()
        return figures


async def _warm(settings: Settings, process: subprocess.Popen[bytes], token: str) -> dict[str, Any]:
    async with FleetAdminClient(f"http://127.0.0.1:{settings.fleet_port}", token, patience_s=30.0) as admin:
        fleet = FleetUnderTest(process, settings.fleet_port, token, admin)
        await fleet.until_ready(IDLE)
        await asyncio.sleep(2.0)  # the last starts are over, and every server has sent a heartbeat
        figures = await _idle(fleet)
        figures["warm_start_ms"] = await _one_by_one(fleet)
        return figures | await _bursts(fleet)


async def _idle(fleet: FleetUnderTest) -> dict[str, Any]:
    """Return what ``IDLE`` waiting servers cost."""
    servers = await fleet.admin.gameservers()
    pids = [server["pid"] for server in servers if server["state"] == "Ready"]
    private = [psutil.Process(pid).memory_full_info().uss / 2**20 for pid in pids]
    family = [psutil.Process(fleet.process.pid), *psutil.Process(fleet.process.pid).children(recursive=True)]
    total = sum(one.memory_full_info().pss for one in family) / 2**20
    before, began = _cpu_s(family), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    used = (_cpu_s(family) - before) / (time.perf_counter() - began)
    return {
        "idle_servers": len(pids),
        "private_mb_per_idle_server": round(float(np.mean(private)), 2),
        "idle_total_mb": round(total),
        "idle_percent_of_a_core": round(100 * used, 2),
    }


async def _one_by_one(fleet: FleetUnderTest) -> dict[str, float]:
    """Return start-up times, each alone: a server is allocated once the one before has its replacement."""
    known = {server["name"] for server in await fleet.admin.gameservers()}
    for number in range(ONE_BY_ONE):
        await allocate_servers(fleet.port, fleet.token, 1, 1, f"single-{number}")
        await fleet.until_ready(IDLE)
    starts = [
        server["start_ms"]
        for server in await fleet.admin.gameservers()
        if server["name"] not in known and server["start_ms"] is not None
    ]
    await _end_matches(fleet)
    return percentiles(starts, 50, 99)


async def _bursts(fleet: FleetUnderTest) -> dict[str, Any]:
    """Allocate ``BURST`` Ready servers as fast as possible, and wait for their replacements."""
    await fleet.admin.set_buffer(REGION, BURST)
    rates, refills, calls_ms = [], [], []
    for number in range(BURSTS):
        await fleet.until_ready(BURST)
        await asyncio.sleep(1.0)
        began = time.perf_counter()
        calls: Calls = await allocate_servers(fleet.port, fleet.token, CALLERS, BURST, f"burst-{number}")
        rates.append(BURST / (time.perf_counter() - began))
        calls_ms += calls.calls_ms
        missing = BURST - (await fleet.admin.fleet())["total"]["Ready"]
        asked = time.perf_counter()
        await fleet.until_ready(BURST)
        refills.append(missing / (time.perf_counter() - asked))
        await _end_matches(fleet)
    return {
        "allocations_per_s": round(float(np.median(rates))),
        "allocate_ms": percentiles(calls_ms, 50, 99, digits=2),
        "refill_per_s": round(float(np.median(refills))),
    }


async def _end_matches(fleet: FleetUnderTest) -> None:
    servers = await fleet.admin.gameservers()
    for server in servers:
        if server["state"] == "Allocated":
            os.kill(server["pid"], signal.SIGKILL)
    while (await fleet.admin.fleet())["total"].get("Allocated", 0):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


def _directors(settings: Settings, allocations: int) -> dict[str, Any]:
    """Let three directors allocate at one allocator; no server may be allocated twice."""
    alone = settings.model_copy(update={"fleet_port": free_port()})
    with _process(alone, "processless") as (process, token):
        return allocate_in_turns(alone, process.pid, token, allocations)


async def _cold_starts(settings: Settings) -> float:
    """Start servers without a warm parent, one after the other, with the real sidecar; return the median in
    milliseconds.
    """
    sockets = open_sidecar_sockets(1)
    port = free_port()
    clock = SystemClock()
    spawner = _ColdSpawner(environment(settings), settings.state_dir)
    pool = WarmPool(
        PoolConfig((REGION,), 1, 1, "127.0.0.1", HealthSpec(), start_timeout_s=START_S),
        spawner,
        clock=clock,
        logs=ServerLogs(settings.state_dir / "cold"),
        game_ports=[port],
        sdk_ports=[sockets[0].getsockname()[1]],
        new_id=lambda: str(time.monotonic_ns()),
    )
    sidecars = SidecarServer(Sidecar(pool))
    serving = asyncio.create_task(sidecars.serve(sockets))
    starts_ms = []
    try:
        pool.fill(clock.monotonic())
        for _ in range(COLD_STARTS + 1):  # the first may have to compile
            while not (ready := list(pool.in_state(REGION, State.READY).values())):
                if spawner.process is None or spawner.process.poll() is not None:
                    raise BenchError("a cold server ended before it was Ready")
                await asyncio.sleep(0.005)
            starts_ms.append((ready[0].start_s or 0.0) * 1000)
            spawner.end()
            pool.exited(ready[0].name, "measured", clock.monotonic())  # and the next one is started
    finally:
        spawner.end()
        sidecars.should_exit = True
        await serving
        for listener in sockets:
            listener.close()
    return round(float(np.median(starts_ms[1:])))


class _ColdSpawner:
    """A spawner that starts a new interpreter for each server."""

    warm = True

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def fork(self, request: ForkRequest) -> str:
        """Start a server."""
        env = {**os.environ, **self._env, "AGONES_SDK_HTTP_PORT": str(request.sdk_port)}
        command = [sys.executable, "-m", "dedicated_server"]
        self.process = child_processes.spawn(command, log=self._folder / "cold.log", env=env)
        return "local"

    def signal(self, name: str, number: signal.Signals) -> None:
        """Do nothing: nobody signals a server here."""

    def end(self) -> None:
        """End the last server."""
        if self.process is not None:
            child_processes.stop(self.process, 5.0)


def _spectator() -> dict[str, float]:
    """Return the microseconds of writing the spectator feed of a match of a hundred players."""
    roster = [RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(100)]
    engine = Engine(
        MatchConfig(UUID(int=1), shipped_cards()["battle_royale"], 0, 60.0, roster),
        bytes(32),
        MemoryTransport(),
        secret=bytes(SECRET_BYTES),
    )
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        feed = SpectatorFeed(Path(folder) / "bench.feed", engine.match)
        took_us = []
        for tick in range(600):
            engine.tick(tick / TICK_HZ)
            began = time.perf_counter_ns()
            feed.publish(engine)
            took_us.append((time.perf_counter_ns() - began) / 1000)
    return percentiles(took_us[60:], 50, 99)


@contextlib.contextmanager
def _process(settings: Settings, kind: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a fleet of that kind, and yield its process and a token for it. Raises BenchError."""
    env = {**os.environ, **environment(settings)}
    log = settings.state_dir / f"{kind}.log"
    process = child_processes.spawn(
        [sys.executable, "-m", "loadtest.bench.fleet.fleet_process", kind], log=log, env=env
    )
    token = Signer(SECRET).service_token("bench", time.time(), roles=(SERVICE, OPERATOR))
    try:
        deadline = time.monotonic() + START_S
        while not _is_up(settings.fleet_port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the fleet did not start: {child_processes.last_line(log)}")
            time.sleep(0.05)
        yield process, token
    finally:
        child_processes.stop(process, 10.0)


def _is_up(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=2.0).status_code == 200
    except httpx2.HTTPError:
        return False


def _cpu_s(processes: list[psutil.Process]) -> float:
    total = 0.0
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
