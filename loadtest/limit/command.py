"""What ``launchday flood --find-limit`` does: flood at one rate after the other, and say where it broke."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace
from pathlib import Path

from launchday import outputs, startup
from launchday.outputs import Outputs, write_whole
from launchday.settings import Settings
from launchday.terminal import Terminal, show_error
from loadtest.command import BAD_SCENARIO, ERROR, FAILED, INTERRUPTED, MAX_PLAYERS, PASSED
from loadtest.errors import LoadTestError, MetricsError, ScenarioError, TargetError, UnknownRegionError
from loadtest.flood import capacity
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.options import FloodOptions
from loadtest.flood.run import flood
from loadtest.limit.search import Limit, Trial, find_limit
from loadtest.limit.steps import first_rate, step_scenario, step_seconds, trial_of
from loadtest.report import files
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import region_latencies_ms

TYPICAL_TRIALS = 12  # four to get there, then two for each rate that breaks, and three or four halvings
SETTLE_S = 2.0  # between two floods, for what no counter of a foreign target shows
MAX_REST_S = 30.0


async def search_limit(
    scenario: Scenario,
    settings: Settings,
    options: FloodOptions,
    *,
    console: Terminal,
    stop_event: asyncio.Event,
    processes: BackendProcesses | None = None,
) -> int:
    """Find the highest rate of arrivals at which a backend meets the objectives of a scenario.

    Args:
        scenario: whose players, modes, fleet and objectives are meant; its curve and its faults are not.
        settings: addresses of the backend's services.
        options: which backend, how long a step is, what is watched, and what is written: the page, and its
            figures beside it.
        console: where progress and result are printed.
        stop_event: when set, the search ends with what is known.
        processes: of the backend, where it runs on this machine.

    Returns:
        The exit code: 0 where a limit of the backend was found; 99 where none was: nothing held, nothing
        broke, or the generator did first; 2 a mistake in what was asked; 1 the backend failed, or a file was
        not written; 130 stopped.

    Raises:
        OutputError: a file cannot be written, as is known before the start.
    """
    files.check(options.report, options.json)
    step_s = options.step_s or step_seconds(scenario)
    started_at, start = time.time(), first_rate(scenario)
    print_plan(scenario, start, step_s, console)
    quiet = replace(options, report=None, json=None, rows=None, as_json=False)
    floods = 0

    async def flood_at(rate: float) -> Trial:
        nonlocal floods
        floods += 1
        step = step_scenario(scenario, rate, step_s, floods)
        console.print(f"flood {floods}: {rate:.4g} players/s, {step.players.count:,} players", style="bold")
        if stop_event.is_set():
            return Trial(rate, stopped=True)
        outcome = await flood(
            step,
            region_latencies_ms(step, options.regions(step, settings)),
            settings,
            quiet,
            console=console,
            stop_event=stop_event,
            processes=processes,
        )
        if stop_event.is_set():
            return Trial(rate, stopped=True)
        trial = trial_of(outcome, rate)
        await _rest(trial, stop_event)
        return trial

    try:
        limit = await find_limit(
            flood_at,
            start=start,
            ceiling=most_players() / step_s,
            on_trial=lambda trial: print_trial(trial, console),
        )
    except (ScenarioError, UnknownRegionError, MetricsError, TargetError) as error:
        console.print(str(error), style="red")
        return BAD_SCENARIO
    except LoadTestError as error:
        console.print(str(error), style="red")
        return ERROR
    failures, written = await asyncio.to_thread(_write, scenario, limit, options, started_at, step_s)
    console.print(limit.sentence, style=f"bold {'green' if limit.found else 'yellow'}")
    if limit.busy_sentence:
        console.print(limit.busy_sentence, style="yellow")
    if options.as_json:
        print(json.dumps(limit_as_json(scenario, limit, started_at, step_s), allow_nan=False), flush=True)
    if written:
        console.print(written)
    show_error(*failures)
    if limit.stopped:
        return INTERRUPTED
    if failures:
        return ERROR
    return PASSED if limit.found else FAILED


async def _rest(trial: Trial, stop_event: asyncio.Event) -> None:
    """Leave a backend the time to work off what the players of a flood have left behind: as long as they
    waited.
    """
    behind_s = 0.0 if trial.held else min(trial.wait_p95_s or 0.0, MAX_REST_S)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S + behind_s):
            await stop_event.wait()


def most_players() -> int:
    """The most players that one step may have on this machine, who may all be there at once."""
    return min(
        MAX_PLAYERS,
        capacity.players_that_fit(startup.descriptors().soft),
        capacity.players_by_ports(),
    )


def limit_as_json(scenario: Scenario, limit: Limit, started_at: float, step_s: float) -> dict[str, object]:
    """The figures of a search by their keys."""
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "started_at": round(started_at, 3),
        "step_s": step_s,
        "limit": limit.as_json(),
    }


def print_plan(scenario: Scenario, start: float, step_s: float, console: Terminal) -> None:
    """Say what the search will do, and about how long it takes."""
    each_s = step_s + scenario.max_match_s
    console.print(
        f"searching for the limit from {start:.4g} players/s on: players arrive for {step_s:g} s a flood, "
        f"about {TYPICAL_TRIALS} floods, about {TYPICAL_TRIALS * each_s / 60:.0f} minutes"
    )
    if scenario.faults:
        console.print("the scenario's faults are left out: they would be the limit", style="yellow")


def print_trial(trial: Trial, console: Terminal) -> None:
    """Say what came of one flood."""
    wait = "nobody waited" if trial.wait_p95_s is None else f"wait p95 {trial.wait_p95_s:.3g} s"
    if trial.held:
        console.print(f"{trial.rate:.4g} players/s held: {wait}", style="green")
        return
    what = "broke" if trial.whose == "backend" else "was too much for the generator"
    console.print(f"{trial.rate:.4g} players/s {what}: {'; '.join(trial.reasons)}", style="red")


def _write(
    scenario: Scenario, limit: Limit, options: FloodOptions, started_at: float, step_s: float
) -> tuple[list[str], str]:
    found = Outputs()
    figures = json.dumps(limit_as_json(scenario, limit, started_at, step_s), indent=2, allow_nan=False) + "\n"
    json_paths: list[Path] = [] if options.json is None else [options.json]
    written = ""
    if options.report is not None:
        from loadtest.limit.page import render_limit  # plotly takes 50 MB

        page, beside, _ = files.ReportFiles.of(options.report)
        rendered = render_limit(scenario, limit, started_at, step_s)
        json_paths.append(beside)
        if found.attempt(lambda: write_whole(page, rendered)):
            written = f"report: {page} (figures: {beside})"
    for path in json_paths:
        found.attempt(lambda path=path: outputs.write_whole(path, figures))  # type: ignore[misc]
    return found.failures, written
