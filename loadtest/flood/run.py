"""A flood: real sockets and real time against a backend that is up. :func:`flood` is its timetable."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from launchday.percentiles import percentiles
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.flood.backend_processes import BackendProcesses, CpuMeter
from loadtest.flood.metrics.sampler import MetricsSampler
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import GeneratorHealth, RunOutcome
from loadtest.flood.parts.begin import wait_for_begin
from loadtest.flood.parts.file import PartHeader, write_part
from loadtest.flood.parts.pack import pack_run
from loadtest.flood.surroundings.base import Run, Surroundings
from loadtest.flood.surroundings.foreign_target import open_target
from loadtest.flood.surroundings.own_backend import open_own_backend
from loadtest.flood.surroundings.part_header import header_of
from loadtest.garbage import rare_collections
from loadtest.players.journey import run_player
from loadtest.players.run_context import RunContext
from loadtest.scenario.model import Scenario


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
    """Let the players of a scenario play on a backend, and return what was measured.

    Args:
        scenario: a checked scenario; the same one draws the same players.
        latencies_ms: of :func:`loadtest.scenario.population.region_latencies_ms`.
        settings: addresses of our own services, and the secret that signs the load test's service token.
        options: which backend, and what is watched.
        console: where the progress is shown.
        stop_event: when set, players leave, tickets are cancelled and the outcome so far is returned.
        processes: of our own backend, where it runs on this machine: for faults and for processor time.

    Raises:
        BackendError: where a service cannot be reached at the start, or a fault cannot be injected.
        OutputError: where the file of a part cannot be written.
        MetricsError: where an address of the metrics does not tell any at the start.
        TargetError: where the target cannot be made.
        SwarmError: where the bots' thread has ended.
    """
    run = Run.of(scenario, latencies_ms, options, console)
    async with (
        MetricsSampler(options.metrics) as metrics,
        _surroundings(run, settings, processes) as around,
    ):
        with rare_collections(), run.progress:
            await wait_for_begin(options.begin_at, stop_event, run.progress.print_line)
            run.begin()
            header = await _note_begin(run, around)
            usage = _CpuUsage.now()
            async with around.watching(), metrics.watching(run.clock):
                async with around.faults:
                    interrupted = await _play_all(around.context, stop_event)
                played_s, used = run.clock(), _CpuUsage.now().since(usage)
                around.note_played(played_s, used.own_s, used.machine_s)
                # The counters are those of all parts, which only their sum can be compared with.
                settled_s = await around.settle(stop_event) if run.part is None else None
            failures = around.failures()
            for failure in failures:
                run.progress.print_line(failure, "red")
            wall_s, used = run.clock(), _CpuUsage.now().since(usage)
            outcome = RunOutcome(
                scenario=scenario,
                run_id=run.run_id,
                started_at=run.started_at,
                wall_s=wall_s,
                records=run.records,
                timeline=run.timeline,
                ledger=around.ledger(),
                reports=[],
                generator=_generator_health(around.context, used.own_s / wall_s),
                settled_s=settled_s,
                interrupted=interrupted or "".join(failures[:1]),
                fault_records=around.faults.records,
                requests=run.requests,
                population=run.population,
                played_s=played_s,
                left_out=around.left_out,
                metrics=metrics.histories,
                parties=(around.context.parties.matched_count, around.context.parties.whole_count),
            )
            outcome = around.complete(outcome, used.own_s, used.machine_s)
            if header is not None and options.part_file is not None:
                await asyncio.to_thread(write_part, options.part_file, header, pack_run(outcome))
            return outcome


async def _note_begin(run: Run, around: Surroundings) -> PartHeader | None:
    """Write what there was when a part began, so that one that is killed is known by its file."""
    if run.options.part_file is None:
        return None
    header = header_of(run, around)
    await asyncio.to_thread(write_part, run.options.part_file, header)
    return header


def _surroundings(
    run: Run, settings: Settings, processes: BackendProcesses | None
) -> AbstractAsyncContextManager[Surroundings]:
    if run.options.target is not None:
        return open_target(run, run.options.target)
    return open_own_backend(run, settings, processes)


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


def _generator_health(context: RunContext, cpu_cores: float) -> GeneratorHealth:
    """How well this process kept up, but for the bots' UDP side."""
    late_ms = (context.records.arrived_s - context.records.intended_s) * 1e3
    return GeneratorHealth(
        step_late_us={},
        steps_missed_share=0.0,
        arrival_late_ms=percentiles(late_ms, 50, 99, 100, digits=4),
        datagrams_overflowed=0,
        cpu_cores=cpu_cores,
        shortages=dict(context.requests.own_shortages),
    )
