"""``agreement``: the rehearsal scenario flooded on a real backend and simulated, to check that the simulator
agrees.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from launchday import outputs
from launchday.launcher.backend import Backend
from launchday.outputs import Outputs
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.bench.own_backend import run_backend
from loadtest.command import run_scenario
from loadtest.errors import BenchError
from loadtest.flood.outcome import RunOutcome
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.agreement import Comparison, real_figures, shortened, simulated_figures

SCENARIO = "rehearsal"


def run(seconds: float = 600.0, report: Path | None = None) -> dict[str, Any]:
    """Flood and simulate the shipped rehearsal, and return what is printed.

    Args:
        seconds: in which all players arrive, as many a second as in the scenario.
        report: where the page with both curves goes, or None.

    Raises:
        BenchError: the backend does not start, or the flood does not come to its end.
        OutputError: the page cannot be written, as is known before the start.
    """
    outputs.check(report)
    scenario = shortened(load_scenario(SHIPPED / f"{SCENARIO}.yaml"), seconds)
    outcomes: list[RunOutcome] = []
    console = Terminal(stderr=True)

    async def play(completed: Settings, stop: asyncio.Event, backend: Backend) -> int:
        return await run_scenario(
            scenario,
            completed,
            console=console,
            stop_event=stop,
            processes=backend,
            on_outcome=outcomes.append,
        )

    run_backend(play, scenario.backend_settings())
    if not outcomes or outcomes[0].interrupted:
        raise BenchError("the flood did not come to its end, so there is nothing to compare: run it again")
    (outcome,) = outcomes
    written = Outputs()
    found = Comparison(scenario, real_figures(scenario, outcome.records), simulated_figures(scenario))
    if report is not None:
        from loadtest.simulate.pages.agreement_page import render_agreement

        page = render_agreement(found)
        if written.attempt(lambda: outputs.write_whole(report, page)):
            console.print(f"report: {report}")
    return {
        "bench": "agreement",
        **({"not_written": written.failures} if written.failures else {}),
        **found.as_json(),
        "players_lost": outcome.players_lost,
        "ledger_balanced": outcome.ledger.balanced,
        "generator_saturated": outcome.generator.saturated,
    }
