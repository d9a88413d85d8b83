"""Many simulations, one a setting and seed, in as many processes as there are cores: what each setting costs and how long players wait."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.errors import LoadTestError
from loadtest.scenario.model import Scenario
from loadtest.simulate.objectives import Objective, objectives
from loadtest.simulate.theory import student_t
from loadtest.simulate.variation import Variation, combinations, varied

# What is told of each setting: name, where it stands in a run's figures.
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
    """Raised when a process that simulates has ended by force, mostly for want of memory. Take fewer ``--jobs``."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and half the width of its 95 % interval; ``mean`` is None where a run had nothing to measure."""

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
    """One combination of the varied values, simulated under every seed.

    Attributes:
        values: path → value.
        runs: the figures of each run, in the order of the seeds.
        met: for each seed whether all objectives were met.
    """

    values: dict[str, Any]
    runs: tuple[dict[str, Any], ...]
    objectives: tuple[tuple[Objective, ...], ...]

    @property
    def met(self) -> int:
        """Seeds under which every objective was met."""
        return sum(all(one.met for one in each) for each in self.objectives)

    @property
    def meets(self) -> bool:
        """Whether every objective was met under every seed."""
        return self.met == len(self.runs)

    def estimate(self, measure: str) -> Estimate:
        """A measure's mean over the seeds."""
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
        """The setting as JSON."""
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
        """The setting that meets every objective under every seed at the lowest cost; None where none does."""
        meeting = [setting for setting in self.settings if setting.meets]
        return min(meeting, key=lambda setting: setting.estimate("cost").mean or 0.0, default=None)

    @property
    def sentence(self) -> str:
        """The cheapest setting that meets the objectives, or that none does."""
        best = self.cheapest
        if best is None:
            return "No setting meets every objective under every seed: vary something else, or ask for less."
        values = ", ".join(f"{path} {value}" for path, value in best.values.items())
        cost, wait = best.estimate("cost"), best.estimate("wait_p95_s")
        return (
            f"Cheapest that meets every objective under every seed: {values}, for {cost.mean or 0:,.2f} ± {cost.half_width:.2g}; "
            f"wait p95 {wait.mean or 0:.1f} ± {wait.half_width:.2g} s."
        )

    def as_json(self) -> dict[str, Any]:
        """The sweep as JSON; the same scenario, variations and seeds give the same."""
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
    rated: bool = True,
    jobs: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Sweep:
    """Simulate every combination under ``seeds`` seeds, from the scenario's on.

    Args:
        folder: of the scenario's file.
        jobs: processes; None: one a core.
        told: called with the runs done and the runs in all.

    Raises VariationError before anything runs; SweepError.
    """
    settings = combinations(variations)
    scenarios = [varied(scenario, values, folder) for values in settings]
    numbers = tuple(scenario.seed + index for index in range(seeds))
    tasks = [each.model_copy(update={"seed": number}) for each in scenarios for number in numbers]
    figures: list[dict[str, Any]] = [{}] * len(tasks)
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    done = 0
    try:
        # Spawned, not forked: what the parent has loaded and its threads are no business of theirs.
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=ignore_interrupts
        ) as pool:
            waiting = {pool.submit(run_figures, each, rated): index for index, each in enumerate(tasks)}
            try:
                for future in as_completed(waiting):
                    figures[waiting[future]] = future.result()
                    done += 1
                    on_progress(done, len(tasks))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the runs under way end, the others never begin
                raise
    except BrokenProcessPool as error:
        raise SweepError(
            f"a simulating process was ended by force after {done} of {len(tasks)} runs, mostly for want of memory: "
            f"take fewer than {workers} --jobs"
        ) from error
    found = []
    for index, values in enumerate(settings):
        runs = tuple(figures[index * seeds : (index + 1) * seeds])
        asked = scenarios[index].objectives
        found.append(Setting(values, runs, tuple(tuple(objectives(asked, run)) for run in runs)))
    return Sweep(scenario, tuple(variations), numbers, tuple(found))


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, which ends the pool; begins each process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_figures(scenario: Scenario, rated: bool) -> dict[str, Any]:
    """One run's figures; what each process does."""
    from loadtest.simulate.plan import plan
    from loadtest.simulate.result import SimulationResult
    from loadtest.simulate.simulator import simulate

    return SimulationResult(
        simulate(plan(scenario, rated=rated)), scenario.fleet.price_per_server_hour
    ).figures()
