"""The command ``launchday``.

Exit codes: 0 objectives met; 1 an error; 2 bad usage or a bad file; 99 an objective missed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from launchday import __version__, outputs, startup
from launchday.cli import fleet
from launchday.cli.inputs import (
    USAGE_ERROR,
    CommandError,
    read_scenario,
    read_settings,
    scenario_path,
    usage_errors,
)
from launchday.outputs import Outputs
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, run_command, show_error

if TYPE_CHECKING:
    from launchday.launcher.backend import Backend

# Each command imports what it needs inside: the engines, the load test, plotly and the kernels cost half a
# second each.

TOUR = "tour"
DEFAULT_REPORT = Path("report.html")

app = typer.Typer(
    name="launchday",
    help="A complete multiplayer game backend that you can flood before your players do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(fleet.app)

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the run's figures as JSON to this file.")
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the figures as one JSON object; everything else goes to standard error."
    ),
]
AsOneJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Write the HTML report to this file, and JSON and CSV beside it (report.html)."
    ),
]
RecordFolder = Annotated[
    Path | None, typer.Option("--record", help="Record every match into this folder, for launchday replay.")
]
Scale = Annotated[float, typer.Option(min=1e-6, max=1e3, help="Multiplies players, buffers and servers.")]
Unrated = Annotated[
    bool, typer.Option("--unrated", help="Every player is new: the matchmaker knows no skills.")
]
ScenarioArg = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        Terminal().print(f"launchday {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """A complete multiplayer game backend that you can flood before your players do."""


@app.command()
def run(
    scenario: Annotated[str, typer.Option(help="A scenario file, or the name of a shipped one.")] = TOUR,
    json_file: JsonFile = None,
    report: ReportFile = None,
    record: RecordFolder = None,
) -> None:
    """Start everything, flood it with simulated players, print a summary, and write an HTML report."""
    _flood_embedded(scenario, False, report, record, json_file)


@app.command()
def flood(
    scenario: ScenarioArg,
    as_json: AsJson = False,
    report: ReportFile = None,
    running: Annotated[
        bool,
        typer.Option(
            "--running", help="Flood the backend that the settings name, instead of one of its own."
        ),
    ] = False,
    record: RecordFolder = None,
) -> None:
    """Flood a backend with the players of a scenario: real sockets, real time."""
    if not running:
        _flood_embedded(scenario, as_json, report, record)
        return
    from launchday.launcher import lifecycle
    from loadtest import command as flooding

    loaded = read_scenario(scenario)
    config = read_settings()
    if not config.identity_secret.get_secret_value():
        raise CommandError(
            f"a running backend's books need its signing secret: set {env_name('identity_secret')}",
            USAGE_ERROR,
        )

    async def play() -> int:
        return await flooding.run_scenario(
            loaded,
            config,
            report_path=report or DEFAULT_REPORT,
            as_json=as_json,
            console=Terminal(stderr=as_json),
            stop_event=lifecycle.stop_event_on_signals(),
        )

    raise typer.Exit(asyncio.run(play()))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The report of a run, or its JSON.")],
    second: Annotated[Path, typer.Argument(help="The report of another run, or its JSON.")],
    report: Annotated[Path | None, typer.Option("--report", help="Also write a page with both.")] = None,
    as_json: AsOneJson = False,
) -> None:
    """Compare two runs, figure by figure."""
    from loadtest.report import compare as comparing

    with usage_errors():
        outputs.check(report)
        table = comparing.compare_runs(comparing.read_run(first), comparing.read_run(second))
    written = Outputs()
    if report is not None:
        page = comparing.render_comparison(first, second, table)
        written.attempt(lambda: outputs.write_whole(report, page))
    if as_json:
        print(json.dumps({row.name: {"first": row.first, "second": row.second} for row in table}))
    else:
        comparing.print_comparison(first, second, table, Terminal())
    show_error(*written.failures)
    raise typer.Exit(1 if written.failures else 0)


@app.command()
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
    unrated: Unrated = False,
) -> None:
    """Simulate a scenario in virtual time, up to millions of players: waits, matches, servers and cost."""
    loaded, folder = read_scenario(scenario), scenario_path(scenario).parent
    _compile({"simulation"})
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_simulate(
            loaded,
            folder,
            scale=scale,
            seed=seed,
            rated=not unrated,
            as_json=as_json,
            report=report,
            save=save,
        )
    raise typer.Exit(code)


@app.command()
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
    unrated: Unrated = False,
) -> None:
    """Simulate variants of a scenario: waits against cost, and the cheapest that meets the objectives."""
    loaded, folder = read_scenario(scenario), scenario_path(scenario).parent
    _compile({"simulation"})
    from loadtest.simulate import command

    with usage_errors():
        code = command.run_sweep(
            loaded,
            folder,
            vary=vary,
            seeds=seeds,
            scale=scale,
            rated=not unrated,
            jobs=jobs,
            as_json=as_json,
            report=report,
            save=save,
        )
    raise typer.Exit(code)


@app.command()
def up(
    kafka: Annotated[str, typer.Option(help="embedded, or apache (make kafka fetches it).")] = "",
) -> None:
    """Start everything and keep it up until Ctrl-C."""
    from launchday.launcher import lifecycle

    console = Terminal()
    config = read_settings()
    if kafka:
        if kafka not in ("embedded", "apache"):
            raise CommandError(f"--kafka is embedded or apache, not {kafka}", USAGE_ERROR)
        config = config.model_copy(update={"kafka_server": kafka})

    if config.record_dir:
        with usage_errors():
            outputs.check_folder(Path(config.record_dir))

    async def stay(completed: Settings, stop: asyncio.Event, _: Backend) -> int:
        console.print("the backend is up; Ctrl-C stops it")
        for name in ("meta_url", "matchmaker_url", "fleet_url", "cache_url", "store_url", "kafka_bootstrap"):
            console.print(f"  {env_name(name)}={getattr(completed, name)}")
        await stop.wait()
        return 0

    raise typer.Exit(lifecycle.run_with_backend(config, stay, console, fresh=False))


@app.command()
def kafka() -> None:
    """Fetch Apache Kafka with Maven, for launchday up --kafka apache."""
    from launchday.engines import EngineError, apache_kafka

    console = Terminal()
    with console.status("fetching Apache Kafka (about 55 MB, once)"):
        try:
            folder = apache_kafka.resolve()
        except EngineError as error:
            raise CommandError(str(error)) from error
    console.print(f"Apache Kafka {apache_kafka.VERSION} is in {folder}")


@app.command()
def match(
    ruleset: Annotated[Path, typer.Argument(help="A rule set in FlexMatch's JSON.")],
    tickets: Annotated[Path, typer.Argument(help="Tickets in the shape of FlexMatch's StartMatchmaking.")],
    now: Annotated[
        float | None,
        typer.Option(help="Seconds, on the clock of the tickets' StartTime; without it, the last StartTime."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides where the rule set says random.")] = 0,
    live: Annotated[
        bool,
        typer.Option(
            help="As in a live queue: a match needs a region that all of its players have measured."
        ),
    ] = False,
    as_json: AsOneJson = False,
) -> None:
    """Run a rule set on a file of tickets: the matches, and why each other ticket has none."""
    _compile({"flexmatch"})
    from matchmaker.rules.flexmatch import trial

    raise typer.Exit(trial.run(ruleset, tickets, now, seed, as_json, live))


@app.command(name="compile")
def compile_() -> None:
    """Compile all kernels ahead of time, on all cores; the other commands then start at once."""
    if not _compile():
        Terminal().print("all kernels are compiled")


@app.command()
def doctor(
    as_json: AsOneJson = False,
) -> None:
    """Show what is installed, what is missing, each engine's server and every setting."""
    from launchday.cli import doctor as examination

    found = examination.examine(read_settings())
    if as_json:
        print(json.dumps(found))
    else:
        examination.show(found, Terminal())
    raise typer.Exit(0 if found["fit"] and not found["missing"] else 1)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def bench(context: typer.Context) -> None:
    """Measure a hot path beside its floor: launchday bench NAME [--json]; bench all runs every one."""
    from loadtest.bench.cli import app as benchmarks

    raise typer.Exit(benchmarks(context.args, prog_name="launchday bench", standalone_mode=False) or 0)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def chaos(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="meta, or rewards; with neither, both.")] = "",
) -> None:
    """Kill the processes of a service under load, again and again, and check that nothing was lost.

    With the default of 30 kills a process it takes about 25 minutes.
    """
    if target in ("-h", "--help"):
        Terminal().print(Text(context.get_help()))
        raise typer.Exit
    from loadtest.chaos import meta, rewards

    mains = {"meta": meta.main, "rewards": rewards.main}
    if target not in ("", *mains):
        raise CommandError(f"launchday chaos takes {' or '.join(mains)}, not {target}", USAGE_ERROR)
    codes = [main(context.args) for name, main in mains.items() if target in ("", name)]
    raise typer.Exit(max(codes))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def events(context: typer.Context) -> None:
    """Work with events: dead letters, questions, recomputed progression: launchday events COMMAND."""
    from rewards.cli import app as commands

    read_settings()  # a bad setting is one line here
    raise typer.Exit(commands(context.args, prog_name="launchday events", standalone_mode=False) or 0)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A file that a game server has recorded.")],
    as_json: AsOneJson = False,
) -> None:
    """Replay a recorded match and compare it with the recording, bit for bit."""
    from dedicated_server.recording import replay as replaying
    from dedicated_server.recording.file import RecordingError

    try:
        result = replaying.replay(recording)
    except (RecordingError, OSError) as error:
        raise CommandError(str(error)) from error
    figures = {
        "match_id": str(result.config.match_id),
        "mode": result.config.mode,
        "players": len(result.config.players),
        "ticks": result.ticks,
        "states_compared": result.compared,
        "identical": result.identical,
        "first_difference": None if result.difference is None else vars(result.difference),
        "ended": result.ended,
        "kills": result.kills,
        "winner": result.placements.index(1) if 1 in result.placements else None,
    }
    if as_json:
        print(json.dumps(figures))
    else:
        console = Terminal()
        for name, value in figures.items():
            console.print(f"{name.replace('_', ' '):<17} {value}")
    raise typer.Exit(0 if result.identical else 1)


