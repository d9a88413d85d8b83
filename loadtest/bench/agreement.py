"""``agreement``: scenarios flooded on a real backend and simulated, to check that the simulator agrees.

Each scenario is flooded a few times, on a backend of its own each time; the medians of waits, tickets and
matches stand beside those of simulations of the same players. A flood that was not alone on its machine says
nothing of the backend: it is repeated once, and the scenario is void if that does not help.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from launchday import outputs
from launchday.launcher.backend import Backend
from launchday.outputs import Outputs
from launchday.percentiles import percentiles
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.bench.own_backend import run_backend
from loadtest.command import run_scenario
from loadtest.errors import BenchError
from loadtest.flood.outcome import RunOutcome
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.agreement import Comparison, real_figures, shortened, simulated_figures
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import simulate

REHEARSAL: Final = "rehearsal"
OWN: Final = Path(__file__).parent / "agreement_scenarios"
SCENARIOS: Final = {
    "tour": SHIPPED,
    "thousand": SHIPPED,
    "scarce": OWN,
    "fives": OWN,
    "kills": OWN,
    "cut": OWN,
}
FLOODS: Final = 3
SEEDS: Final = 5  # simulations of the same players; what differs is what a run draws, such as who is killed
MAX_SKIPPED_SHARE: Final = 0.05  # of the bots' steps


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared.

    Attributes:
        wait_p50_s, wait_p95_s: percentiles of all waits, those in vain included.
        tickets: that players held, one each.
        matches: that got a server.
    """

    wait_p50_s: float
    wait_p95_s: float
    tickets: float
    matches: float

    def off(self, real: Figures) -> dict[str, float]:
        """How far each figure is from the real one, as a share of the real one."""
        other = asdict(real)
        return {
            name: round(value / other[name] - 1.0, 4) if other[name] else float(value != other[name])
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Flood:
    """One flood: its figures, and why it says nothing of the backend; "" where it does."""

    figures: Figures
    void: str = ""


def run(names: Sequence[str], floods: int = FLOODS) -> Iterator[dict[str, Any]]:
    """Compare scenarios; yield what is printed of each as soon as it is known, and then of all.

    Args:
        names: of SCENARIOS, in the order in which they are run.
        floods: of each; the median counts.

    Raises:
        BenchError: the backend does not start, or a flood does not come to its end.
    """
    yield from compare(
        ((name, load_scenario(SCENARIOS[name] / f"{name}.yaml")) for name in names), floods, flood_once
    )


def compare(
    scenarios: Iterator[tuple[str, Scenario]], floods: int, flood: Callable[[Scenario], Flood]
) -> Iterator[dict[str, Any]]:
    """Flood and simulate each scenario; yield a line each, and one of all."""
    lines = []
    for name, scenario in scenarios:
        played = [_repeated_where_void(flood, scenario) for _ in range(floods)]
        lines.append(line(name, played, simulated(scenario)))
        yield lines[-1]
    counted = [each for each in lines if not each["void"]]
    off = [abs(share) for each in counted for share in each["off"].values()]
    yield {
        "bench": "agreement",
        "scenarios": len(lines),
        "off_max": max(off, default=None),
        "void": len(lines) - len(counted),
    }


def line(name: str, played: Sequence[Flood], simulation: Figures) -> dict[str, Any]:
    """Return what is printed of one scenario.

    ``void`` says why a flood does not count; the medians are then those of the floods that do, or of all
    where none does.
    """
    void = "; ".join(dict.fromkeys(each.void for each in played if each.void))
    counted = [each.figures for each in played if not each.void] or [each.figures for each in played]
    real = _medians(counted)
    return {
        "bench": "agreement",
        "scenario": name,
        "flood": asdict(real),
        "simulated": asdict(simulation),
        "off": simulation.off(real),
        "floods": [asdict(each.figures) for each in played],
        "seeds": SEEDS,
        "void": void,
    }


def simulated(scenario: Scenario) -> Figures:
    """Return the medians of SEEDS simulations of the scenario's players."""
    found = []
    for number in range(SEEDS):
        setup = plan(scenario)
        run_ = simulate(replace(setup, seed=scenario.seed + number))
        figures = SimulationResult(run_, scenario.fleet.price_per_server_hour).figures()
        waits = figures["wait_s"]
        found.append(Figures(waits["p50"], waits["p95"], figures["tickets"], figures["matches"]))
    return _medians(found)


def flood_once(scenario: Scenario) -> Flood:
    """Flood a backend that is started for it. Raises BenchError."""
    outcome = _flood(scenario)
    waits = percentiles(outcome.records.wait_times_s(), 50, 95)
    skipped = outcome.generator.steps_missed_share
    reasons = [outcome.machine.sentence] if outcome.machine.busy else []
    if skipped > MAX_SKIPPED_SHARE:
        reasons.append(f"the bots skipped {skipped:.1%} of their steps")
    return Flood(
        Figures(
            waits["p50"] or 0.0,
            waits["p95"] or 0.0,
            outcome.records.tickets,
            outcome.matches.formed,
        ),
        "; ".join(reasons),
    )


def rehearse(seconds: float = 600.0, report: Path | None = None) -> dict[str, Any]:
    """Flood and simulate the shipped rehearsal once, and return what is printed: servers in use over time and
    the quality of the matches, too.

    Args:
        seconds: in which all players arrive, as many a second as in the scenario.
        report: where the page with both curves goes, or None.

    Raises:
        BenchError: the backend does not start, or the flood does not come to its end.
        OutputError: the page cannot be written, as is known before the start.
    """
    outputs.check(report)
    scenario = shortened(load_scenario(SHIPPED / f"{REHEARSAL}.yaml"), seconds)
    outcome = _flood(scenario)
    written = Outputs()
    found = Comparison(scenario, real_figures(scenario, outcome.records), simulated_figures(scenario))
    if report is not None:
        from loadtest.simulate.pages.agreement_page import render_agreement

        page = render_agreement(found)
        if written.attempt(lambda: outputs.write_whole(report, page)):
            Terminal(stderr=True).print(f"report: {report}")
    return {
        "bench": "agreement",
        **({"not_written": written.failures} if written.failures else {}),
        **found.as_json(),
        "players_lost": outcome.players_lost,
        "ledger_balanced": outcome.ledger.balanced,
        "generator_saturated": outcome.generator.saturated,
    }


def _repeated_where_void(flood: Callable[[Scenario], Flood], scenario: Scenario) -> Flood:
    first = flood(scenario)
    return flood(scenario) if first.void else first


def _medians(found: Sequence[Figures]) -> Figures:
    rows = [asdict(each) for each in found]
    return Figures(**{name: round(float(median(row[name] for row in rows)), 4) for name in rows[0]})


def _flood(scenario: Scenario) -> RunOutcome:
    outcomes: list[RunOutcome] = []

    async def play(completed: Settings, stop: asyncio.Event, backend: Backend) -> int:
        return await run_scenario(
            scenario,
            completed,
            console=Terminal(stderr=True),
            stop_event=stop,
            processes=backend,
            on_outcome=outcomes.append,
        )

    run_backend(play, scenario.backend_settings())
    if not outcomes or outcomes[0].interrupted:
        raise BenchError("the flood did not come to its end, so there is nothing to compare: run it again")
    return outcomes[0]
