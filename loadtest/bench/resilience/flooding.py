"""Floods of a backend of one's own, in a folder and on ports that nobody else uses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launchday.launcher.backend import Backend
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.bench.harness.statistics import percentiles
from loadtest.bench.options import Options
from loadtest.bench.own_backend import run_backend
from loadtest.command import run_scenario
from loadtest.errors import BenchError
from loadtest.flood.outcome import RunOutcome
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario

AUTOGROUP = Path("/proc/self/autogroup")
AUTOGROUP_NICE = -10  # ten times the weight of a group with nice 0


def shipped(name: str, options: Options) -> Scenario:
    """A shipped scenario with the seed of the options, and with as many players where they say it."""
    scenario = load_scenario(SHIPPED / f"{name}.yaml")
    update: dict[str, Any] = {"seed": scenario.seed + options.seed - 1}
    if options.players is not None:
        update["players"] = scenario.players.model_copy(update={"count": options.players})
    return scenario.model_copy(update=update)


def play(*scenarios: Scenario) -> list[RunOutcome]:
    """Start a backend, flood it with one scenario after the other, stop it, and return what was measured.

    One backend for all: its start takes 20 s of the minutes that a part has, and one that has not come back
    from a bad day shows it on the next.

    Args:
        scenarios: the players and the faults; the settings of the backend are those of the first.

    Raises:
        BenchError: the backend does not start, or a flood does not come to its end.
    """
    outcomes: list[RunOutcome] = []
    console = Terminal(stderr=True)

    async def flood(completed: Settings, stop: asyncio.Event, backend: Backend) -> int:
        for scenario in scenarios:
            await run_scenario(
                scenario,
                completed,
                console=console,
                stop_event=stop,
                processes=backend,
                on_outcome=outcomes.append,
            )
        return 0

    with heavy_generator():
        run_backend(flood, scenarios[0].backend_settings())
    if len(outcomes) < len(scenarios) or any(outcome.interrupted for outcome in outcomes):
        raise BenchError(f"the floods of {scenarios[0].name} did not come to their end: run it again")
    return outcomes


@contextlib.contextmanager
def heavy_generator() -> Iterator[None]:
    """Give the session of this process more weight than that of a busy process, where the system allows it.

    The players' machines are not the one that is busy. Without it the generator is the first to starve, and
    its clients time out whatever the backend does. The backend's processes have sessions of their own.
    """
    before = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        before = AUTOGROUP.read_text().split()[-1]
        AUTOGROUP.write_text(str(AUTOGROUP_NICE))
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                AUTOGROUP.write_text(before)


def flood_figures(outcome: RunOutcome) -> dict[str, Any]:
    """What the parts show of each of their floods."""
    return {
        "players": len(outcome.records),
        "players_lost": outcome.players_lost,
        "matches_formed": outcome.matches.formed,
        "matches_started": outcome.matches.started,
        "matches_finished": outcome.matches.ended,
        "matches_taken_back": outcome.matches.taken_back,
        "matches_failed": outcome.matches.failed,
        "servers_used": outcome.matches.servers_used,
        "given_up": dict(outcome.matches.given_up),
        "failures": dict(outcome.matches.failures),
        "refusals": outcome.requests.refusals,
        "ledger_balanced": outcome.ledger.balanced,
        "ledger_off": {line.name: line.difference for line in outcome.ledger.lines if not line.balanced},
        "deaths": len(outcome.deaths),
        "wait_s": percentiles(outcome.records.wait_times_s(), 50, 95, 100, digits=4),
        "reasons": outcome.records.count_reasons(),
        "generator_saturated": outcome.generator.saturated,
        "cpu_cores": outcome.cpu_cores,
    }
