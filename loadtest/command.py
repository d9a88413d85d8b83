"""What ``launchday flood`` does: read a scenario, flood the backend with it, print the summary, write the
files.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from launchday.settings import Settings
from loadtest.errors import LoadTestError, ScenarioError, UnknownRegionError
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.run import flood
from loadtest.report.run_json import run_as_json, write_run_json
from loadtest.report.summary import print_summary
from loadtest.report.timeseries_csv import write_timeseries
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import region_latencies_ms
from loadtest.scenario.reader import load_scenario

MAX_PLAYERS = 50_000  # of one process: each is a coroutine and a socket

# Exit codes.
PASSED = 0
ERROR = 1
BAD_SCENARIO = 2
FAILED = 99
INTERRUPTED = 130  # as a shell reports Ctrl-C


async def run_scenario(
    scenario: Scenario | Path,
    settings: Settings,
    *,
    report_path: Path | None = None,
    as_json: bool = False,
    console: Console | None = None,
    stop_event: asyncio.Event | None = None,
    processes: BackendProcesses | None = None,
    on_outcome: Callable[[RunOutcome], None] | None = None,
) -> int:
    """Flood the backend that ``settings`` names with the players of ``scenario``, and report what happened.

    Args:
        scenario: a scenario, or the file that holds one.
        settings: addresses of the backend's services, and the secret that they share.
        report_path: of the HTML report; the figures are written beside it as .json and the curves as .csv.
        as_json: print the figures on standard output, as one JSON object on one line.
        console: where progress and summary are printed.
        stop_event: when set, players leave, tickets are cancelled and the summary so far is printed.
        processes: of the backend, where it runs on this machine: for faults and for processor time.
        on_outcome: called with the outcome before it is printed.

    Returns:
        The exit code: 0 passed; 99 an objective missed, the ledger out of balance or the generator saturated;
        2 a bad scenario; 1 the backend failed; 130 stopped.
    """
    console = console or Console()
    stop_event = stop_event or asyncio.Event()
    try:
        loaded = load_scenario(scenario) if isinstance(scenario, Path) else scenario
        if (reason := why_not_floodable(loaded)) is not None:
            raise LoadTestError(reason)
        latencies_ms = region_latencies_ms(loaded, settings.region_names)
        outcome = await flood(
            loaded, latencies_ms, settings, console=console, stop_event=stop_event, processes=processes
        )
    except (ScenarioError, UnknownRegionError) as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        return BAD_SCENARIO
    except LoadTestError as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        return ERROR
    if on_outcome is not None:
        on_outcome(outcome)
    print_summary(outcome, console)
    if as_json:
        print(json.dumps(run_as_json(outcome), allow_nan=False), flush=True)
    if report_path is not None:
        await _write_files(outcome, report_path, console)
    if outcome.interrupted:
        return INTERRUPTED if stop_event.is_set() else ERROR
    return PASSED if outcome.passed else FAILED


def why_not_floodable(scenario: Scenario) -> str | None:
    """Why a scenario cannot be flooded by one machine, as one line; None where it can."""
    if scenario.players.count <= MAX_PLAYERS:
        return None
    return (
        f"{scenario.name} has {scenario.players.count:,} players; one machine floods with at most "
        f"{MAX_PLAYERS:,}: take fewer, or simulate it"
    )


async def _write_files(outcome: RunOutcome, report_path: Path, console: Console) -> None:
    from loadtest.report import run_page  # plotly takes 50 MB, which the bots need not carry while they play

    json_path, csv_path = report_path.with_suffix(".json"), report_path.with_suffix(".csv")
    await asyncio.to_thread(write_run_json, outcome, json_path)
    await asyncio.to_thread(write_timeseries, outcome.timeline, csv_path)
    await asyncio.to_thread(run_page.write_report, outcome, report_path)
    console.print(
        f"report: {report_path} (figures: {json_path}, curves: {csv_path})", highlight=False, soft_wrap=True
    )
