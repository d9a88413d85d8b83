"""What a command plays: one flood, or the search for the rate that holds, as its options ask for."""

from __future__ import annotations

import asyncio

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import check_outputs, run_scenario, why_not_floodable
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.options import FloodOptions
from loadtest.limit.command import search_limit
from loadtest.scenario.model import Scenario

__all__ = ["check_outputs", "play_on", "why_not_floodable"]


async def play_on(
    scenario: Scenario,
    settings: Settings,
    options: FloodOptions,
    *,
    console: Terminal,
    stop_event: asyncio.Event,
    processes: BackendProcesses | None = None,
) -> int:
    """Flood a backend as the options ask for; returns the exit code.

    See :func:`loadtest.command.run_scenario` and :func:`loadtest.limit.command.search_limit`.
    """
    play = search_limit if options.find_limit else run_scenario
    return await play(
        scenario, settings, options, console=console, stop_event=stop_event, processes=processes
    )
