"""The commands that flood a backend, and the one that compares two runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from launchday import outputs
from launchday.cli import flood_options
from launchday.cli.inputs import (
    USAGE_ERROR,
    CommandError,
    read_modes,
    read_scenario,
    read_settings,
    usage_errors,
)
from launchday.cli.options import (
    AsOneJson,
    BeginTime,
    FindLimit,
    MetricsUrls,
    PartOf,
    PartPath,
    Ports,
    ReportFile,
    RowsFolder,
    ScenarioArg,
    StepSeconds,
    Strict,
    TargetClass,
)
from launchday.outputs import Outputs
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, show_error

if TYPE_CHECKING:
    from launchday.launcher.backend import Backend
    from loadtest.flood.options import FloodOptions, TargetFactory
    from loadtest.scenario.model import Scenario

TOUR = "tour"
DEFAULT_REPORT = Path("report.html")
COMPARISON_FAILED = 99  # as a run that misses an objective

SaveFile = Annotated[Path | None, typer.Option("--save", help="Write the figures as JSON to this file.")]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the figures as one JSON object; everything else goes to standard error."
    ),
]
RecordFolder = Annotated[
    Path | None, typer.Option("--record", help="Record every match into this folder, for launchday replay.")
]


def run(
    scenario: Annotated[str, typer.Option(help="A scenario file, or the name of a shipped one.")] = TOUR,
    as_json: AsJson = False,
    report: ReportFile = None,
    save: SaveFile = None,
    rows: RowsFolder = None,
    record: RecordFolder = None,
    ports: Ports = "set",
    strict: Strict = False,
    metrics: MetricsUrls = None,
) -> None:
    """Start everything, flood it with simulated players, print a summary, and write an HTML report."""
    from loadtest.flood.options import FloodOptions

    options = FloodOptions(
        report=report or DEFAULT_REPORT,
        json=save,
        rows=rows,
        as_json=as_json,
        strict=strict,
        metrics=flood_options.read_metrics(metrics),
    )
    _flood_embedded(scenario, options, record, beside_others=ports == "free")


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
    save: SaveFile = None,
    rows: RowsFolder = None,
    ports: Ports = "set",
    strict: Strict = False,
    target: TargetClass = None,
    metrics: MetricsUrls = None,
    find_limit: FindLimit = False,
    step_s: StepSeconds = None,
    part: PartOf = None,
    part_file: PartPath = None,
    begin: BeginTime = None,
) -> None:
    """Flood a backend with the players of a scenario: real sockets, real time."""
    from loadtest.flood.options import FloodOptions

    options = FloodOptions(
        report=report or (DEFAULT_REPORT if part is None else None),
        json=save,
        rows=rows,
        as_json=as_json,
        strict=strict,
        metrics=flood_options.read_metrics(metrics),
    )
    options = flood_options.with_limit(options, find_limit, step_s, part)
    options = flood_options.with_part(
        options, part, part_file, begin, started_here=not running and target is None
    )
    if target is not None:
        _check_with_target(running, record, ports)
        _flood_target(scenario, replace(options, target=_target_class(target)))
    if not running:
        _flood_embedded(scenario, options, record, beside_others=ports == "free")
        return
    if ports == "free":
        raise CommandError(
            "--running starts nothing, so there is no port to take: leave --ports out", USAGE_ERROR
        )
    from launchday.launcher import lifecycle
    from loadtest import playing as flooding

    loaded = _floodable(scenario, options, own_backend=False)
    config = read_settings()
    if not config.identity_keys and not config.identity_secret.get_secret_value():
        raise CommandError(
            "a running backend's books need a token that it takes: set "
            f"{env_name('identity_keys')} or {env_name('identity_secret')}",
            USAGE_ERROR,
        )

    async def play() -> int:
        return await flooding.play_on(
            loaded,
            config,
            options,
            console=Terminal(stderr=as_json),
            stop_event=lifecycle.stop_event_on_signals(),
        )

    raise typer.Exit(asyncio.run(play()))


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Files that launchday flood --part has written.")],
    target: TargetClass = None,
    as_json: AsJson = False,
    report: ReportFile = None,
    save: SaveFile = None,
    rows: RowsFolder = None,
) -> None:
    """Add the parts of a flood up: one summary, one ledger, one report, one verdict."""
    from loadtest.flood.options import FloodOptions
    from loadtest.merge import merge_parts

    options = FloodOptions(report=report or DEFAULT_REPORT, json=save, rows=rows, as_json=as_json)
    if target is not None:
        options = replace(options, target=_target_class(target))
    raise typer.Exit(asyncio.run(merge_parts(parts, read_settings(), options, Terminal(stderr=as_json))))


def compare(
    first: Annotated[Path, typer.Argument(help="The report of a run, or its JSON.")],
    second: Annotated[Path, typer.Argument(help="The report of another run, or its JSON.")],
    report: Annotated[Path | None, typer.Option("--report", help="Also write a page with both.")] = None,
    as_json: AsOneJson = False,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=10% or NAME=0.02, repeatable: exit with 99 where the second run is worse than the "
            "first by more than that. NAME is a figure of the JSON, such as wait_s.p95, or short: wait_p95, "
            "tick_p99, abandoned_share.",
        ),
    ] = None,
) -> None:
    """Compare two runs, figure by figure."""
    from loadtest.report.comparison import compare as comparing
    from loadtest.report.comparison import thresholds

    with usage_errors():
        outputs.check(report)
        asked = [thresholds.parse_threshold(text) for text in fail_above or ()]
        runs = comparing.read_run(first), comparing.read_run(second)
        table = comparing.compare_runs(*runs)
        findings = thresholds.check_thresholds(asked, *runs)
    written = Outputs()
    if report is not None:
        page = comparing.render_comparison(first, second, table)
        written.attempt(lambda: outputs.write_whole(report, page))
    if as_json:
        print(json.dumps({row.name: {"first": row.first, "second": row.second} for row in table}))
    else:
        comparing.print_comparison(first, second, table, Terminal())
    console = Terminal(stderr=as_json)
    for finding in findings:
        word, colour = ("within", "green") if finding.passed else ("failed", "red")
        console.print(f"{word}: {finding.sentence}", style=colour)
    show_error(*written.failures)
    if written.failures:
        raise typer.Exit(1)
    raise typer.Exit(0 if all(finding.passed for finding in findings) else COMPARISON_FAILED)


def _floodable(name: str, options: FloodOptions, *, own_backend: bool) -> Scenario:
    """Read a scenario. Raises CommandError, with --strict also for what a flood leaves out of it."""
    from loadtest.scenario import left_out

    cards = read_modes(read_settings())
    # What a backend that runs elsewhere has been set up to play, it knows itself.
    loaded = read_scenario(name, cards if own_backend else None)
    if options.strict:
        with usage_errors():
            left_out.refuse_flood(loaded, own_backend=own_backend)
    return loaded


def _check_with_target(running: bool, record: Path | None, ports: str) -> None:
    """Raise CommandError for an option that means something for our own backend alone."""
    for given, option in (
        (running, "--running"),
        (record is not None, "--record"),
        (ports != "set", "--ports"),
    ):
        if given:
            raise CommandError(
                f"{option} is for our own backend, and --target floods another: leave one of them out",
                USAGE_ERROR,
            )


def _target_class(text: str) -> TargetFactory:
    from loadtest.target_loading import load_target

    with usage_errors():
        return load_target(text)


def _flood_target(name: str, options: FloodOptions) -> NoReturn:
    """Flood a target, of which nothing is started here."""
    import uvloop

    from launchday.launcher import lifecycle
    from loadtest import playing as flooding
    from loadtest.flood.surroundings.unmeasured import refuse_target
    from loadtest.scenario.population import region_latencies_ms

    loaded, config = read_scenario(name), read_settings()
    with usage_errors():  # before the target is made
        if options.strict:
            refuse_target(loaded, options.target)
        region_latencies_ms(loaded, options.regions(loaded, config))
        flooding.check_outputs(options)

    async def play() -> int:
        return await flooding.play_on(
            loaded,
            config,
            options,
            console=Terminal(stderr=options.as_json),
            stop_event=lifecycle.stop_event_on_signals(),
        )

    raise typer.Exit(uvloop.run(play()))


def _flood_embedded(name: str, options: FloodOptions, record: Path | None, *, beside_others: bool) -> None:
    from launchday.launcher import lifecycle
    from launchday.launcher.kernels import FLOOD_PARTS
    from loadtest import playing as flooding
    from loadtest.scenario.faults import SlowStore
    from loadtest.scenario.population import region_latencies_ms

    loaded = _floodable(name, options, own_backend=True)
    refusal = None if options.find_limit else flooding.why_not_floodable(loaded)
    if refusal is not None:
        raise CommandError(refusal, USAGE_ERROR)
    config = read_settings()
    config = config.model_copy(update=loaded.backend_settings())
    if (wrong := config.why_not_by_region()) is not None:
        raise CommandError(wrong, USAGE_ERROR)
    with usage_errors():  # before anything is started
        region_latencies_ms(loaded, config.region_names)
    # A folder of its own: a run begins with empty books, and must not empty those of `launchday up`.
    config = config.model_copy(update={"state_dir": config.state_dir / "run"})
    with usage_errors():
        flooding.check_outputs(options)
    if record is not None:
        config = config.model_copy(update={"record_dir": str(record.absolute())})
    if config.record_dir:
        with usage_errors():
            outputs.check_folder(Path(config.record_dir))
    console = Terminal(stderr=options.as_json)

    async def play(completed: Settings, stop: asyncio.Event, machine: Backend) -> int:
        return await flooding.play_on(
            loaded,
            completed,
            options,
            console=console,
            stop_event=stop,
            processes=machine,
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
            other_folders=config.state_dir if beside_others else None,
        )
    )
