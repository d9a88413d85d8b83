"""The commands that play a scenario in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launchday.cli.inputs import read_scenario, scenario_path, usage_errors
from launchday.cli.options import AsOneJson, ReportFile, ScenarioArg, Strict, compile_parts

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
    scale: Scale = 1.0,
    rated: Rated = None,
    strict: Strict = False,
) -> None:
    """Simulate a scenario in virtual time, up to millions of players: waits, matches, servers and cost."""
    loaded, folder = read_scenario(scenario), scenario_path(scenario).parent
    if strict:
        _refuse_what_is_left_out(loaded)
    compile_parts({"simulation"})
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_simulate(
            loaded,
            folder,
            scale=scale,
            seed=seed,
            rated=rated,
            as_json=as_json,
            report=report,
            save=save,
        )
    raise typer.Exit(code)


def sweep(
    scenario: ScenarioArg,
    vary: Annotated[
        list[str],
        typer.Option(
            help=(
                "A value of the scenario and what it takes: fleet.buffer=0..400, "
                "fleet.startup_s=5,30,120. May be repeated."
            )
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Simulations of each variant.")] = 10,
    as_json: AsOneJson = False,
    report: ReportFile = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the sweep's figures to this file, as JSON.")
    ] = None,
    scale: Scale = 1.0,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1_024, help="Processes to use; by default one a core.")
    ] = None,
    rated: Rated = None,
    strict: Strict = False,
) -> None:
    """Simulate variants of a scenario: waits against cost, and the cheapest that meets the objectives."""
    loaded, folder = read_scenario(scenario), scenario_path(scenario).parent
    if strict:
        _refuse_what_is_left_out(loaded)
    compile_parts({"simulation"})
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_sweep(
            loaded,
            folder,
            vary=vary,
            seeds=seeds,
            scale=scale,
            rated=rated,
            jobs=jobs,
            as_json=as_json,
            report=report,
            save=save,
        )
    raise typer.Exit(code)


def _refuse_what_is_left_out(scenario: Scenario) -> None:
    from loadtest.scenario import left_out

    with usage_errors():
        left_out.refuse_simulation(scenario)