def main() -> None:
    """Run the command line; print every error of ours as one line on standard error."""
    startup.prepare()
    sys.exit(run_command(app))


def _compile(names: Collection[str] | None = None) -> int:
    """Compile the kernels of these parts, or all; return how many parts were not compiled before."""
    from launchday.launcher.kernels import ALL_PARTS, compile_kernels
    from launchday.launcher.lifecycle import ProgressPrinter

    return compile_kernels(ProgressPrinter(Terminal(stderr=True)), ALL_PARTS if names is None else names)


def _flood_embedded(
    name: str, as_json: bool, report: Path | None, record: Path | None, json_file: Path | None = None
) -> None:
    from launchday.launcher import lifecycle
    from launchday.launcher.kernels import FLOOD_PARTS
    from loadtest import command as flooding
    from loadtest.report import files
    from loadtest.scenario.faults import SlowStore
    from loadtest.scenario.population import region_latencies_ms

    loaded = read_scenario(name)
    if (refusal := flooding.why_not_floodable(loaded)) is not None:
        raise CommandError(refusal, USAGE_ERROR)
    config = read_settings()
    config = config.model_copy(update=loaded.backend_settings())
    with usage_errors():  # before anything is started
        region_latencies_ms(loaded, config.region_names)
    # A folder of its own: a run begins with empty books, and must not empty those of `launchday up`.
    config = config.model_copy(update={"state_dir": config.state_dir / "run"})
    report_path = report or DEFAULT_REPORT
    with usage_errors():
        files.check(report_path, json_file)
    if record is not None:
        config = config.model_copy(update={"record_dir": str(record.absolute())})
    if config.record_dir:
        with usage_errors():
            outputs.check_folder(Path(config.record_dir))
    console = Terminal(stderr=as_json)

    async def play(completed: Settings, stop: asyncio.Event, machine: Backend) -> int:
        return await flooding.run_scenario(
            loaded,
            completed,
            report_path=report_path,
            as_json=as_json,
            console=console,
            stop_event=stop,
            processes=machine,
            json_path=json_file,
        )

    raise typer.Exit(
        lifecycle.run_with_backend(
            config,
            play,
            console,
            fresh=True,
            kernel_parts=FLOOD_PARTS,
            store_proxy=any(isinstance(fault, SlowStore) for fault in loaded.faults),
            judges=True,
        )
    )


if __name__ == "__main__":
    main()
