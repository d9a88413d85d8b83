"""A flood: real sockets and real time against a backend that is up. :func:`flood` is its timetable."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np

from dedicated_server.fleet.client import FleetAdminClient
from launchday.identity import Signer, WeakSecretError
from launchday.percentiles import percentiles
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.bots.swarm import Swarm
from loadtest.errors import BackendError
from loadtest.flood.allocations import AllocationFeed
from loadtest.flood.backend_processes import BackendProcesses, CpuMeter
from loadtest.flood.counters import BackendCounters, CountersReader
from loadtest.flood.faults import FaultInjector
from loadtest.flood.kill_events import KillEventCounter
from loadtest.flood.ledger import ExpectedLosses, Ledger, balance, count_matches
from loadtest.flood.monitor import BackendMonitor, wait_until_settled
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import GeneratorHealth, RunOutcome
from loadtest.flood.progress import ProgressDisplay
from loadtest.flood.timeline import Timeline
from loadtest.players.backend_client import HttpBackendClient
from loadtest.players.journey import run_player
from loadtest.players.own_backend import OwnBackend
from loadtest.players.parties import BotParties
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords
from loadtest.players.requests import RequestLog
from loadtest.players.run_context import RunContext
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population, max_one_way_ms


async def flood(
    scenario: Scenario,
    latencies_ms: list[dict[str, float]],
    settings: Settings,
    options: FloodOptions,
    *,
    console: Terminal,
    stop_event: asyncio.Event,
    processes: BackendProcesses | None = None,
) -> RunOutcome:
    """Let the players of a scenario play on the backend that ``settings`` names, and return what was
    measured.

    Args:
        scenario: a checked scenario; the same one draws the same players.
        latencies_ms: of :func:`loadtest.scenario.population.region_latencies_ms`.
        settings: addresses of the services, and the secret that signs the load test's service token.
        options: which backend, and what is watched.
        console: where the progress is shown.
        stop_event: when set, players leave, tickets are cancelled and the outcome so far is returned.
        processes: of the backend, where it runs on this machine: for faults and for processor time.

    Raises:
        BackendError: where a service cannot be reached at the start, or a fault cannot be injected.
        SwarmError: where the bots' thread has ended.
    """
    async with _open_run(scenario, latencies_ms, settings, console, processes) as run:
        async with run.monitor.watching():
            async with run.faults:
                interrupted = await _play_all(run.context, stop_event)
            run.monitor.phase = "settling"
            counters, settled_s = await wait_until_settled(
                run.monitor, stop_event, lambda seen: run.ledger(seen).balanced
            )
        return run.outcome(counters, settled_s, interrupted or run.report_failures())


@dataclass(slots=True)
class _Run:
    """Everything that takes part in one run.

    Attributes:
        context: what all players share; its clock began when the run did.
        counters_before: what every service had counted before the first player arrived.
        usage_before: processor time at the start.
        cpu_meter: None where the backend's processes are not known.
        processes: of the backend, None where they are not known.
    """

    run_id: str
    started_at: float
    context: RunContext
    swarm: Swarm
    timeline: Timeline
    counters_before: BackendCounters
    kills: KillEventCounter
    monitor: BackendMonitor
    faults: FaultInjector
    allocations: AllocationFeed
    processes: BackendProcesses | None
    progress: ProgressDisplay
    cpu_meter: CpuMeter | None
    usage_before: _CpuUsage

    def ledger(self, counters: BackendCounters) -> Ledger:
        """The ledger by what every service counts now."""
        context = self.context
        return balance(
            counters.since(self.counters_before),
            tickets_opened=context.records.tickets,
            kill_events=self.kills.kills,
            killed=_expected_losses(self.faults, counters, self.kills),
            parties=(context.parties.matched_count, context.parties.whole_count),
            gaps=self.kills.gaps,
        )

    def report_failures(self) -> str:
        """Print why counters or events could not be read to the end; returns the first reason, or ""."""
        failures = [failure for failure in (self.monitor.error, self.kills.failure()) if failure is not None]
        for failure in failures:
            self.progress.print_line(failure, "red")
        return failures[0] if failures else ""

    def outcome(self, counters: BackendCounters, settled_s: float | None, interrupted: str) -> RunOutcome:
        """What was measured until now."""
        context, wall_s = self.context, self.context.clock()
        used = _CpuUsage.now().since(self.usage_before)
        return RunOutcome(
            scenario=context.scenario,
            run_id=self.run_id,
            started_at=self.started_at,
            wall_s=wall_s,
            records=context.records,
            timeline=self.timeline,
            ledger=self.ledger(counters),
            reports=self.monitor.reports(),
            generator=_generator_health(self.swarm, context, used.own_s / wall_s),
            settled_s=settled_s,
            interrupted=interrupted,
            fault_records=self.faults.records,
            matches=count_matches(
                counters.since(self.counters_before),
                servers_used=len(self.allocations.allocated),
                failures=Counter(match.reason for match in self.allocations.failed),
            ),
            failed_matches=self.allocations.failed,
            lost_servers=self.allocations.lost,
            deaths=() if self.processes is None else tuple(self.processes.deaths),
            requests=context.requests,
            cpu_s={} if self.cpu_meter is None else self.cpu_meter.by_kind(used.own_s, used.machine_s),
            kills_by_player=dict(self.kills.by_player),
            population=context.population,
        )


@contextlib.asynccontextmanager
async def _open_run(
    scenario: Scenario,
    latencies_ms: list[dict[str, float]],
    settings: Settings,
    console: Terminal,
    processes: BackendProcesses | None,
) -> AsyncIterator[_Run]:
    """Draw the players, connect to every service, read the counters, start the bots, and start the run's
    clock.
    """
    population = draw_population(scenario)
    records, timeline = PlayerRecords(population.arrives_s), Timeline()
    run_id, started_at = secrets.token_hex(4), time.time()
    token = _service_token(settings, started_at)
    async with contextlib.AsyncExitStack() as stack:
        progress = ProgressDisplay(console, records, timeline)
        reader = await stack.enter_async_context(CountersReader(settings, token))
        counters_before = await reader.read()
        kills = KillEventCounter(settings.kafka_bootstrap, settings.topic_prefix)
        await stack.enter_async_context(kills)
        fleet = await stack.enter_async_context(FleetAdminClient(settings.fleet_url, token))
        backend = await stack.enter_async_context(HttpBackendClient(settings, len(population)))
        stack.enter_context(_rare_garbage_collections())
        progress.print_line("starting the bots")
        swarm = Swarm(
            population,
            entities=max(scenario.max_match_players, settings.match_players),
            scenario=scenario,
            longest_ms=max_one_way_ms(scenario, latencies_ms),
        )
        await stack.enter_async_context(swarm)
        stack.enter_context(progress)
        cpu_meter = None if processes is None else CpuMeter(processes)
        if cpu_meter is not None:
            cpu_meter.read()
        start_s = time.monotonic()

        def clock() -> float:
            return time.monotonic() - start_s

        allocations = await stack.enter_async_context(AllocationFeed(fleet, clock))
        start_s, usage_before = time.monotonic(), _CpuUsage.now()  # here the run begins
        links = PlayerLinks(scenario, population, latencies_ms)
        requests, ended_matches = RequestLog(), set[str]()
        context = RunContext(
            scenario=scenario,
            population=population,
            records=records,
            target=OwnBackend(backend, swarm, records, requests, links.link_to, clock, ended_matches),
            links=links,
            requests=requests,
            ended_matches=ended_matches,
            clock=clock,
            device_id=lambda bot: f"{scenario.name}-{run_id}-{bot}",
            parties=BotParties.of_population(population, f"{scenario.name}-{run_id}"),
            rng=np.random.default_rng(scenario.seed),
        )
        monitor = BackendMonitor(
            reader, counters_before, fleet, records, timeline, progress, clock, context.ended_matches
        )
        choose = np.random.default_rng(scenario.seed + 1).integers
        faults = FaultInjector(scenario.faults, processes, fleet, allocations, swarm, timeline, clock, choose)
        yield _Run(
            run_id=run_id,
            started_at=started_at,
            context=context,
            swarm=swarm,
            timeline=timeline,
            counters_before=counters_before,
            kills=kills,
            monitor=monitor,
            faults=faults,
            allocations=allocations,
            processes=processes,
            progress=progress,
            cpu_meter=cpu_meter,
            usage_before=usage_before,
        )


async def _play_all(context: RunContext, stop_event: asyncio.Event) -> str:
    """Start every player and wait until all have ended or the run is stopped; returns why it was, or ""."""
    tasks = [
        asyncio.create_task(run_player(context, bot), name=f"bot {bot}")
        for bot in range(len(context.population))
    ]
    ended = asyncio.create_task(_all_done(tasks), name="all players ended")
    stopped = asyncio.create_task(stop_event.wait(), name="stop")
    try:
        await asyncio.wait(
            [ended, stopped], timeout=context.scenario.duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        was_stopped = stopped.done() and not ended.done()
    finally:
        for task in (stopped, ended, *tasks):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(ended, stopped, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result  # an error of the load test: one of the backend ends as PlayerLostError
    return "stopped before the last player had finished" if was_stopped else ""


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


@contextlib.contextmanager
def _rare_garbage_collections() -> Iterator[None]:
    """Keep the garbage collector from stopping all bots for 200 ms: it skips what was imported before the
    run.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class _CpuUsage:
    """Seconds of processor time: of this process, and of the whole machine."""

    own_s: float
    machine_s: float

    @classmethod
    def now(cls) -> _CpuUsage:
        return cls(time.process_time(), CpuMeter.busy_s())

    def since(self, earlier: _CpuUsage) -> _CpuUsage:
        return _CpuUsage(self.own_s - earlier.own_s, self.machine_s - earlier.machine_s)


