"""``launchday simulate`` and ``launchday sweep``: what they print and write.

Exit codes are those of a flood: 0, or 99 where an objective is missed.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from launchday import kernel_cache, outputs
from launchday.outputs import Outputs
from launchday.terminal import Terminal, show_error, table
from loadtest.scenario.model import Scenario
from loadtest.simulate.plan import left_out, plan
from loadtest.simulate.result import Objective, SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.sweep import Setting, Sweep, sweep
from loadtest.simulate.theory import queueing_model
from loadtest.simulate.variation import parse_variation, scaled

T = TypeVar("T")
PASSED, ERROR, MISSED = 0, 1, 99
PROGRESS_STEP = 0.1  # share of a sweep between two plain lines of progress


def run_simulate(
    scenario: Scenario,
    folder: Path,
    *,
    scale: float,
    seed: int | None,
    rated: bool | None,
    as_json: bool,
    report: Path | None,
    save: Path | None,
) -> int:
    """Simulate once, print the result, and return the exit code.

    Args:
        scenario: what to simulate.
        folder: where files that the scenario names are looked for.
        scale: factor for players and servers.
        seed: another than the scenario's, or None.
        rated: whether the matchmaker knows the players' skill; None: as the scenario says.
        as_json: print one JSON object and no table.
        report: where the HTML page goes, or None.
        save: where the figures go as JSON, or None.

    Raises:
        LoadTestError: the scenario cannot be simulated.
        OutputError: a file cannot be written, as is known before the start.
    """
    outputs.check(report, save)
    errors = Terminal(stderr=True)
    scenario = adjusted(scenario, folder, scale, seed)
    with errors.status("loading the kernels"):
        _, warm_up_s = timed(warm_up)
    with errors.status("simulating"):
        result, wall_s = timed(
            lambda: SimulationResult(
                simulate(plan(scenario, rated=rated)), scenario.fleet.price_per_server_hour
            )
        )
    figures = figures_of(scenario, result)
    asked = objectives(scenario.objectives, figures)
    resources = {
        "wall_s": round(wall_s, 3),
        "warm_up_s": round(warm_up_s, 3),
        "peak_rss_mb": peak_rss_mb(),
    }
    written = Outputs()
    if save is not None:
        written.attempt(lambda: outputs.write_whole(save, json.dumps(figures, indent=2) + "\n"))
    if report is not None:
        from loadtest.simulate.pages.run_page import render_run  # plotly: only where a page is wanted

        page = render_run(scenario, result, figures, asked)
        if written.attempt(lambda: outputs.write_whole(report, page)):
            errors.print(f"report: {report}")
    if as_json:
        head = {name: figures[name] for name in ("scenario", "seed", "players", "virtual_s")}
        print(json.dumps(head | resources | figures), flush=True)
    else:
        show_run(scenario, figures, asked, resources, Terminal())
    return _exit_code(all(one.met for one in asked), written)


def run_sweep(
    scenario: Scenario,
    folder: Path,
    *,
    vary: Sequence[str],
    seeds: int,
    scale: float,
    rated: bool | None,
    jobs: int | None,
    as_json: bool,
    report: Path | None,
    save: Path | None,
) -> int:
    """Sweep, print the settings, and return the exit code: 99 where no setting meets the objectives.

    Args:
        vary: variations, such as ``fleet.buffer=0..400``.
        seeds: simulations of each setting.
        jobs: processes; None: one for each core.

    The other arguments are those of ``run_simulate``.

    Raises:
        LoadTestError: a variation cannot be read, or a simulation fails.
        OutputError: a file cannot be written, as is known before the start.
    """
    outputs.check(report, save)
    errors = Terminal(stderr=True)
    scenario = adjusted(scenario, folder, scale, None)
    varies = [parse_variation(text) for text in vary]
    with Progress(
        TextColumn("simulating", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task("simulating", total=None)
        shown = 0.0

        def show_progress(done: int, of: int) -> None:
            nonlocal shown
            bar.update(task, completed=done, total=of)
            if not errors.is_terminal and done / of >= shown + PROGRESS_STEP:
                shown = done / of
                errors.print(f"simulated {done} of {of}")

        found = sweep(
            scenario, varies, seeds, folder=folder, rated=rated, jobs=jobs, on_progress=show_progress
        )
    written = Outputs()
    if save is not None:
        written.attempt(lambda: outputs.write_whole(save, json.dumps(found.as_json(), indent=2) + "\n"))
    if report is not None:
        from loadtest.simulate.pages.sweep_page import render_sweep

        page = render_sweep(found)
        if written.attempt(lambda: outputs.write_whole(report, page)):
            errors.print(f"report: {report}")
    if as_json:
        print(json.dumps(found.as_json()), flush=True)
    else:
        show_sweep(found, Terminal())
    return _exit_code(found.cheapest is not None, written)


def warm_up() -> None:
    """Simulate two players, which loads every kernel, or compiles those that no earlier run has compiled."""
    with kernel_cache.compiling("simulation"):
        simulate(queueing_model(arrivals=2, per_s=1.0, seed=0, servers=1))


def adjusted(scenario: Scenario, folder: Path, scale: float, seed: int | None) -> Scenario:
    """Return the scenario in another size and with another seed. Raises VariationError."""
    if scale != 1.0:
        scenario = scaled(scenario, scale, folder)
    return scenario if seed is None else scenario.model_copy(update={"seed": seed})


def figures_of(scenario: Scenario, result: SimulationResult) -> dict[str, Any]:
    """Return what ``--save`` writes: figures, scenario, seed and objectives. The same seed gives the same."""
    figures = {"scenario": scenario.name, "seed": scenario.seed} | result.figures()
    figures["left_out"] = left_out(scenario)
    asked = objectives(scenario.objectives, figures)
    return figures | {
        "objectives": [one.as_json() for one in asked],
        "passed": all(one.met for one in asked),
    }


def show_run(
    scenario: Scenario,
    figures: dict[str, Any],
    asked: Sequence[Objective],
    resources: dict[str, float],
    console: Terminal,
) -> None:
    """Print one run as a table."""
    heading = f"{scenario.name}, seed {scenario.seed}, in virtual time"
    shown = table("figure", "value", title=heading, header=False)
    wait, spread, latency = figures["wait_s"], figures["skill_spread"], figures["latency_ms"]
    rows = (
        ("players", f"{figures['players']:,}, in {figures['virtual_s']:,.0f} s of virtual time"),
        (
            "matched",
            f"{figures['matched']:,} in {figures['matches']:,} matches; {figures['abandoned']:,} abandoned, "
            f"{figures['refused']:,} refused, {figures['lost']:,} lost",
        ),
        (
            "wait",
            f"p50 {_s(wait['p50'])}  p95 {_s(wait['p95'])}  p99 {_s(wait['p99'])}  max {_s(wait['max'])}",
        ),
        ("skill spread", f"p50 {_g(spread['p50'])}  p95 {_g(spread['p95'])}"),
        ("latency", f"p50 {_g(latency['p50'])} ms  p95 {_g(latency['p95'])} ms"),
        (
            "servers",
            f"{figures['servers_peak']:,} at the peak, {figures['server_hours']:,.1f} hours, "
            f"{figures['idle_share']:.1%} of them idle",
        ),
        ("cost", f"{figures['cost']:,.2f}"),
        (
            "took",
            f"{resources['wall_s']:.2f} s, after {resources['warm_up_s']:.1f} s for the kernels; "
            f"{resources['peak_rss_mb']:,.0f} MB",
        ),
    )
    for row in rows:
        shown.add_row(*row)
    if figures["left_out"]:
        shown.add_row("left out", "; ".join(figures["left_out"]))
    for one in asked:
        mark = Text("met", "green") if one.met else Text("missed", "red")
        measured = f"{_g(one.measured)} of at most {one.limit:g} {one.unit}".rstrip()
        shown.add_row(one.name, Text(f"{measured}: ") + mark)
    console.print(shown)


def show_sweep(found: Sweep, console: Terminal) -> None:
    """Print a sweep: a row for each setting, and the cheapest one that meets the objectives."""
    headings = [vary.path for vary in found.variations]
    headings += ["wait p50", "wait p95", "wait p99", "abandoned", "servers", "idle", "cost", "objectives"]
    title = f"{found.scenario.name}, {len(found.seeds)} seeds a setting"
    shown = table(*headings, title=title, right=headings)
    for setting in found.settings:
        best = setting is found.cheapest
        shown.add_row(
            *(f"{value}" for value in setting.values.values()),
            *(_estimate(setting, name) for name in ("wait_p50_s", "wait_p95_s", "wait_p99_s")),
            f"{setting.estimate('abandoned_share').mean:.2%}",
            f"{setting.estimate('servers_peak').mean:,.0f}",
            f"{setting.estimate('idle_share').mean:.0%}",
            _estimate(setting, "cost"),
            "cheapest" if best else "met" if setting.meets else f"{setting.met} of {len(setting.runs)}",
            style="bold green" if best else None if setting.meets else "dim",
        )
    console.print(shown)
    console.print(found.sentence)


def _exit_code(met: bool, written: Outputs) -> int:
    """Tell which files were not written, and return the exit code."""
    show_error(*written.failures)
    if written.failures:
        return ERROR
    return PASSED if met else MISSED


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process so far, in MB of 2^20 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024, 1)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of ``work`` and the seconds it took."""
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _estimate(setting: Setting, name: str) -> str:
    found = setting.estimate(name)
    return "–" if found.mean is None else f"{found.mean:,.1f} ± {found.half_width:.2g}"


def _s(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _g(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"
