"""A sweep: one simulation for each setting and seed, in as many processes as there are cores.

It shows what each setting costs and how long players wait in it. What varies is decided, such as a buffer,
or given, such as how long servers take to start: a planner chooses the one for each of the other, and wants
to know which choice holds whatever comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.intervals import Estimate, estimate, figure_of, format_estimate
from loadtest.simulate.estimates.runs import VERSION, SweepError, Task, Watcher, run_all
from loadtest.simulate.result import Objective, objectives
from loadtest.simulate.variation import Variation, check_apart, combinations, varied

__all__ = ["MEASURES", "Decision", "Estimate", "Setting", "Sweep", "SweepError", "sweep"]

# The figures of a setting: name, and path in a run's figures.
MEASURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("wait_p50_s", ("wait_s", "p50")),
    ("wait_p95_s", ("wait_s", "p95")),
    ("wait_p99_s", ("wait_s", "p99")),
    ("abandoned_share", ("abandoned_share",)),
    ("lost", ("lost",)),
    ("servers_peak", ("servers_peak",)),
    ("idle_share", ("idle_share",)),
    ("cost", ("cost",)),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of the varied values, simulated with every seed.

    Attributes:
        values: path → value, of the decisions and then of the circumstances.
        runs: the figures of each run, in the order of the seeds.
        objectives: for each seed the scenario's objectives beside that run's figures.
        given: the circumstances among the values.
    """

    values: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    objectives: tuple[tuple[Objective, ...], ...]
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def decision(self) -> dict[str, Any]:
        """The values that are decided."""
        return {path: value for path, value in self.values.items() if path not in self.given}

    @property
    def met(self) -> int:
        """Number of seeds with which every objective was met."""
        return sum(all(one.met for one in each) for each in self.objectives)

    @property
    def meets(self) -> bool:
        """Whether every objective was met with every seed."""
        return self.met == len(self.runs)

    def estimate(self, measure: str) -> Estimate:
        """Return the mean of a measure, a name of MEASURES, over the seeds."""
        path = dict(MEASURES)[measure]
        return estimate([figure_of(run, path) for run in self.runs])

    def as_json(self) -> dict[str, Any]:
        """Return the setting as JSON."""
        return {
            "values": self.decision,
            "given": self.given,
            **{name: self.estimate(name).as_json() for name, _ in MEASURES},
            "met": self.met,
            "meets": self.meets,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice of the decided values, in all circumstances.

    Attributes:
        values: path → value.
        settings: with it, one a circumstance.
    """

    values: dict[str, Any]
    settings: tuple[Setting, ...]

    @property
    def meets(self) -> bool:
        """Whether every objective was met in all circumstances, with every seed."""
        return all(setting.meets for setting in self.settings)

    @property
    def met(self) -> int:
        """Number of circumstances in which every objective was met with every seed."""
        return sum(setting.meets for setting in self.settings)

    @property
    def cost(self) -> Estimate:
        """The mean over the circumstances, each as likely as the others.

        The interval is of the seeds' means: in each circumstance a seed has the same players.
        """
        costs = [[run["cost"] for run in setting.runs] for setting in self.settings]
        return estimate([float(cost) for cost in np.mean(costs, axis=0)])

    def as_json(self) -> dict[str, Any]:
        """Return the decision as JSON."""
        return {
            "values": self.values,
            "cost": self.cost.as_json(),
            "met": self.met,
            "circumstances": len(self.settings),
            "meets": self.meets,
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """All settings of a sweep, by circumstance and then by decision, in order.

    Attributes:
        scenario: that was varied.
        variations: what is decided.
        seeds: of each setting.
        settings: what was simulated.
        given: what varies without being decided.
    """

    scenario: Scenario
    variations: tuple[Variation, ...]
    seeds: tuple[int, ...]
    settings: tuple[Setting, ...]
    given: tuple[Variation, ...] = ()

    @property
    def circumstances(self) -> list[dict[str, Any]]:
        """Every combination of the given values; a single empty one where nothing is given."""
        return combinations(self.given)

    def settings_in(self, circumstance: dict[str, Any]) -> list[Setting]:
        """Return the settings of one circumstance."""
        return [setting for setting in self.settings if setting.given == circumstance]

    def cheapest_in(self, circumstance: dict[str, Any]) -> Setting | None:
        """Return the setting with the lowest cost of those that meet every objective there, or None."""
        meeting = [setting for setting in self.settings_in(circumstance) if setting.meets]
        return min(meeting, key=lambda setting: setting.estimate("cost").mean or 0.0, default=None)

    @property
    def decisions(self) -> list[Decision]:
        """Every choice of the decided values."""
        return [
            Decision(values, tuple(setting for setting in self.settings if setting.decision == values))
            for values in combinations(self.variations)
        ]

    @property
    def robust(self) -> Decision | None:
        """The cheapest decision of those that meet every objective in all circumstances, or None."""
        meeting = [decision for decision in self.decisions if decision.meets]
        return min(meeting, key=lambda decision: decision.cost.mean or 0.0, default=None)

    @property
    def cheapest(self) -> Setting | None:
        """Where nothing is given, the setting with the lowest cost that meets every objective; or None."""
        return None if self.given else self.cheapest_in({})

    @property
    def passed(self) -> bool:
        """Whether some decision meets every objective in all circumstances with every seed."""
        return self.robust is not None

    @property
    def sentence(self) -> str:
        """What to choose, in one sentence, or that nothing will do."""
        return _sentence_of_all(self) if self.given else _sentence(self.cheapest)

    @property
    def sentences(self) -> list[str]:
        """One for each circumstance: the cheapest decision there."""
        return [
            f"Given {named(circumstance)}: {_short(self.cheapest_in(circumstance))}"
            for circumstance in self.circumstances
            if circumstance
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the sweep as JSON. The same scenario, variations and seeds give the same."""
        asked = self.scenario.objectives
        robust = self.robust
        return {
            "version": VERSION,
            "scenario": self.scenario.name,
            "varied": {vary.path: list(vary.values) for vary in self.variations},
            "given": {vary.path: list(vary.values) for vary in self.given},
            "seeds": list(self.seeds),
            "objectives": {
                name: value
                for name in ("wait_p95_s", "abandoned_share", "players_lost", "cost")
                if (value := getattr(asked, name)) is not None
            },
            "settings": [setting.as_json() for setting in self.settings],
            "cheapest": None if self.cheapest is None else self.cheapest.as_json(),
            "cheapest_given": [
                {"given": each, "setting": None if best is None else best.as_json()}
                for each in self.circumstances
                for best in [self.cheapest_in(each)]
            ],
            "robust": None if robust is None else robust.as_json(),
            "passed": self.passed,
        }


def sweep(
    scenario: Scenario,
    variations: Sequence[Variation],
    seeds: int,
    *,
    folder: Path,
    given: Sequence[Variation] = (),
    rated: bool | None = None,
    steady: bool = False,
    jobs: int | None = None,
    watcher: Watcher | None = None,
) -> Sweep:
    """Simulate every combination of the varied values with ``seeds`` seeds, counted up from the scenario's.

    Args:
        variations: what is decided, and the values.
        folder: where files that the scenario names are looked for.
        given: what varies without being decided, and the values.
        rated: see ``plan.plan``.
        steady: count the steady part of each run alone.
        jobs: number of processes; None: one for each core.
        watcher: is told what the runs will take, and of each.

    Raises:
        VariationError: a combination makes no scenario; raised before anything runs.
        SweepError: a simulating process was killed.
    """
    check_apart(variations, given)
    settings = [
        (circumstance, decision)
        for circumstance in combinations(given, "--given")
        for decision in combinations(variations)
    ]
    scenarios = [varied(scenario, circumstance | decision, folder) for circumstance, decision in settings]
    numbers = tuple(scenario.seed + index for index in range(seeds))
    tasks = [
        Task(each.model_copy(update={"seed": number}), rated, steady)
        for each in scenarios
        for number in numbers
    ]
    figures = run_all(tasks, jobs, watcher)
    found = []
    for index, (circumstance, decision) in enumerate(settings):
        runs = tuple(figures[index * seeds : (index + 1) * seeds])
        asked = scenarios[index].objectives
        judged = tuple(tuple(objectives(asked, run)) for run in runs)
        found.append(Setting(decision | circumstance, runs, judged, circumstance))
    return Sweep(scenario, tuple(variations), numbers, tuple(found), tuple(given))


def named(values: dict[str, Any]) -> str:
    """Return values as words: ``fleet.buffer 20, fleet.startup_s 5``."""
    return ", ".join(f"{path} {value}" for path, value in values.items())


def _sentence(best: Setting | None) -> str:
    if best is None:
        return (
            "No setting meets every objective with every seed: vary something else, or relax the objectives."
        )
    return (
        f"The cheapest setting that meets every objective with every seed: {named(best.values)}. It costs "
        f"{format_estimate(best.estimate('cost'))}, and the p95 wait is "
        f"{format_estimate(best.estimate('wait_p95_s'))} s."
    )


def _sentence_of_all(found: Sweep) -> str:
    robust, count = found.robust, len(found.circumstances)
    if robust is None:
        best = max(found.decisions, key=lambda decision: decision.met)
        return (
            f"No decision meets every objective with every seed in all {count} circumstances; "
            f"{named(best.values)} does in {best.met}: vary something else, or relax the objectives."
        )
    return (
        f"The cheapest decision that holds in all {count} circumstances, with every seed: "
        f"{named(robust.values)}. It costs {format_estimate(robust.cost)}, the mean of the circumstances."
    )


def _short(best: Setting | None) -> str:
    if best is None:
        return "no decision meets every objective with every seed."
    return f"{named(best.decision)} is the cheapest, at {format_estimate(best.estimate('cost'))}."
