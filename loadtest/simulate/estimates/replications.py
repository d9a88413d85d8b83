"""One scenario under several seeds: each figure with its interval, and how many seeds met the objectives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.intervals import Estimate, estimate, figure_of
from loadtest.simulate.estimates.runs import VERSION, Task, Watcher, run_all

# What is no figure, or has none that differs between seeds.
NOT_ESTIMATED = ("version", "scenario", "seed", "digest", "left_out", "steady", "objectives", "passed")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeedsObjective:
    """One objective under several seeds.

    Attributes:
        name, unit, limit: as of a single run.
        measured: over the seeds.
        met: how many seeds met it.
        seeds: how many there are.
    """

    name: str
    unit: str
    limit: float
    measured: Estimate
    met: int
    seeds: int

    def as_json(self) -> dict[str, Any]:
        """Return the objective as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.limit,
            "measured": self.measured.mean,
            "half_width": self.measured.half_width,
            "met_by": self.met,
            "met": self.met == self.seeds,
        }


@dataclass(frozen=True, slots=True)
class Replications:
    """A scenario, simulated with several seeds.

    Attributes:
        scenario: with the first seed.
        seeds: counted up from it.
        runs: the figures of each, as a single run would give them.
    """

    scenario: Scenario
    seeds: tuple[int, ...]
    runs: tuple[dict[str, Any], ...]

    def estimate(self, *path: str) -> Estimate:
        """Return the estimate of a figure, by its keys from the top: ``"wait_s", "p95"``."""
        return estimate([figure_of(run, path) for run in self.runs])

    @property
    def objectives(self) -> list[SeedsObjective]:
        """Each objective of the scenario."""
        found = []
        for index, first in enumerate(self.runs[0]["objectives"]):
            each = [run["objectives"][index] for run in self.runs]
            found.append(
                SeedsObjective(
                    first["name"],
                    first["unit"],
                    first["limit"],
                    estimate([one["measured"] for one in each]),
                    sum(one["met"] for one in each),
                    len(self.runs),
                )
            )
        return found

    @property
    def met(self) -> int:
        """Number of seeds with which every objective was met."""
        return sum(run["passed"] for run in self.runs)

    @property
    def passed(self) -> bool:
        """Whether every objective was met with every seed."""
        return self.met == len(self.runs)

    @property
    def at_least(self) -> list[str]:
        """The percentiles of the waits that fall on a wait without a match, with any seed."""
        return [
            name for name in self.runs[0]["wait_s"] if any(name in run["wait_at_least"] for run in self.runs)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all as JSON: means under the names of a single run's figures, ``half_width`` as they are
        called, and the runs themselves. The same scenario and seeds give the same.
        """
        means: dict[str, Any] = {}
        widths: dict[str, Any] = {}
        for path in _figures(self.runs[0]):
            found = self.estimate(*path)
            _put(means, path, found.mean)
            _put(widths, path, found.half_width)
        return {
            "version": VERSION,
            "scenario": self.scenario.name,
            "seeds": list(self.seeds),
            **means,
            "wait_at_least": self.at_least,
            "half_width": widths,
            "left_out": self.runs[0]["left_out"],
            "objectives": [one.as_json() for one in self.objectives],
            "met_by": self.met,
            "passed": self.passed,
            "runs": list(self.runs),
        }


def replicate(
    scenario: Scenario,
    seeds: int,
    *,
    rated: bool | None = None,
    steady: bool = False,
    jobs: int | None = None,
    watcher: Watcher | None = None,
) -> Replications:
    """Simulate a scenario with ``seeds`` seeds, counted up from its own.

    Args:
        rated: see ``plan.plan``.
        steady: count the steady part of each run alone.
        jobs: processes; None: one for each core.
        watcher: is told of the runs.

    Raises:
        SweepError: a simulating process was killed.
    """
    numbers = tuple(scenario.seed + index for index in range(seeds))
    tasks = [Task(scenario.model_copy(update={"seed": number}), rated, steady) for number in numbers]
    return Replications(scenario, numbers, tuple(run_all(tasks, jobs, watcher)))


def _figures(run: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """Yield the path of each figure of a run."""
    for name, value in run.items():
        if not above and name in NOT_ESTIMATED:
            continue
        if isinstance(value, Mapping):
            yield from _figures(value, (*above, name))
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield (*above, name)


def _put(tree: dict[str, Any], path: Sequence[str], value: float | None) -> None:
    *way, last = path
    for key in way:
        tree = tree.setdefault(key, {})
    tree[last] = value
