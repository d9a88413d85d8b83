"""The commands that play a scenario in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launchday.cli.inputs import read_modes, read_scenario, read_settings, scenario_path, usage_errors
from launchday.cli.options import AsOneJson, ReportFile, RowsFolder, ScenarioArg, Strict, compile_parts

if TYPE_CHECKING:
    from loadtest.scenario.model import Scenario

Scale = Annotated[float, typer.Option(min=1e-6, max=1e3, help="Multiplies players, buffers and servers.")]
Rated = Annotated[
    bool | None,
    typer.Option(
        "--rated/--unrated",
        help="Whether the matchmaker knows how good the players are, or all are new; by default as "
        "players.rated of the scenario says.",
    ),
]
Jobs = Annotated[int | None, typer.Option(min=1, max=1_024, help="Processes to use; by default one a core.")]
Steady = Annotated[
    bool,
    typer.Option(
        "--steady",
        help="Count the steady part alone: the warm-up is cut off by MSER-5, and the time when nobody comes "
        "any more.",
    ),
]


def simulate(
    scenario: ScenarioArg,
    as_json: AsOneJson = False,
    report: ReportFile = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", help="Write the figures to this file: the same bytes for the same scenario and seed."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the scenario's seed.")] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000,
            help="Simulations, with seeds counted up from the first: figures with their 95 % intervals; all "
            "must meet the objectives.",
        ),
    ] = 1,
    steady: Steady = False,
    scale: Scale = 1.0,
    rows: RowsFolder = None,
    jobs: Jobs = None,
    rated: Rated = None,
    strict: Strict = False,
) -> None:
    """Simulate a scenario in virtual time, up to millions of players: waits, matches, servers and cost."""
    loaded, folder = _prepare(scenario, strict)
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_simulate(
            loaded,
            folder,
            scale=scale,
            seed=seed,
            rated=rated,
            seeds=seeds,
            steady=steady,
            jobs=jobs,
            as_json=as_json,
            report=report,
            save=save,
            rows=rows,
        )
    raise typer.Exit(code)


def sweep(
    scenario: ScenarioArg,
    vary: Annotated[
        list[str],
        typer.Option(
            help=(
                "A value that is decided and what it takes: fleet.buffer=0..400, "
                "fleet.policy=buffer,forecast. May be repeated."
            )
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A circumstance and what it takes: fleet.startup_s=5,30,120, players.count=1000,2000. The "
                "cheapest decision is named for each, and the one that holds in all. May be repeated."
            )
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Simulations of each variant.")] = 10,
    as_json: AsOneJson = False,
    report: ReportFile = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the sweep's figures to this file, as JSON.")
    ] = None,
    scale: Scale = 1.0,
    steady: Steady = False,
    jobs: Jobs = None,
    rated: Rated = None,
    strict: Strict = False,
) -> None:
    """Simulate variants of a scenario: waits against cost, and the cheapest that meets the objectives."""
    loaded, folder = _prepare(scenario, strict)
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_sweep(
            loaded,
            folder,
            vary=vary,
            given=given or (),
            steady=steady,
            seeds=seeds,
            scale=scale,
            rated=rated,
            jobs=jobs,
            as_json=as_json,
            report=report,
            save=save,
        )
    raise typer.Exit(code)


def _prepare(name: str, strict: bool) -> tuple[Scenario, Path]:
    """Read a scenario and compile what simulates it; the scenario, and the folder of its file.

    Raises CommandError, where it is strict also for what virtual time leaves out.
    """
    loaded, folder = read_scenario(name, read_modes(read_settings())), scenario_path(name).parent
    if strict:
        from loadtest.scenario import left_out

        with usage_errors():
            left_out.refuse_simulation(loaded)
    compile_parts({"simulation"})
    return loaded, folder