def _generator_health(swarm: Swarm, context: RunContext, cpu_cores: float) -> GeneratorHealth:
    late_ms = (context.records.arrived_s - context.records.intended_s) * 1e3
    return GeneratorHealth(
        step_late_us=swarm.step_lateness_us(50, 99, 100),
        steps_missed_share=round(swarm.steps_missed / max(1, swarm.steps + swarm.steps_missed), 6),
        arrival_late_ms=percentiles(late_ms, 50, 99, 100, digits=4),
        datagrams_overflowed=sum(link["overflowed"] for link in swarm.links.values()),
        cpu_cores=cpu_cores,
        stages_s=swarm.stages_s,
        shortages=dict(context.requests.own_shortages),
    )


def _service_token(settings: Settings, now: float) -> str:
    try:
        return Signer(settings.identity_secret.get_secret_value()).service_token("loadtest", now)
    except WeakSecretError as error:
        raise BackendError(str(error)) from error


def _expected_losses(
    faults: FaultInjector, counters: BackendCounters, kills: KillEventCounter
) -> ExpectedLosses:
    """What the matches are known to have reported whose game servers the run has killed."""
    lost = [
        report
        for report in counters.fleet.get("reports", [])
        if report.get("server") in faults.killed_servers
    ]
    return ExpectedLosses(
        servers=faults.killed_count,
        kills_reported=sum(int(report.get("kills", 0)) for report in lost),
        kill_events=sum(kills.by_match.get(str(report.get("match_id")), 0) for report in lost),
    )
