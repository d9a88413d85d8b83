"""The fleet's process: allocator and admin on one port, the sidecars of its servers on theirs, the warm parent below."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from types import FrameType

import structlog
from fastapi import FastAPI

from dedicated_server import match_metrics
from dedicated_server.fleet import admin, allocator, metrics
from dedicated_server.fleet.allocator import Allocator
from dedicated_server.fleet.gameserver import HealthSpec
from dedicated_server.fleet.logs import ServerLogs
from dedicated_server.fleet.nursery import Nursery
from dedicated_server.fleet.pool import PoolPlan, WarmPool
from dedicated_server.fleet.ports import open_sidecar_sockets
from dedicated_server.fleet.sidecar import Sidecar, SidecarServer
from launchday.service import create_app
from launchday.settings import Settings

STEP_S = 0.25  # how soon a hang is noticed after its time-out; a step over 100 servers takes 20 µs
STOP_S = 2.5  # for servers to leave by themselves; launchers kill a service after 8 s
HEALTH_PERIODS = 3  # Agones' default number of heartbeats that may fail

log = structlog.get_logger()


def create_fleet(
    settings: Settings,
    *,
    server_module: str = "dedicated_server.server",
    env: Mapping[str, str] | None = None,
    start_timeout_s: float = 30.0,
) -> FastAPI:
    """Build the fleet's application; its servers run while its lifespan does.

    The lifespan starts once the warm parent is warm, so that ``/healthz`` means that servers can be had; it raises
    WarmUpFailed if that fails.

    Args:
        settings: regions, ports, buffer, folders.
        server_module: what a forked server runs.
        env: environment of the warm parent and so of the servers; this process's own by default.
        start_timeout_s: from a fork to Ready.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sockets = open_sidecar_sockets(settings.max_servers)
        folder = settings.state_dir / "logs"
        nursery = Nursery(
            server_module=server_module,
            env=os.environ if env is None else env,
            log=folder / "warm-parent.log",
            clock=time.time,
        )
        plan = PoolPlan(
            regions=settings.region_names,
            ready_per_region=settings.ready_per_region,
            max_servers=settings.max_servers,
            address=settings.game_host,
            health=HealthSpec(settings.server_health_s / HEALTH_PERIODS, HEALTH_PERIODS),
            start_timeout_s=start_timeout_s,
        )
        pool = WarmPool(
            plan,
            nursery,
            logs=ServerLogs(folder / "servers"),
            game_ports=range(settings.game_port_min, settings.game_port_max + 1),
            sdk_ports=[listener.getsockname()[1] for listener in sockets],
            new_id=lambda: secrets.token_hex(4),
        )
        match_metrics.collect_from(pool)
        app.state.pool, app.state.nursery, app.state.allocator = pool, nursery, Allocator(pool)
        sidecars = SidecarServer(Sidecar(pool, time.time))
        tasks = [
            asyncio.create_task(sidecars.serve(sockets), name="sidecars"),
            asyncio.create_task(nursery.supervise(pool), name="warm parent"),
            asyncio.create_task(_step(pool), name="steps"),
        ]
        for task in tasks:
            task.add_done_callback(_end_if_it_failed)
        try:
            with _until_told_to_stop():
                await nursery.first_warm_up()
            yield
        finally:
            await _drain(pool)
            sidecars.should_exit = True
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for listener in sockets:
                listener.close()

    app = create_app("launchday fleet", settings, lifespan)
    app.include_router(allocator.router)
    app.include_router(admin.router)
    return app


@contextlib.contextmanager
def _until_told_to_stop() -> Iterator[None]:
    """Let SIGTERM and SIGINT cut a wait short. uvicorn looks at them only once the lifespan has started."""
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel, "told to stop while warming up")
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _step(pool: WarmPool) -> None:
    while True:
        pool.step(time.time())
        metrics.observe_pool(pool)
        await asyncio.sleep(STEP_S)


async def _drain(pool: WarmPool) -> None:
    """Ask all servers to leave, and give them a moment; the end of the warm parent takes the rest."""
    pool.close(time.time())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await pool.empty.wait()


def _end_if_it_failed(task: asyncio.Task[None]) -> None:
    """A fleet without its sidecars or its steps is worse than none: end, and let whoever started it start it again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a task of the fleet failed", task=task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)
