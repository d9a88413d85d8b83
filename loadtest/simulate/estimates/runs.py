"""Runs and their figures: one, or many side by side in processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from launchday import kernel_cache, machine
from loadtest.errors import LoadTestError
from loadtest.processes import ProcessEndedError, computed
from loadtest.scenario.arrivals import curves_of
from loadtest.scenario.left_out import not_in_simulation
from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.steady import SteadyPart, steady_part
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.theory import queueing_model

VERSION = 1  # of what is saved; see simulation.schema.json
SIMULATION_BYTES = 250 << 20  # estimated, of a process that simulates, compiled kernels and all
START_S = 3.0  # estimated, until a process has imported and loaded what it simulates with
MINUTE_S, HOUR_S = 60.0, 3_600.0


class SweepError(LoadTestError):
    """Raised when a simulating process was killed, mostly for lack of memory. Use fewer ``--jobs``."""


class Watcher(Protocol):
    """What is told of many runs, before them and as they go."""

    def planned(self, text: str) -> None:
        """Tell in a line how many runs there are, and how long they will take."""
        ...

    def ran(self, done: int, of: int) -> None:
        """Tell how many runs are done."""
        ...


class Nobody:
    """Watches nothing."""

    def planned(self, text: str) -> None:
        """Tell nobody."""

    def ran(self, done: int, of: int) -> None:
        """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run.

    Attributes:
        scenario: what is simulated, its seed included.
        rated: see ``plan.plan``.
        steady: count the steady part alone.
    """

    scenario: Scenario
    rated: bool | None = None
    steady: bool = False

    @property
    def size(self) -> float:
        """Matches that players ask for, about: what a run takes grows with them."""
        return self.scenario.players.count * max(1.0, self.scenario.behaviours.matches)


def simulated(task: Task) -> tuple[SimulationResult, SteadyPart | None]:
    """Simulate once; return the result, and the steady part where it was asked for."""
    scenario = task.scenario
    price = scenario.fleet.price_per_server_hour
    result = SimulationResult(simulate(plan(scenario, rated=task.rated)), price)
    if not task.steady:
        return result, None
    part = steady_part(result, list(curves_of(scenario.arrivals).values()))
    return SimulationResult(result.run, price, part.window), part


def warm_up() -> None:
    """Simulate two players, which loads every kernel, or compiles those that no earlier run has compiled."""
    with kernel_cache.compiling("simulation"):
        simulate(queueing_model(arrivals=2, per_s=1.0, seed=0, servers=1))


def figures_of(
    scenario: Scenario, result: SimulationResult, steady: SteadyPart | None = None
) -> dict[str, Any]:
    """Return what ``--save`` writes: figures, scenario, seed and objectives. The same seed gives the same."""
    figures = {"version": VERSION, "scenario": scenario.name, "seed": scenario.seed} | result.figures()
    figures["left_out"] = not_in_simulation(scenario)
    figures["steady"] = None if steady is None else steady.as_json()
    asked = objectives(scenario.objectives, figures)
    return figures | {
        "objectives": [one.as_json() for one in asked],
        "passed": all(one.met for one in asked),
    }


def run_figures(task: Task) -> dict[str, Any]:
    """Simulate once, here or in a process of its own, and return the figures."""
    result, steady = simulated(task)
    return figures_of(task.scenario, result, steady)


def run_all(
    tasks: Sequence[Task], jobs: int | None = None, watcher: Watcher | None = None
) -> list[dict[str, Any]]:
    """Run all tasks; return their figures, in the same order.

    One of the largest runs first and alone, so that it can be told what all will take. What takes less time
    than processes need to start is run here.

    Args:
        tasks: at least one.
        jobs: processes; None: one for each core.
        watcher: is told of the runs.

    Raises:
        SweepError: a process was killed.
    """
    watcher = watcher or Nobody()
    figures: list[dict[str, Any]] = [{}] * len(tasks)
    largest = max(range(len(tasks)), key=lambda index: tasks[index].size)
    warm_up()  # or the first run would take the time of loading the kernels, too
    started_s = time.perf_counter()
    figures[largest] = run_figures(tasks[largest])
    took_s = time.perf_counter() - started_s
    left = [index for index in range(len(tasks)) if index != largest]
    left_s = took_s * sum(tasks[index].size for index in left) / tasks[largest].size
    processes = max(1, min(jobs or machine.at_once(SIMULATION_BYTES), len(left)))
    if jobs is None and left_s <= START_S:
        processes = 1
    here = processes == 1
    if left:
        watcher.planned(_plan(len(tasks), processes, took_s, left_s / processes + (0.0 if here else START_S)))
    watcher.ran(1, len(tasks))
    done = 1
    if here:
        for index in left:
            figures[index] = run_figures(tasks[index])
            done += 1
            watcher.ran(done, len(tasks))
        return figures
    try:
        with contextlib.closing(
            computed(run_figures, [(tasks[index],) for index in left], processes)
        ) as found:
            for number, each in found:
                figures[left[number]] = each
                done += 1
                watcher.ran(done, len(tasks))
    except ProcessEndedError as error:
        raise SweepError(
            f"a simulating process was killed after {done} of {len(tasks)} runs, mostly for lack of memory: "
            f"use fewer than {processes} --jobs"
        ) from error
    return figures


def _plan(runs: int, processes: int, largest_s: float, left_s: float) -> str:
    where = "one after the other" if processes == 1 else f"in {processes} processes"
    return (
        f"{runs:,} simulations {where}: one of the largest took {duration(largest_s)}, "
        f"so all others will take about {duration(left_s)}"
    )


def duration(seconds: float) -> str:
    """Write a duration for people: 0.04 s, 2.5 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:.0f} s"
    return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"
