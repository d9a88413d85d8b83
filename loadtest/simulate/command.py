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

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from launchday import kernel_cache
from loadtest.errors import LoadTestError
from loadtest.scenario.model import Scenario
from loadtest.simulate.plan import left_out, plan
from loadtest.simulate.result import Objective, SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.sweep import Setting, Sweep, sweep
from loadtest.simulate.theory import queueing_model
from loadtest.simulate.variation import parse_variation, scaled

T = TypeVar("T")
PASSED, MISSED = 0, 99
PIPED_WIDTH = 150  # of a table that goes to no terminal
PROGRESS_STEP = 0.1  # share of a sweep between two plain lines of progress


def run_simulate(
    scenario: Scenario,
    folder: Path,
    *,
    scale: float,
    seed: int | None,
    rated: bool,
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
        rated: whether the matchmaker knows the players' skill.
        as_json: print one JSON object and no table.
        report: where the HTML page goes, or None.
        save: where the figures go as JSON, or None.

    Raises:
        LoadTestError: the scenario cannot be simulated, or a file not be written.
    """
    errors = Console(stderr=True)
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
    if as_json:
        head = {name: figures[name] for name in ("scenario", "seed", "players", "virtual_s")}
        print(json.dumps(head | resources | figures), flush=True)
    else:
        show_run(scenario, figures, asked, resources, Console())
    if save is not None:
        write_whole_file(save, json.dumps(figures, indent=2) + "\n")
    if report is not None:
        from loadtest.simulate.pages.run_page import render_run  # plotly: only where a page is wanted

        write_whole_file(report, render_run(scenario, result, figures, asked))
        errors.print(f"report: {report}", highlight=False, soft_wrap=True)
    return PASSED if all(one.met for one in asked) else MISSED


def run_sweep(
    scenario: Scenario,
    folder: Path,
    *,
    vary: Sequence[str],
    seeds: int,
    scale: float,
    rated: bool,
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
    """
    errors = Console(stderr=True)
    scenario = adjusted(scenario, folder, scale, None)
    varies = [parse_variation(text) for text in vary]
    with Progress(
        TextColumn("simulating"),
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
                errors.print(f"simulated {done} of {of}", highlight=False)

        found = sweep(
            scenario, varies, seeds, folder=folder, rated=rated, jobs=jobs, on_progress=show_progress
        )
    if as_json:
        print(json.dumps(found.as_json()), flush=True)
    else:
        console = Console()
        show_sweep(found, console if console.is_terminal else Console(width=PIPED_WIDTH))
    if save is not None:
        write_whole_file(save, json.dumps(found.as_json(), indent=2) + "\n")
    if report is not None:
        from loadtest.simulate.pages.sweep_page import render_sweep

        write_whole_file(report, render_sweep(found))
        errors.print(f"report: {report}", highlight=False, soft_wrap=True)
    return MISSED if found.cheapest is None else PASSED


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
    console: Console,
) -> None:
    """Print one run as a table."""
    table = Table(
        title=f"{scenario.name}, seed {scenario.seed}, in virtual time",
        show_header=False,
        title_justify="left",
    )
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
        table.add_row(*row)
    if figures["left_out"]:
        table.add_row("left out", f"{'; '.join(figures['left_out'])}: flood plays them")
    for one in asked:
        mark = "[green]met[/]" if one.met else "[red]missed[/]"
        table.add_row(
            one.name, f"{_g(one.measured)} of at most {one.limit:g} {one.unit}".rstrip() + f": {mark}"
        )
    console.print(table)


def show_sweep(found: Sweep, console: Console) -> None:
    """Print a sweep: a row for each setting, and the cheapest one that meets the objectives."""
    table = Table(title=f"{found.scenario.name}, {len(found.seeds)} seeds a setting", title_justify="left")
    for vary in found.variations:
        table.add_column(vary.path, justify="right", no_wrap=True)
    for heading in ("wait p50", "wait p95", "wait p99", "abandoned", "servers", "idle", "cost", "objectives"):
        table.add_column(heading, justify="right", no_wrap=True)
    for setting in found.settings:
        best = setting is found.cheapest
        table.add_row(
            *(f"{value}" for value in setting.values.values()),
            *(_estimate(setting, name) for name in ("wait_p50_s", "wait_p95_s", "wait_p99_s")),
            f"{setting.estimate('abandoned_share').mean:.2%}",
            f"{setting.estimate('servers_peak').mean:,.0f}",
            f"{setting.estimate('idle_share').mean:.0%}",
            _estimate(setting, "cost"),
            "cheapest" if best else "met" if setting.meets else f"{setting.met} of {len(setting.runs)}",
            style="bold green" if best else None if setting.meets else "dim",
        )
    console.print(table)
    console.print(found.sentence, highlight=False, soft_wrap=True)


def write_whole_file(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises LoadTestError."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise LoadTestError(f"cannot write {path}: {error.strerror or error}") from error


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
