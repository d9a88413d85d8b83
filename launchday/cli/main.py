"""The command ``launchday``.

Exit codes: 0 objectives met; 1 an error; 2 bad usage or a bad file; 99 an objective missed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from launchday import __version__, outputs, startup
from launchday.cli import fleet, flooding, keys, mode, player, region, simulating, writebehind
from launchday.cli.backups import commands as backups
from launchday.cli.inputs import (
    USAGE_ERROR,
    CommandError,
    read_modes,
    read_settings,
    usage_errors,
)
from launchday.cli.old_forms import renewed
from launchday.cli.options import AsOneJson, Ports, compile_parts
from launchday.clock import SystemClock
from launchday.resilience.store_address import without_secrets
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal, run_command

if TYPE_CHECKING:
    from launchday.launcher.backend import Backend

# Each command imports what it needs inside: the engines, the load test, plotly and the kernels cost half a
# second each.

app = typer.Typer(
    name="launchday",
    help="A complete multiplayer game backend that you can flood before your players do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for command in (
    flooding.run,
    flooding.flood,
    flooding.merge,
    flooding.compare,
    simulating.simulate,
    simulating.sweep,
    backups.backup,
    backups.restore,
):
    app.command()(command)
app.add_typer(fleet.app)
app.add_typer(keys.app)
app.add_typer(mode.app)
app.add_typer(player.app)
app.add_typer(region.app)
app.add_typer(writebehind.app)


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
def up(
    kafka: Annotated[str, typer.Option(help="embedded, or apache (make kafka fetches it).")] = "",
    ports: Ports = "set",
) -> None:
    """Start everything and keep it up until Ctrl-C."""
    from launchday.launcher import lifecycle

    console = Terminal()
    config = read_settings()
    if kafka:
        if kafka not in ("embedded", "apache"):
            raise CommandError(f"--kafka is embedded or apache, not {kafka}", USAGE_ERROR)
        config = config.model_copy(update={"kafka_server": kafka})

    read_modes(config)  # what is wrong with them is told before anything starts
    if config.record_dir:
        with usage_errors():
            outputs.check_folder(Path(config.record_dir))

    async def stay(completed: Settings, stop: asyncio.Event, _: Backend) -> int:
        console.print("the backend is up; Ctrl-C stops it")
        shown = [
            "meta_url",
            "matchmaker_url",
            "fleet_url",
            "rewards_url",
            "cache_url",
            "store_url",
            "kafka_bootstrap",
        ]
        if ports == "free":  # by which the other commands find it
            shown.insert(0, "state_dir")
        for name in shown:
            value = getattr(completed, name)
            if isinstance(value, str) and getattr(config, name):  # an address of one's own
                value = without_secrets(value)
            console.print(f"  {env_name(name)}={value.absolute() if isinstance(value, Path) else value}")
        await stop.wait()
        return 0

    beside = config.state_dir / "up" if ports == "free" else None
    raise typer.Exit(lifecycle.run_with_backend(config, stay, console, fresh=False, other_folders=beside))


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
    tickets: Annotated[
        Path | None,
        typer.Argument(help="Tickets in the shape of FlexMatch's StartMatchmaking. --explain needs none."),
    ] = None,
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
    why: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Say why this ticket has no match: which rule turned whom away, and the least change that "
            "would have matched it.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Say what each rule became: how the rule set is matched, and what is slow.")
    ] = False,
    as_json: AsOneJson = False,
) -> None:
    """Run a rule set on a file of tickets: the matches, and why each other ticket has none."""
    if explain:
        from matchmaker.plans.why.trial import run_explain

        raise typer.Exit(run_explain(ruleset, as_json))
    if tickets is None:
        raise typer.BadParameter("name a file of tickets; only --explain needs none", param_hint="TICKETS")
    if why is not None:
        compile_parts({"flexmatch", "plans", "why"})
        from matchmaker.plans.why.trial import run_why

        raise typer.Exit(run_why(ruleset, tickets, why, now, as_json, live))
    from matchmaker.plans.matching import match as by_plan
    from matchmaker.rules.flexmatch import trial

    def prepare() -> None:
        compile_parts({"flexmatch", "plans"})

    raise typer.Exit(trial.run(ruleset, tickets, now, seed, as_json, live, by_plan, prepare))


@app.command(name="compile")
def compile_() -> None:
    """Compile all kernels ahead of time, on all cores; the other commands then start at once."""
    if not compile_parts():
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


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def schema(context: typer.Context) -> None:
    """See, upgrade and downgrade the store's schema: launchday schema status|upgrade|downgrade."""
    from meta_service.store.schema_command import app as commands

    read_settings()  # a bad setting is one line here
    raise typer.Exit(commands(context.args, prog_name="launchday schema", standalone_mode=False) or 0)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A file that a game server has recorded.")],
    as_json: AsOneJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it in the browser, on a page of this machine alone.")
    ] = False,
    port: Annotated[
        int, typer.Option(help="Of the page that --watch serves; 0: one that is free.", min=0, max=65_535)
    ] = 0,
) -> None:
    """Replay a recorded match and compare it with the recording, bit for bit; or watch it in the browser."""
    from dedicated_server.recording import replay as replaying
    from dedicated_server.recording.file import RecordingError

    if watch:
        _watch(recording, port)
        return
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
        "mode_changed_since": list(result.changed),
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


def _watch(recording: Path, port: int) -> None:
    """Show a recording in the browser until Ctrl-C."""
    from dedicated_server.fleet.console import replay_page
    from dedicated_server.recording.file import RecordingError

    console = Terminal()

    def say(address: str) -> None:
        console.print(f"{recording.name} is shown at {address}; Ctrl-C ends it")

    try:
        asyncio.run(replay_page.watch(recording, port, SystemClock(), say))
    except KeyboardInterrupt:
        pass  # it was to end
    except (RecordingError, OSError) as error:
        reason = (
            str(error) if isinstance(error, RecordingError) else f"{error.strerror or error}: {recording}"
        )
        raise CommandError(reason) from error


def main() -> None:
    """Run the command line; print every error of ours as one line on standard error."""
    startup.prepare()
    sys.argv[1:], said = renewed(sys.argv[1:])
    if said:
        Terminal(stderr=True).print(said, style="yellow")
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()


if __name__ == "__main__":
    main()
