"""``launchday simulate`` and ``launchday sweep``: what they print and write.

Exit codes are those of a flood: 0, or 99 where an objective is missed.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from launchday import outputs
from launchday.outputs import Outputs
from launchday.terminal import Terminal, show_error
from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.replications import replicate
from loadtest.simulate.estimates.runs import Task, figures_of, simulated, warm_up
from loadtest.simulate.output.progress import RunsProgress
from loadtest.simulate.output.terminal import show_run, show_seeds, show_sweep
from loadtest.simulate.result import objectives
from loadtest.simulate.sweep import sweep
from loadtest.simulate.variation import VariationError, parse_variation, scaled

__all__ = ["adjusted", "figures_of", "run_simulate", "run_sweep", "warm_up"]

T = TypeVar("T")
PASSED, ERROR, MISSED = 0, 1, 99


def run_simulate(
    scenario: Scenario,
    folder: Path,
    *,
    scale: float = 1.0,
    seed: int | None = None,
    rated: bool | None = None,
    seeds: int = 1,
    steady: bool = False,
    jobs: int | None = None,
    as_json: bool = False,
    report: Path | None = None,
    save: Path | None = None,
    rows: Path | None = None,
) -> int:
    """Simulate under one seed or several, print the result, and return the exit code.

    Args:
        scenario: what to simulate.
        folder: where files that the scenario names are looked for.
        scale: factor for players and servers.
        seed: another than the scenario's, or None.
        rated: whether the matchmaker knows the players' skill; None: as the scenario says.
        seeds: simulations, with seeds counted up from the first; with several, figures have intervals.
        steady: count the steady part alone, without warm-up and cool-down.
        jobs: processes for several seeds; None: one for each core.
        as_json: print one JSON object and no table.
        report: where the HTML page goes, or None.
        save: where the figures go as JSON, or None.
        rows: folder for the tables of tickets, matches and samples, or None.

    Raises:
        LoadTestError: the scenario cannot be simulated.
        OutputError: a file cannot be written, as is known before the start.
    """
    if rows is not None and seeds > 1:
        raise VariationError(f"--rows {rows} takes the rows of one simulation: leave out --seeds {seeds}")
    _check(report, save, rows)
    scenario = adjusted(scenario, folder, scale, seed)
    if seeds > 1:
        return _run_seeds(scenario, seeds, rated, steady, jobs, as_json, report, save)
    errors = Terminal(stderr=True)
    with _during(errors, "loading the kernels"):
        _, warm_up_s = timed(warm_up)
    with _during(errors, f"simulating {scenario.players.count:,} players in virtual time"):
        (result, part), wall_s = timed(lambda: simulated(Task(scenario, rated, steady)))
    figures = figures_of(scenario, result, part)
    asked = objectives(scenario.objectives, figures)
    resources = {
        "wall_s": round(wall_s, 3),
        "warm_up_s": round(warm_up_s, 3),
        "peak_rss_mb": peak_rss_mb(),
    }
    written = Outputs()
    if save is not None:
        written.attempt(lambda: outputs.write_whole(save, json.dumps(figures, indent=2) + "\n"))
    if rows is not None:
        from loadtest.simulate.output.rows import write_rows  # pyarrow: only where rows are wanted

        with _during(errors, f"writing the rows into {rows}"):
            written.attempt(lambda: write_rows(scenario, result, rows))
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
    return _exit_code(figures["passed"], written)


def _run_seeds(
    scenario: Scenario,
    seeds: int,
    rated: bool | None,
    steady: bool,
    jobs: int | None,
    as_json: bool,
    report: Path | None,
    save: Path | None,
) -> int:
    errors = Terminal(stderr=True)
    with _during(errors, "loading the kernels"):
        _, warm_up_s = timed(warm_up)
    with RunsProgress(errors) as progress:
        found, wall_s = timed(
            lambda: replicate(scenario, seeds, rated=rated, steady=steady, jobs=jobs, watcher=progress)
        )
    resources = {"wall_s": round(wall_s, 3), "warm_up_s": round(warm_up_s, 3)}
    figures = found.as_json()
    written = Outputs()
    if save is not None:
        written.attempt(lambda: outputs.write_whole(save, json.dumps(figures, indent=2) + "\n"))
    if report is not None:
        from loadtest.simulate.pages.seeds_page import render_seeds

        page = render_seeds(found)
        if written.attempt(lambda: outputs.write_whole(report, page)):
            errors.print(f"report: {report}")
    if as_json:
        print(json.dumps(figures | resources), flush=True)
    else:
        show_seeds(found, resources, Terminal())
    return _exit_code(found.passed, written)


def run_sweep(
    scenario: Scenario,
    folder: Path,
    *,
    vary: Sequence[str],
    given: Sequence[str] = (),
    seeds: int,
    scale: float = 1.0,
    rated: bool | None = None,
    steady: bool = False,
    jobs: int | None = None,
    as_json: bool = False,
    report: Path | None = None,
    save: Path | None = None,
) -> int:
    """Sweep, print the settings, and return the exit code: 99 where no decision meets the objectives in all
    circumstances.

    Args:
        vary: what is decided, such as ``fleet.buffer=0..400``.
        given: what varies without being decided, such as ``fleet.startup_s=5,30,120``.
        seeds: simulations of each setting.
        jobs: processes; None: one for each core.

    The other arguments are those of ``run_simulate``.

    Raises:
        LoadTestError: a variation cannot be read, or a simulation fails.
        OutputError: a file cannot be written, as is known before the start.
    """
    _check(report, save)
    errors = Terminal(stderr=True)
    scenario = adjusted(scenario, folder, scale, None)
    decisions = [parse_variation(text) for text in vary]
    circumstances = [parse_variation(text, "--given") for text in given]
    with _during(errors, "loading the kernels"):
        warm_up()
    with RunsProgress(errors) as progress:
        found = sweep(
            scenario,
            decisions,
            seeds,
            folder=folder,
            given=circumstances,
            rated=rated,
            steady=steady,
            jobs=jobs,
            watcher=progress,
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
    return _exit_code(found.passed, written)


def adjusted(scenario: Scenario, folder: Path, scale: float, seed: int | None) -> Scenario:
    """Return the scenario in another size and with another seed. Raises VariationError."""
    if scale != 1.0:
        scenario = scaled(scenario, scale, folder)
    return scenario if seed is None else scenario.model_copy(update={"seed": seed})


def _check(report: Path | None, save: Path | None, rows: Path | None = None) -> None:
    """Look whether all files can be written. Raises OutputError."""
    if rows is None:
        outputs.check(report, save)
        return
    from loadtest.rows import tables

    tables.check(rows, report, save)


@contextmanager
def _during(errors: Terminal, text: str) -> Iterator[None]:
    """Show what is under way until the block ends: a spinner in a terminal, a plain line elsewhere."""
    if errors.is_terminal:
        with errors.status(text):
            yield
    else:
        errors.print(text)
        yield


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
