"""What ``launchday flood`` does: read a scenario, flood the backend with it, print the summary, write the
files.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path

from launchday.outputs import Outputs
from launchday.settings import Settings
from launchday.terminal import Terminal, show_error
from loadtest.errors import (
    LoadTestError,
    MetricsError,
    PartError,
    ScenarioError,
    TargetError,
    UnknownRegionError,
)
from loadtest.flood import capacity
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.needs import needs_of
from loadtest.flood.run import flood
from loadtest.report import files
from loadtest.report.run_json import run_as_json, write_run_json
from loadtest.report.summary import print_summary
from loadtest.report.timeseries_csv import write_timeseries
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import draw_population, region_latencies_ms
from loadtest.scenario.reader import load_scenario

MAX_PLAYERS = 50_000  # of one process: each is a coroutine and a socket
MAX_POPULATION = 5_000_000  # of all parts together; each draws all of it

# Exit codes.
PASSED = 0
ERROR = 1
BAD_SCENARIO = 2
FAILED = 99
INTERRUPTED = 130  # as a shell reports Ctrl-C


async def run_scenario(
    scenario: Scenario | Path,
    settings: Settings,
    options: FloodOptions | None = None,
    *,
    console: Terminal | None = None,
    stop_event: asyncio.Event | None = None,
    processes: BackendProcesses | None = None,
    on_outcome: Callable[[RunOutcome], None] | None = None,
) -> int:
    """Flood the backend that ``settings`` names with the players of ``scenario``, and report what happened.

    Args:
        scenario: a scenario, or the file that holds one.
        settings: addresses of the backend's services, and the secret that they share.
        options: which backend, what is watched, and what is written. Files are written before anything is
            printed.
        console: where progress and summary are printed.
        stop_event: when set, players leave, tickets are cancelled and the summary so far is printed.
        processes: of the backend, where it runs on this machine: for faults and for processor time.
        on_outcome: called with the outcome before it is printed.

    Returns:
        The exit code: 0 passed; 99 an objective missed, the ledger out of balance or the generator saturated;
        2 a bad scenario; 1 the backend failed, or a file was not written; 130 stopped.

    Raises:
        OutputError: a file cannot be written, as is known before the start.
    """
    options = options or FloodOptions()
    check_outputs(options)
    console = console or Terminal()
    stop_event = stop_event or asyncio.Event()
    try:
        loaded = load_scenario(scenario) if isinstance(scenario, Path) else scenario
        part = None if options.part is None else Part(*options.part)
        if (reason := why_not_floodable(loaded, part)) is not None:
            raise LoadTestError(reason)
        latencies_ms = region_latencies_ms(loaded, options.regions(loaded, settings))
        say_needs(loaded, options, console)
        outcome = await flood(
            loaded,
            latencies_ms,
            settings,
            options,
            console=console,
            stop_event=stop_event,
            processes=processes,
        )
    except ScenarioError as error:
        for line in error.lines:
            console.print(line, style="red")
        return BAD_SCENARIO
    except (UnknownRegionError, TargetError, MetricsError, PartError) as error:
        console.print(str(error), style="red")
        return BAD_SCENARIO
    except LoadTestError as error:
        console.print(str(error), style="red")
        return ERROR
    if on_outcome is not None:
        on_outcome(outcome)
    if part is not None:
        return end_part(outcome, part, options, console, stopped=stop_event.is_set())
    code = await asyncio.to_thread(report_outcome, outcome, options, console)
    return INTERRUPTED if outcome.interrupted and stop_event.is_set() else code


def say_needs(scenario: Scenario, options: FloodOptions, console: Terminal) -> None:
    """Say what a flood will need of this machine, and what to do where that is more than it can be."""
    part = None if options.part is None else Part(*options.part)
    needs = needs_of(scenario, part, http_alone=options.target is not None)
    console.print(needs.sentence, style="dim")
    if (warning := needs.too_much() or capacity.why_not_enough(scenario, players=needs.players)) is not None:
        console.print(f"warning: {warning}", style="yellow")


def end_part(
    outcome: RunOutcome, part: Part, options: FloodOptions, console: Terminal, *, stopped: bool
) -> int:
    """Say that a part has ended; returns its exit code, which judges nothing but whether it was stopped."""
    records = outcome.records
    console.print(
        f"{part}: {records.came:,} of {len(records):,} players came, {len(records.waits):,} waits ended in a "
        f"match. It judges nothing: launchday merge adds {options.part_file} to the other parts."
    )
    if outcome.generator.saturated:
        console.print(f"{part}: {outcome.generator_sentence}", style="yellow")
    if outcome.interrupted:
        console.print(f"{part} was interrupted: {outcome.interrupted}", style="yellow")
        return INTERRUPTED if stopped else ERROR
    return PASSED


def report_outcome(outcome: RunOutcome, options: FloodOptions, console: Terminal) -> int:
    """Write the files of a run, print its summary, and judge it: 0, 1 or 99."""
    failures, written = _write_all(outcome, options)
    print_summary(outcome, console)
    if options.as_json:
        print(json.dumps(run_as_json(outcome), allow_nan=False), flush=True)
    if written:
        console.print(written)
    show_error(*failures)
    if outcome.interrupted or failures:
        return ERROR
    return PASSED if outcome.passed else FAILED


def check_outputs(options: FloodOptions) -> None:
    """Look whether everything that a flood writes can be written. Raises OutputError."""
    files.check(options.report, options.json)
    if options.rows is not None:
        from loadtest.rows import tables  # pyarrow: only where rows are wanted

        tables.check(options.rows)


def why_not_floodable(scenario: Scenario, part: Part | None = None) -> str | None:
    """Why a scenario, or a part of it, cannot be flooded by this process, as one line; None where it can.

    Where more players are there at once than it can open sockets for, its figures would be the generator's.
    """
    count = scenario.players.count
    if part is not None:
        if count > MAX_POPULATION:
            return f"{scenario.name} has {count:,} players; floods in parts have at most {MAX_POPULATION:,}"
        count = len(part.players(draw_population(scenario)))
        if not count:
            return f"{part} of {scenario.name} has no player: take fewer parts"
    if count > MAX_PLAYERS:
        return (
            f"{scenario.name} has {count:,} players; one machine floods with at most {MAX_PLAYERS:,}: flood "
            f"it in {math.ceil(count / MAX_PLAYERS)} parts, take fewer, or simulate it"
        )
    warning = capacity.why_not_enough(scenario, players=count)
    return warning if warning is not None and not capacity.may_fit(scenario, part=part) else None


def _write_all(outcome: RunOutcome, options: FloodOptions) -> tuple[list[str], str]:
    """Write all files that can be written; return a line for each that cannot, and one about the report."""
    outputs = Outputs()
    if (json_path := options.json) is not None:
        outputs.attempt(lambda: write_run_json(outcome, json_path))
    if (folder := options.rows) is not None:
        from loadtest.rows.flood_rows import write_flood_rows

        outputs.attempt(lambda: write_flood_rows(outcome, folder))
    if options.report is None:
        return outputs.failures, ""
    from loadtest.report import run_page  # plotly takes 50 MB, which the bots need not carry while they play

    page, figures, curves = files.ReportFiles.of(options.report)
    written = {
        "figures": outputs.attempt(lambda: write_run_json(outcome, figures)) and figures,
        "curves": outputs.attempt(lambda: write_timeseries(outcome.timeline, curves, outcome.metrics))
        and curves,
        "report": outputs.attempt(lambda: run_page.write_report(outcome, page)) and page,
    }
    beside = ", ".join(f"{what}: {path}" for what, path in written.items() if path and what != "report")
    if not written["report"]:
        return outputs.failures, beside
    return outputs.failures, f"report: {page}" + (f" ({beside})" if beside else "")
