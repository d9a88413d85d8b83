"""The fleet's process: allocator and admin API on one port, the sidecars on theirs, and the warm parents."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from types import FrameType
from uuid import UUID

import structlog
from fastapi import FastAPI

from dedicated_server.fleet import admission, configuration, console_process
from dedicated_server.fleet.admin import credentials, matches, operations, routes
from dedicated_server.fleet.admin.autoscaler import FleetAutoscaler
from dedicated_server.fleet.admin.count_history import CountHistory
from dedicated_server.fleet.admin.lifecycle_events import LifecycleEvents
from dedicated_server.fleet.admin.match_finalizer import MatchFinalizer
from dedicated_server.fleet.admin.policy_overrides import PolicyOverrides
from dedicated_server.fleet.agones import allocator_fast_path
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.agones.allocator import Allocator
from dedicated_server.fleet.agones.sidecar import Sidecar, SidecarServer
from dedicated_server.fleet.autoscaling import demand
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.configuration import (
    autoscaler_specs,
    pool_config,
    sizing_of,
    spectator_folder,
)
from dedicated_server.fleet.console_process import ConsoleProcess
from dedicated_server.fleet.feeds import SpectatorFeeds
from dedicated_server.fleet.pool import metrics as pool_metrics
from dedicated_server.fleet.pool.logs import ServerLogs
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.ports import open_sidecar_sockets
from dedicated_server.fleet.steps import parts, take_steps
from dedicated_server.fleet.warm.supervisor import WarmParents, WarmParentSupervisor
from dedicated_server.match import metrics as match_metrics
from dedicated_server.match.result_delivery import ResultDelivery
from dedicated_server.match.result_spool import FOLDER as RESULTS_FOLDER
from dedicated_server.match.result_spool import ResultSpool
from launchday import folders
from launchday.clock import Clock, SystemClock
from launchday.identity import CannotSignError, Signer
from launchday.resilience.bus import Bus
from launchday.resilience.http_client import ServiceClient
from launchday.service import create_app
from launchday.settings import ENV_PREFIX, Settings, in_url
from meta_service.client import MetaClient
from rewards.events import EventProducer

STOP_TIMEOUT_S = 2.5  # for servers to leave by themselves; launchers kill a service after 8 s
EVENTS_FLUSH_S = 0.5  # for the last events to reach Kafka; then they go to the spool
DEFAULT_SYNC_S = 1.0  # between two decisions of a policy that does not say
SERVICE_TOKEN_TTL_S = 30 * 24 * 3600.0  # signed anew at half of it

log = structlog.get_logger()


def create_fleet(
    settings: Settings,
    *,
    clock: Clock | None = None,
    server_module: str | None = None,
    env: Mapping[str, str] | None = None,
    start_timeout_s: float = 30.0,
) -> FastAPI:
    """Build the fleet's application; its servers run while its lifespan does.

    The lifespan starts once the warm parents are warm, so that ``/healthz`` means that servers can be had; it
    raises WarmUpFailedError where that fails. Raises ConfigurationError where a setting cannot be parsed.

    Args:
        settings: regions, ports, buffer, folders.
        clock: time, chance and ids of the whole fleet; the system's by default.
        server_module: the module that forked servers run; None: ours, or the command of the settings.
        env: environment of the warm parents and of their servers; this process's own by default.
        start_timeout_s: seconds from a fork to Ready.
    """
    clock = clock or SystemClock()
    config = pool_config(settings, start_timeout_s)
    runs = server_module or configuration.server_module(settings)
    policies = autoscaler_specs(settings)
    folder = settings.state_dir / "logs"

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state
        sockets = open_sidecar_sockets(config.max_servers)
        if runs == configuration.OWN_SERVER:
            configuration.warn_of_small_buffers(settings)
        folders.claim(settings.state_dir / "fleet", folders.FLEET_NAMES)
        journal = AllocationJournal(settings.state_dir / "fleet" / "allocations.jsonl")
        token = state.signer.service_tokens("fleet", clock, SERVICE_TOKEN_TTL_S)
        feeds = SpectatorFeeds(*spectator_folder(settings))
        parents_env = {**(os.environ if env is None else env), f"{ENV_PREFIX}SPECTATOR_DIR": feeds.folder}
        warm_parents = WarmParents(
            [
                WarmParentSupervisor(
                    node="local" if number == 0 else f"local-{number}",
                    server_module=runs,
                    env=parents_env,
                    log=folder / ("warm-parent.log" if number == 0 else f"warm-parent-{number}.log"),
                    clock=clock,
                )
                for number in range(config.warm_parents)
            ]
        )
        clients = contextlib.AsyncExitStack()
        meta = await clients.enter_async_context(
            MetaClient(settings.meta_url, token, connections=2, clock=clock)
        )
        webhooks = await clients.enter_async_context(ServiceClient("", clock=clock))
        matchmaker = await clients.enter_async_context(
            ServiceClient(settings.matchmaker_url, token=token, connections=1, clock=clock)
        )
        delivery = ResultDelivery(ResultSpool(settings.state_dir / RESULTS_FOLDER), meta, clock)
        finalizer = MatchFinalizer(
            journal, lambda: pool.changes, meta, clock, was_played=delivery.has_results
        )
        ids = clock.random("fleet-ids")
        pool = WarmPool(
            config,
            warm_parents,
            clock=clock,
            logs=ServerLogs(folder / "servers"),
            game_ports=range(settings.game_port_min, settings.game_port_max + 1),
            sdk_ports=[listener.getsockname()[1] for listener in sockets],
            new_id=lambda: f"{ids.getrandbits(32):08x}",
            on_finished=finalizer.finalize,
            was_played=lambda server: _was_played(delivery, server.match_id),
            on_gone=lambda server: feeds.forget(server.name),
        )
        match_metrics.collect_from(pool)
        overrides = PolicyOverrides(settings.state_dir / "fleet" / "policies.json")
        scaler = FleetAutoscaler(pool, policies, clock, webhooks, overrides, forecast)
        state.pool, state.warm_parents, state.allocator = pool, warm_parents, Allocator(pool, journal)
        state.autoscaler, state.match_finalizer, state.history = scaler, finalizer, CountHistory()
        state.feeds = feeds
        scheme = "https" if settings.tls_certificate else "http"
        own_url = f"{scheme}://{in_url(settings.bind_host)}:{settings.fleet_port}"
        state.console = ConsoleProcess(settings, own_url)
        producer = EventProducer(
            Bus.of(settings, clock),
            settings.topic_prefix,
            "fleet",
            settings.state_dir / "spool",
            clock=clock,
        )
        await producer.start()
        lifecycle = LifecycleEvents(pool.changes, producer, clock)
        sidecars = SidecarServer(Sidecar(pool))
        demand_poll = demand.poll(state.demand, matchmaker, clock)
        state.health.add(*parts(warm_parents, journal, settings.state_dir, pool.regions))
        tasks = [
            asyncio.create_task(sidecars.serve(sockets), name="sidecars"),
            asyncio.create_task(warm_parents.supervise(pool), name="warm parents"),
            asyncio.create_task(take_steps(pool, warm_parents, journal, state.history), name="steps"),
            asyncio.create_task(scaler.run(), name="autoscaler"),
            asyncio.create_task(lifecycle.run(), name="lifecycle"),
            asyncio.create_task(demand_poll, name="demand"),
            asyncio.create_task(delivery.run(), name="results"),
        ]
        for task in tasks:
            task.add_done_callback(_stop_if_failed)
        try:
            with _cancelled_by_signals():
                await warm_parents.first_warm_up()
            finalizer.recover()
            _write_credentials(settings, state.signer, clock.wall())
            _tune_garbage_collection()
            yield
        finally:
            credentials.remove(settings)
            state.console.close()
            await _drain(pool)
            sidecars.should_exit = True
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            lifecycle.finish()
            await producer.stop(EVENTS_FLUSH_S if producer.connected else 0.0)
            await finalizer.aclose()
            await clients.aclose()
            journal.close()
            for listener in sockets:
                listener.close()
            feeds.close()

    app = create_app(
        "launchday fleet", settings, lifespan, clock=clock, admission=admission.CLASSES, keys="fleet"
    )
    app.state.demand = demand.DemandMeter(demand.usual_match_s(settings), float(settings.match_players))
    app.state.sizing = lambda region: replace(
        sizing_of(settings, config, region),
        sync_s=policies[region].sync_s if region in policies else DEFAULT_SYNC_S,
    )

    def forecast(region: str, fleet: Replicas, now: float) -> Decision:
        decision: Decision = app.state.sizing(region).decide(
            fleet, app.state.demand.demand(region, fleet.allocated, now)
        )
        return decision

    for routed in (routes, matches, operations, demand, console_process):
        app.include_router(routed.router)
    allocator_fast_path.install(app)
    return app


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT cancel the current task: uvicorn ignores them until the lifespan started."""
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(task.cancel, "stopped while warming up")
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _was_played(delivery: ResultDelivery, match_id: str) -> bool:
    """Whether a match was played to its end, though its server ended before it could say so."""
    return bool(match_id) and delivery.has_results(UUID(match_id))


def _write_credentials(settings: Settings, signer: Signer, now: float) -> None:
    """Write what ``launchday fleet`` needs; a fleet without it serves all the same."""
    try:
        credentials.write(settings, signer, now)
    except CannotSignError:
        log.info("launchday fleet needs LAUNCHDAY_FLEET_TOKEN: operators' tokens are signed elsewhere")
    except OSError as error:
        pool_metrics.disk_errors.labels("credentials").inc()
        log.error("launchday fleet finds no credentials: give it LAUNCHDAY_FLEET_TOKEN", reason=str(error))


async def _drain(pool: WarmPool) -> None:
    """Tell all servers to leave, and wait a moment for them; the others end with their warm parent."""
    pool.close(pool.clock.monotonic())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await pool.empty.wait()


def _tune_garbage_collection() -> None:
    """Keep the garbage collector from scanning what lives for ever, which stops all calls for 100 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _stop_if_failed(task: asyncio.Task[None]) -> None:
    """End the fleet when one of its tasks fails, so that whoever started it starts it again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a task of the fleet failed", task=task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)
