"""A sweep: one simulation for each setting and seed, in as many processes as there are cores.

It shows what each setting costs and how long players wait in it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launchday import machine
from loadtest.errors import LoadTestError
from loadtest.processes import ProcessEndedError, computed
from loadtest.scenario.model import Scenario
from loadtest.simulate.plan import plan
from loadtest.simulate.result import Objective, SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.theory import student_t
from loadtest.simulate.variation import Variation, combinations, varied

SIMULATION_BYTES = 250 << 20  # estimated, of a process that simulates, compiled kernels and all

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


class SweepError(LoadTestError):
    """Raised when a simulating process was killed, mostly for lack of memory. Use fewer ``--jobs``."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean over the seeds and half the width of its 95 % interval.

    ``mean`` is None where a run had nothing to measure.
    """

    mean: float | None
    half_width: float

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        return None if self.mean is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        return None if self.mean is None else self.mean + self.half_width


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination of the varied values, simulated with every seed.

    Attributes:
        values: path → value.
        runs: the figures of each run, in the order of the seeds.
        objectives: for each seed the scenario's objectives beside that run's figures.
    """

    values: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    objectives: tuple[tuple[Objective, ...], ...]

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
        found = []
        for run in self.runs:
            value: Any = run
            for key in path:
                value = value[key]
            found.append(value)
        if None in found:
            return Estimate(None, 0.0)
        array = np.array(found, np.float64)
        if len(array) == 1:
            return Estimate(round(float(array[0]), 6), 0.0)
        half_width = student_t(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
        return Estimate(round(float(array.mean()), 6), round(half_width, 6))

    def as_json(self) -> dict[str, Any]:
        """Return the setting as JSON."""
        return {
            "values": self.values,
            **{name: self._pair(name) for name, _ in MEASURES},
            "met": self.met,
            "meets": self.meets,
        }

    def _pair(self, name: str) -> dict[str, float | None]:
        found = self.estimate(name)
        return {"mean": found.mean, "half_width": found.half_width}


@dataclass(frozen=True, slots=True)
class Sweep:
    """All settings of a sweep, in order."""

    scenario: Scenario
    variations: tuple[Variation, ...]
    seeds: tuple[int, ...]
    settings: tuple[Setting, ...]

    @property
    def cheapest(self) -> Setting | None:
        """The setting with the lowest cost of those that meet every objective with every seed, or None."""
        meeting = [setting for setting in self.settings if setting.meets]
        return min(meeting, key=lambda setting: setting.estimate("cost").mean or 0.0, default=None)

    @property
    def sentence(self) -> str:
        """One sentence: the cheapest setting that meets the objectives, or that none does."""
        best = self.cheapest
        if best is None:
            return (
                "No setting meets every objective with every seed: "
                "vary something else, or relax the objectives."
            )
        values = ", ".join(f"{path} {value}" for path, value in best.values.items())
        cost, wait = best.estimate("cost"), best.estimate("wait_p95_s")
        return (
            f"The cheapest setting that meets every objective with every seed: {values}. It costs "
            f"{cost.mean or 0:,.2f} ± {cost.half_width:.2g}, "
            f"and the p95 wait is {wait.mean or 0:.1f} ± {wait.half_width:.2g} s."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the sweep as JSON. The same scenario, variations and seeds give the same."""
        asked = self.scenario.objectives
        return {
            "scenario": self.scenario.name,
            "varied": {vary.path: list(vary.values) for vary in self.variations},
            "seeds": list(self.seeds),
            "objectives": {
                name: value
                for name in ("wait_p95_s", "abandoned_share", "players_lost", "cost")
                if (value := getattr(asked, name)) is not None
            },
            "settings": [setting.as_json() for setting in self.settings],
            "cheapest": None if self.cheapest is None else self.cheapest.as_json(),
        }


def sweep(
    scenario: Scenario,
    variations: Sequence[Variation],
    seeds: int,
    *,
    folder: Path,
    rated: bool | None = None,
    jobs: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Sweep:
    """Simulate every combination of the varied values with ``seeds`` seeds, counted up from the scenario's.

    Args:
        variations: what varies, and the values.
        folder: where files that the scenario names are looked for.
        rated: see ``plan.plan``.
        jobs: number of processes; None: one for each core.
        on_progress: called with the number of finished runs and of all runs.

    Raises:
        VariationError: a combination makes no scenario; raised before anything runs.
        SweepError: a simulating process was killed.
    """
    settings = combinations(variations)
    scenarios = [varied(scenario, values, folder) for values in settings]
    numbers = tuple(scenario.seed + index for index in range(seeds))
    tasks = [each.model_copy(update={"seed": number}) for each in scenarios for number in numbers]
    figures: list[dict[str, Any]] = [{}] * len(tasks)
    workers = min(jobs or machine.at_once(SIMULATION_BYTES), len(tasks))
    done = 0
    try:
        with contextlib.closing(computed(run_figures, [(each, rated) for each in tasks], workers)) as results:
            for index, found_figures in results:
                figures[index] = found_figures
                done += 1
                on_progress(done, len(tasks))
    except ProcessEndedError as error:
        raise SweepError(
            f"a simulating process was killed after {done} of {len(tasks)} runs, mostly for lack of memory: "
            f"use fewer than {workers} --jobs"
        ) from error
    found = []
    for index, values in enumerate(settings):
        runs = tuple(figures[index * seeds : (index + 1) * seeds])
        asked = scenarios[index].objectives
        found.append(Setting(values, runs, tuple(tuple(objectives(asked, run)) for run in runs)))
    return Sweep(scenario, tuple(variations), numbers, tuple(found))


def run_figures(scenario: Scenario, rated: bool | None) -> dict[str, Any]:
    """Simulate once in a worker process and return the figures."""

    return SimulationResult(
        simulate(plan(scenario, rated=rated)), scenario.fleet.price_per_server_hour
    ).figures()
