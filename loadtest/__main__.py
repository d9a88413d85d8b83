"""``python -m loadtest SCENARIO``: flood a backend that is already up, at the addresses in the settings."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from launchday import startup, telemetry
from launchday.settings import Settings, settings
from launchday.terminal import Terminal
from loadtest.command import run_scenario
from loadtest.flood.options import FloodOptions
from loadtest.scenario.reader import scenario_path, shipped_names


def main() -> int:
    """Parse the command line and run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    parser.add_argument("scenario", help=f"a YAML file, or one of {', '.join(shipped_names())}")
    parser.add_argument(
        "--report", type=Path, default=Path("report.html"), help="HTML report (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    arguments = parser.parse_args()
    telemetry.configure("loadtest", settings())
    return int(
        uvloop.run(_run(scenario_path(arguments.scenario), settings(), arguments.report, arguments.json))
    )


async def _run(scenario: Path, values: Settings, report_path: Path, as_json: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await run_scenario(
        scenario,
        values,
        FloodOptions(report=report_path, as_json=as_json),
        console=Terminal(stderr=as_json),
        stop_event=stop,
    )


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
