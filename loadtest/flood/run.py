"""A run: real sockets, real time, against a backend that is up. This file is its timetable.

Check the scenario against the fleet's regions · read the books · start the swarm · let players arrive · look each second · wait until
the books have settled · balance them · tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from dedicated_server.fleet.client import FleetAdminClient
from launchday.identity import Signer, WeakSecretError
from launchday.percentiles import percentiles
from launchday.settings import Settings
from loadtest.bots.swarm import Swarm
from loadtest.errors import BackendError, LoadTestError, ScenarioError, UnknownRegionError
from loadtest.flood.backend_processes import OTHERS, BackendProcesses, CpuMeter
from loadtest.flood.counters import BackendCounters, CountersReader
from loadtest.flood.faults import FaultInjector
from loadtest.flood.kill_events import KillEventCounter
from loadtest.flood.ledger import ExpectedLosses, Ledger, balance
from loadtest.flood.monitor import BackendMonitor, wait_until_settled
from loadtest.flood.outcome import GeneratorHealth, RunOutcome
from loadtest.flood.progress import ProgressDisplay
from loadtest.flood.timeline import Timeline
from loadtest.players.backend_client import HttpBackendClient
from loadtest.players.journey import RunContext, run_player
from loadtest.players.parties import BotParties
from loadtest.players.player_records import PlayerRecords
from loadtest.report import summary, timeseries_csv
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import load_scenario
from loadtest.scenario.regions import regions

MAX_PLAYERS = 50_000  # each is a coroutine and a socket
PASSED = 0
ERROR = 1
BAD_SCENARIO = 2
FAILED = 99
INTERRUPTED = 130  # as a shell reports Ctrl-C


async def run(
    scenario: Scenario | Path,
    settings: Settings,
    *,
    report_path: Path | None = None,
    as_json: bool = False,
    console: Console | None = None,
    stop_event: asyncio.Event | None = None,
    machine: BackendProcesses | None = None,
    told: Callable[[RunOutcome], None] | None = None,
) -> int:
    """Flood the backend that ``settings`` names with the players of ``scenario``, and tell what happened.

    Args:
        scenario: a scenario, or the file that holds one.
        report_path: where the HTML report goes; the figures go beside it as JSON, and the curves as CSV.
        as_json: print the figures on standard output, as one JSON object on one line.
        console: where progress and summary go.
        stop_event: when set, players leave, tickets are taken back, and the summary so far is written.
        machine: the launcher of the backend, where it is our own: for faults, and for what everybody's processors did.
        told: gets the outcome, before it is shown.

    Returns:
        0 passed; 99 an objective missed or the ledger out of balance; 2 a bad scenario; 1 the backend failed; 130 stopped.
    """
    console = console or Console()
    stop_event = stop_event or asyncio.Event()
    try:
        loaded = load_scenario(scenario) if isinstance(scenario, Path) else scenario
        if (reason := why_not_floodable(loaded)) is not None:
            raise LoadTestError(reason)
        latencies_ms = region_latencies_ms(loaded, settings.region_names)
        outcome = await _flood(loaded, latencies_ms, settings, console, stop_event, machine)
    except (ScenarioError, UnknownRegionError) as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        return BAD_SCENARIO
    except LoadTestError as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        return ERROR
    if told is not None:
        told(outcome)
    summary.print_summary(outcome, console)
    if as_json:
        print(json.dumps(outcome.as_json(), allow_nan=False), flush=True)
    if report_path is not None:
        from loadtest.report import run_page  # plotly: 50 MB that need not be there while the bots play

        json_path, csv_path = report_path.with_suffix(".json"), report_path.with_suffix(".csv")
        await asyncio.to_thread(outcome.write_json, json_path)
        await asyncio.to_thread(timeseries_csv.write_timeseries, outcome.timeline, csv_path)
        await asyncio.to_thread(run_page.write_report, outcome, report_path)
        console.print(
            f"report: {report_path} (figures: {json_path}, curves: {csv_path})",
            highlight=False,
            soft_wrap=True,
        )
    if outcome.interrupted:
        return INTERRUPTED if stop_event.is_set() else ERROR
    return PASSED if outcome.passed else FAILED


def why_not_floodable(scenario: Scenario) -> str | None:
    """Why a scenario cannot be flooded for real, or None."""
    if scenario.players.count <= MAX_PLAYERS:
        return None
    return (
        f"{scenario.name} has {scenario.players.count:,} players; one machine floods with {MAX_PLAYERS:,} at most: "
        "take fewer, or simulate it"
    )


def region_latencies_ms(scenario: Scenario, fleet_regions: tuple[str, ...]) -> list[dict[str, float]]:
    """For each location of the scenario, in its order: fleet region → round trip in ms, without the player's own line.

    Raises UnknownRegionError for a fleet region that the table does not hold, and for a location that reaches none of them.
    """
    found: list[dict[str, float]] = []
    for location in scenario.players.locations:
        rtts_ms = {region: regions().rtt_between_ms(location, region) for region in fleet_regions}
        reachable = {region: rtt_ms for region, rtt_ms in rtts_ms.items() if rtt_ms is not None}
        if not reachable:
            raise UnknownRegionError(
                f"no round trip is published between players.locations.{location} and any fleet region "
                f"({', '.join(fleet_regions)}): choose another location, or set LAUNCHDAY_REGIONS"
            )
        found.append(reachable)
    return found


def max_one_way_ms(scenario: Scenario, latencies_ms: list[dict[str, float]]) -> float:
    """What a datagram may need one way, at most, on any line of the scenario; but for one in some thousands."""
    lines = [scenario.links.profile(name) for name in scenario.links.shares]
    rtt_ms = max(max(by_region.values()) for by_region in latencies_ms)
    return max((rtt_ms + line.latency_ms) / 2 + line.max_extra_ms for line in lines)


async def _flood(
    scenario: Scenario,
    latencies_ms: list[dict[str, float]],
    settings: Settings,
    console: Console,
    stop_event: asyncio.Event,
    machine: BackendProcesses | None,
) -> RunOutcome:
    population = draw_population(scenario)
    fates = PlayerRecords(population.arrives_s)
    timeline = Timeline()
    run_id = secrets.token_hex(4)
    started_at = time.time()
    token = _service_token(settings, started_at)
    async with contextlib.AsyncExitStack() as stack:
        progress = ProgressDisplay(console, fates, timeline)
        reader = await stack.enter_async_context(CountersReader(settings, token))
        before = await reader.read()
        kills = await stack.enter_async_context(
            KillEventCounter(settings.kafka_bootstrap, settings.topic_prefix)
        )
        fleet = await stack.enter_async_context(FleetAdminClient(settings.fleet_url, token))
        lobby = await stack.enter_async_context(HttpBackendClient(settings, len(population)))
        stack.enter_context(_few_collections())
        progress.print_line("loading the swarm's kernels")
        swarm = await stack.enter_async_context(
            Swarm(
                population,
                entities=max(scenario.max_match_players, settings.match_players),
                scenario=scenario,
                longest_ms=max_one_way_ms(scenario, latencies_ms),
            )
        )
        stack.enter_context(progress)
        meter = None if machine is None else CpuMeter(machine)
        if meter is not None:
            meter.read()
        start_s, cpu_s, busy_s = time.monotonic(), time.process_time(), CpuMeter.busy_s()

        def clock() -> float:
            return time.monotonic() - start_s

        parties = BotParties.of_population(population, f"{scenario.name}-{run_id}")
        trip = RunContext(
            scenario=scenario,
            population=population,
            records=fates,
            backend=lobby,
            swarm=swarm,
            latencies_ms=latencies_ms,
            clock=clock,
            device_id=lambda bot: f"{scenario.name}-{run_id}-{bot}",
            parties=parties,
            rng=np.random.default_rng(scenario.seed),
        )
        looks = BackendMonitor(reader, before, fleet, fates, timeline, progress, clock)
        looks.ended_matches = (
            trip.ended_matches
        )  # a match may end while all who are left in it are away: then the server alone knows
        faults = FaultInjector(
            scenario.faults,
            machine,
            fleet,
            swarm,
            timeline,
            clock,
            np.random.default_rng(scenario.seed + 1).integers,
        )

        def balanced(seen: BackendCounters) -> Ledger:
            return balance(
                seen.since(before),
                tickets_opened=fates.tickets,
                kill_events=kills.kills,
                killed=_killed(faults, seen, kills),
                parties=(parties.matched_count, parties.whole_count),
            )

        looking = asyncio.create_task(looks.watch(), name="looks")
        try:
            async with faults:
                interrupted = await _journeys(trip, stop_event)
            looks.phase = "settling"
            books, settled_s = await wait_until_settled(
                looks, stop_event, lambda seen: balanced(seen).balanced
            )
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
        for fault in (looks.error, kills.failure()):
            if fault is not None:
                progress.print_line(f"[red]{escape(fault)}[/]")
                interrupted = interrupted or fault
        return RunOutcome(
            scenario=scenario,
            run_id=run_id,
            started_at=started_at,
            wall_s=clock(),
            records=fates,
            timeline=timeline,
            ledger=balanced(books),
            reports=looks.reports(),
            generator=GeneratorHealth(
                step_late_us=swarm.step_lateness_us(50, 99, 100),
                steps_missed_share=round(swarm.steps_missed / max(1, swarm.steps + swarm.steps_missed), 6),
                arrival_late_ms=percentiles(
                    (fates.arrived_s - fates.intended_s) * 1e3, 50, 99, 100, digits=4
                ),
                datagrams_overflowed=sum(link["overflowed"] for link in swarm.links.values()),
                cpu_cores=(time.process_time() - cpu_s) / clock(),
                stages_s=swarm.stages_s,
            ),
            settled_s=settled_s,
            interrupted=interrupted,
            fault_records=faults.records,
            requests=trip.requests,
            cpu_s={} if meter is None else _cpu_s(meter, time.process_time() - cpu_s, busy_s),
            kills_by_player=dict(kills.by_player),
            population=population,
        )


def _cpu_s(meter: CpuMeter, own_s: float, busy_before_s: float) -> dict[str, float]:
    """Seconds of processor time by kind of process, with what none of ours has used as "others"."""
    ours = meter.read()
    others_s = CpuMeter.busy_s() - busy_before_s - own_s - sum(ours.values())
    return {**ours, OTHERS: max(0.0, others_s)}


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Keep the garbage collector from stopping all bots for 200 ms: what was imported is never looked at again."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _journeys(trip: RunContext, stop_event: asyncio.Event) -> str:
    """Send everyone on their way and wait until all are home, or until the run is stopped; returns why, or ""."""
    tasks = [
        asyncio.create_task(run_player(trip, bot), name=f"bot {bot}") for bot in range(len(trip.population))
    ]
    home = asyncio.create_task(_all_done(tasks), name="everyone home")
    stopped = asyncio.create_task(stop_event.wait(), name="stop")
    try:
        await asyncio.wait(
            [home, stopped], timeout=trip.scenario.duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        interrupted = "stopped before the last player was home" if stopped.done() and not home.done() else ""
    finally:
        for task in (stopped, home, *tasks):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(home, stopped, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result  # a fault of ours, not of the backend: those end as Lost
    return interrupted


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def _service_token(settings: Settings, now: float) -> str:
    try:
        return Signer(settings.identity_secret.get_secret_value()).service_token("loadtest", now)
    except WeakSecretError as error:
        raise BackendError(str(error)) from error


def _killed(faults: FaultInjector, books: BackendCounters, kills: KillEventCounter) -> ExpectedLosses:
    """What is known of the matches whose servers the run has killed."""
    dead = [
        report for report in books.fleet.get("reports", []) if report.get("server") in faults.killed_servers
    ]
    return ExpectedLosses(
        servers=faults.killed_count,
        kills_reported=sum(int(report.get("kills", 0)) for report in dead),
        kill_events=sum(kills.by_match.get(str(report.get("match_id")), 0) for report in dead),
    )
