"""``launchday bench NAME`` runs one benchmark; ``--json`` prints one JSON object in one line."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from launchday import startup
from launchday.terminal import Terminal, run_command, show_error
from loadtest.errors import LoadTestError

# A benchmark is imported when it is run: importing the engine's kernels takes a second.

ERROR = 1
FUZZ_S = 600.0

app = typer.Typer(
    name="bench",
    help="Measure the hot paths with real processes and sockets, and beside each figure its floor.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Players = Annotated[int, typer.Option(min=3, max=2_000, help="Clients, each with its own socket.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=600.0, help="Seconds to measure, after the warm-up.")]
Seed = Annotated[int, typer.Option(help="Of where players start and what they do.")]


class LayoutName(StrEnum):
    """Where the players are."""

    MAP = "map"
    CLUSTER = "cluster"


class TransportName(StrEnum):
    """How datagrams get in and out."""

    MMSG = "mmsg"
    ASYNCIO = "asyncio"


class SnapshotHz(StrEnum):
    """Snapshots a second."""

    EVERY_TICK = "60"
    EVERY_SECOND_TICK = "30"
    EVERY_FOURTH_TICK = "15"


@app.callback()
def log_to_stderr(context: typer.Context) -> None:
    """Keep what parts of ours log out of the figures on standard output."""
    context.with_resource(_logs_on_stderr())


@contextlib.contextmanager
def _logs_on_stderr() -> Iterator[None]:
    import structlog

    before = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


@app.command()
def tick(
    players: Players = 100,
    layout: Annotated[
        LayoutName, typer.Option(help="Players spread over 2 km × 2 km, or all in one spot.")
    ] = LayoutName.MAP,
    seconds: Seconds = 10.0,
    transport: Annotated[TransportName, typer.Option(help="Of the server.")] = TransportName.MMSG,
    seed: Seed = 1,
    snapshot_hz: Annotated[
        SnapshotHz, typer.Option(help="Snapshots a second of each client; fewer under overload.")
    ] = SnapshotHz.EVERY_TICK,
    floor: Annotated[
        bool, typer.Option(help="Whether the system calls alone take turns with the ticks.")
    ] = True,
    events: Annotated[
        int,
        typer.Option(
            min=0,
            max=20_000,
            help="Kill and death events a second, sent to Kafka in every other block of 0.4 s.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Time of a tick in one match at 60 Hz, beside that of the system calls alone for the same datagrams."""
    from dedicated_server.protocol.fields import TICK_HZ
    from loadtest.bench.harness.run_config import LAYOUTS
    from loadtest.bench.tick import tick as bench

    if events:
        _print(lambda: bench.run_with_events(players, LAYOUTS[layout], seconds, events, seed=seed), as_json)
        return
    _print(
        lambda: bench.run(
            players,
            LAYOUTS[layout],
            seconds,
            seed=seed,
            transport=transport.value,
            snapshot_every=TICK_HZ // int(snapshot_hz.value),
            floor=floor,
        ),
        as_json,
    )


@app.command()
def scale(
    sizes: Annotated[
        str, typer.Option(help="Players of each match, with commas between.")
    ] = "100,200,400,800,1600",
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds to measure each.")] = 3.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Time of a tick in matches of growing size at one density, and the exponent of its growth."""
    from loadtest.bench.tick import scale as bench

    try:
        counts = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise typer.BadParameter("numbers with commas between them, such as 100,200") from None
    if len(counts) < 2 or min(counts) < 3 or max(counts) > 2_000:
        raise typer.BadParameter("at least two sizes, each from 3 to 2000")
    _print(lambda: bench.run(counts, seconds, seed=seed), as_json)


@app.command()
def wire(players: Players = 100, seconds: Seconds = 10.0, seed: Seed = 1, as_json: AsJson = False) -> None:
    """Size of the snapshots in bits, beside uncompressed state."""
    from loadtest.bench.tick import wire as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def transport(players: Players = 100, seconds: Seconds = 8.0, as_json: AsJson = False) -> None:
    """Time of a tick's datagrams through both transports, beside the system calls alone."""
    from loadtest.bench.tick import transport as bench

    _print(lambda: bench.run(players, seconds), as_json)


@app.command()
def lossy(players: Players = 100, seconds: Seconds = 20.0, seed: Seed = 1, as_json: AsJson = False) -> None:
    """A match over lossy links (100 ms round trip, 20 ms jitter, 5 % lost in bursts): errors of what clients
    show.
    """
    from loadtest.bench.tick import lossy as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def roaming(
    players: Annotated[int, typer.Option(min=1, max=200, help="Clients.")] = 20,
    seconds: Seconds = 30.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """How soon players are back whose address changes in a match, or who start their client again."""
    from loadtest.bench.tick import roaming as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def words(
    only: Annotated[str, typer.Option(help="Reasons, with commas between; all where it is left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Each reason for which a server parts from a player, provoked: whether it is heard, and in the ledger.
    Exits with code 1 where one does not arrive.
    """
    from loadtest.bench.options import Options
    from loadtest.bench.words import words as bench

    if not _print(lambda: bench.run(Options(only=_names(only))), as_json)["passed"]:
        raise typer.Exit(ERROR)


@app.command()
def handshakes(as_json: AsJson = False) -> None:
    """What 256 answered challenges in one tick cost it, with 100 and with 1,600 players."""
    from loadtest.bench.tick import handshakes as bench

    _print(bench.run, as_json)


@app.command()
def jitter(
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Seconds of each line.")] = 40.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """How evenly others see a player run over uneven lines, in emulated time. Exits with code 1 where that is
    not within its bounds.
    """
    from loadtest.bench.tick import jitter as bench

    if not _print(lambda: bench.run(seconds, seed=seed), as_json)["within"]:
        raise typer.Exit(ERROR)


@app.command()
def idle(
    players: Annotated[int, typer.Option(min=3, max=200, help="Clients.")] = 10,
    seconds: Seconds = 24.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Share of a core that a small match takes, spun for as before and paced as it is."""
    from loadtest.bench.tick import idle as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def capture(
    players: Annotated[int, typer.Option(min=3, max=200, help="Clients.")] = 20,
    seconds: Seconds = 10.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Capture a match with tshark; check that its payloads are unreadable and that a plaintext control is
    readable.
    """
    from loadtest.bench.tick import capture as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def cipher(as_json: AsJson = False) -> None:
    """Time to seal and to open a datagram with each of the two ciphers."""
    from loadtest.bench.tick import cipher as bench

    _print(bench.run, as_json)


@app.command()
def hostile(
    players: Players = 100,
    bad: Annotated[
        int, typer.Option(min=60, max=500_000, help="Hostile datagrams a second, in every other second.")
    ] = 50_000,
    seconds: Seconds = 44.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Time of a tick under a million hostile datagrams and cheating clients, beside quiet ticks of the same
    run.
    """
    from loadtest.bench.tick import hostile as bench

    _print(lambda: bench.run(players, bad, seconds, seed=seed), as_json)


@app.command()
def mutated(
    datagrams: Annotated[
        int, typer.Option(min=1_000, max=100_000_000, help="Mutated datagrams that the server gets.")
    ] = 1_000_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """A million mutated datagrams of every kind: what they change, and what is sent to who has answered
    nothing.
    """
    from loadtest.bench.mutations import mutated as bench

    _print(lambda: bench.run(datagrams, seed=seed), as_json)


@app.command()
def meta(seconds: Seconds = 5.0, as_json: AsJson = False) -> None:
    """Check-outs, reads, purchases and write-behind of the meta service, beside a bare pipeline."""
    from loadtest.bench.meta import meta as bench

    _print(lambda: bench.run(seconds), as_json)


@app.command()
def players(
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Rounds, each ended by an audit.")] = 10,
    operations: Annotated[int, typer.Option(min=1, max=1_000_000, help="Operations a round.")] = 10_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Random operations of players, operators and game servers side by side, then an audit: wallets, items,
    tiers, boards, names, bans. Exits with code 1 where anything is wrong.
    """
    from loadtest.bench.players import players as bench

    if _print(lambda: bench.run(rounds, operations, seed), as_json)["wrong"]:
        raise typer.Exit(ERROR)


@app.command()
def matching(
    tickets: Annotated[int, typer.Option(min=10, max=5_000_000, help="Tickets in the pool.")] = 100_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Time and match quality of one matching cycle over a whole pool, beside two simpler matchers."""
    from loadtest.bench.matchmaker import matching as bench

    _print(lambda: bench.run(tickets, seed), as_json)


@app.command()
def rules(
    only: Annotated[str, typer.Option(help="Cases, with commas between.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Rule sets and tickets whose matches are known: a line a case that is wrong, and how many are right."""
    from loadtest.bench.matchmaker import rules as bench

    _print_lines(lambda: bench.run(_names(only)), as_json)


@app.command(name="rule-sets")
def rule_sets(
    tickets: Annotated[
        int | None, typer.Option(min=10, max=1_000_000, help="Tickets in the pool; four sizes without it.")
    ] = None,
    name: Annotated[str | None, typer.Option("--set", help="One of the rule sets; all without it.")] = None,
    properties: Annotated[
        int | None, typer.Option(min=0, max=1_000_000, help="Instead: try so many random rule sets.")
    ] = None,
    seed: Seed = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Forty rule sets: time of a cycle and players seated, every match judged by the guide's words."""
    from loadtest.bench.matchmaker.rule_sets import measuring
    from loadtest.bench.matchmaker.rule_sets import properties as trials

    if properties is not None:
        _print_lines(lambda: trials.run(properties), as_json)
        return
    _print_lines(lambda: measuring.run(tickets, name, seed), as_json)


class PathName(StrEnum):
    """Where the measurement begins: at the HTTP API, or behind it."""

    HTTP = "http"
    QUEUE = "queue"


@app.command()
def queue(
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Players who arrive a second.")] = 1_667.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Seconds during which they arrive.")] = 60.0,
    path: Annotated[PathName, typer.Option(help="Over HTTP, or only what lies behind it.")] = PathName.HTTP,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Waits, losses and used cores while players arrive at a rate at the real API, cache and director."""
    from loadtest.bench.matchmaker import queue as bench

    _print(lambda: bench.run(rate, seconds, path=path.value, seed=seed), as_json)


@app.command()
def queue_chaos(
    kills: Annotated[int, typer.Option(min=0, max=1_000, help="Directors killed with SIGKILL.")] = 50,
    restarts: Annotated[
        int, typer.Option(min=0, max=100, help="Times the cache is killed and restarted.")
    ] = 5,
    pauses: Annotated[
        int, typer.Option(min=0, max=100, help="Directors stopped for a while and woken.")
    ] = 10,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Kill and stop directors and the cache while players queue, then audit all tickets and servers."""
    from loadtest.bench.matchmaker import queue_chaos as bench

    _print(lambda: bench.run(kills, restarts, pauses, seed), as_json)


@app.command()
def theory(
    seeds: Annotated[int, typer.Option(min=4, max=60, help="Runs of each check.")] = 20,
    arrivals: Annotated[int, typer.Option(min=1_000, help="Arrivals of each run.")] = 40_000,
    as_json: AsJson = False,
) -> None:
    """Check the simulator against Erlang's formulas, Little's law and the fill time of a lobby."""
    from loadtest.bench import simulation_checks

    _print(lambda: simulation_checks.run_theory(seeds, arrivals), as_json)


@app.command()
def simulated_hour(
    players: Annotated[int, typer.Option(min=1_000, help="Of the hour, in all five modes.")] = 40_000,
    fives: Annotated[
        int, typer.Option(min=500, help="Of the rule set that ships, by kernel and by plan.")
    ] = 6_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate an hour of a day with five rule sets, and the shipped one by the kernel and by its plan."""
    from loadtest.bench import simulated_hour as bench

    _print(lambda: bench.run(players, fives, seed), as_json)


@app.command()
def modes(
    matches: Annotated[int, typer.Option(min=1, max=100_000, help="Of 16 bots, without a network.")] = 100,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Play capture the flag a hundred times without a network: captures of both sides, and who wins."""
    from loadtest.bench import modes as bench

    _print(lambda: bench.run(matches, seed), as_json)


@app.command()
def agreement(
    scenario: Annotated[
        list[str] | None, typer.Option(help="One of the scenarios; repeat it for several. All without it.")
    ] = None,
    floods: Annotated[int, typer.Option(min=1, max=99, help="Floods of each; the median counts.")] = 3,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Compare one flood of the rehearsal in more detail instead.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=10.0, max=600.0, help="Of the rehearsal: in which all players arrive.")
    ] = 600.0,
    report: Annotated[
        Path | None, typer.Option(help="Of the rehearsal: write a page with both curves to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a scenario.")] = False,
) -> None:
    """Flood a real backend with scenarios, simulate them too, and compare waits, tickets and matches."""
    from loadtest.bench import agreement as bench

    if rehearsal or report is not None:
        _print(lambda: bench.rehearse(seconds, report), as_json)
        return
    names = list(bench.SCENARIOS) if scenario is None else list(dict.fromkeys(scenario))
    if unknown := [name for name in names if name not in bench.SCENARIOS]:
        raise typer.BadParameter(f"{', '.join(unknown)}: the scenarios are {', '.join(bench.SCENARIOS)}")
    lines = bench.run(names, floods)
    for _ in range(len(names) + 1):
        _print(lambda: next(lines), as_json)


@app.command()
def netem(
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="Seconds of datagrams for each link profile.")
    ] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Emulated links beside the kernel's own, tc netem; needs root and a kernel with sch_netem."""
    from loadtest.bench import simulation_checks

    _print(lambda: simulation_checks.run_netem(seconds), as_json)


@app.command()
def ratings(
    players: Annotated[int, typer.Option(min=10, max=20_000, help="New players.")] = 400,
    match_players: Annotated[int, typer.Option(min=2, max=1_000, help="Players of a match.")] = 100,
    matches: Annotated[int, typer.Option(min=1, max=2_000, help="Matches that each player plays.")] = 100,
    seed: Seed = 1,
    report: Annotated[Path | None, typer.Option(help="Write a page with the curve to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """How soon ratings converge to skill: new players of known skill, the real matching kernel, the real
    ratings.
    """
    from loadtest.bench import simulation_checks

    if match_players > players:
        raise typer.BadParameter("a match cannot have more players than --players")
    _print(lambda: simulation_checks.run_ratings(players, match_players, matches, seed, report), as_json)


@app.command()
def simulation(
    scales: Annotated[
        str, typer.Option(help="Sizes as factors of launch day's million players.")
    ] = "0.1,1,10",
    as_json: AsJson = False,
) -> None:
    """Time and memory of simulating launch day in several sizes, each in a process of its own."""
    from loadtest.bench import simulation_checks

    try:
        sizes = [float(scale) for scale in scales.split(",")]
    except ValueError:
        raise typer.BadParameter("numbers with commas between them, such as 0.1,1,10") from None
    if len(sizes) < 2 or not all(0.001 <= size <= 20 for size in sizes):
        raise typer.BadParameter("at least two sizes, each from 0.001 to 20")
    _print(lambda: simulation_checks.run_simulation(sizes), as_json)


@app.command()
def fleet(
    allocations: Annotated[
        int, typer.Option(min=3, max=10_000_000, help="Servers that three directors allocate at once.")
    ] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Start-up and allocation of game servers, and the cost of a hundred idle ones."""
    from loadtest.bench.fleet import fleet as bench

    _print(lambda: bench.run(allocations), as_json)


@app.command()
def rewards(
    events: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="Number of events.")] = 150_000,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Measurements of each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Rate of events from Kafka to their effects in PostgreSQL, beside reading alone and storing alone."""
    from loadtest.bench.rewards import rewards as bench

    _print(lambda: bench.run(events, rounds), as_json)


@app.command(name="http-target")
def http_target(
    requests: Annotated[int, typer.Option(min=100, max=1_000_000, help="Requests of each round.")] = 10_000,
    players: Annotated[int, typer.Option(min=8, max=20_000, help="Players of each round's flood.")] = 2_000,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds, of which the best counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Requests a second and core of the generator on a target, beside bare sockets and another client."""
    from loadtest.bench import http_target as bench

    _print(lambda: bench.run(requests, players, rounds), as_json)


@app.command()
def fuzz(
    seconds: Annotated[float, typer.Option(min=1.0, max=7200.0, help="Seconds for each API.")] = FUZZ_S,
    only: Annotated[str, typer.Option(help="Of meta, matchmaker, fleet, rewards; commas between.")] = "",
    seed: Seed = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """The four HTTP APIs under requests made of their documents, right and wrong: no 5xx but 503, every error
    problem details.
    """
    from loadtest.bench.fuzz import fuzz as bench

    _print_lines(lambda: bench.run(seconds, _names(only), seed), as_json)


@app.command()
def migrations(
    rows: Annotated[int, typer.Option(min=1_000, max=100_000_000, help="Of each large table.")] = 1_000_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Each step of the schema on a million rows while others write: how long they wait, and for what lock."""
    from loadtest.bench.meta import migrations as bench

    _print(lambda: bench.run(rows, seed), as_json)


@app.command()
def upgrade(
    old: Annotated[
        str, typer.Option(help="The older release: a revision of this repository, or a wheel.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=20.0, max=3600.0, help="In which the players come.")] = 120.0,
    players: Annotated[int, typer.Option(min=6, max=2_000, help="Of each of the two releases.")] = 60,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Upgrade a backend from an older release under a flood, both side by side: no request may fail."""
    from loadtest.bench.upgrade import upgrade as bench

    _print(lambda: bench.run(old or bench.RELEASED, seconds, players, seed), as_json)


class PartName(StrEnum):
    """The parts of the bench resilience, in the order in which all of them are run."""

    BROWNOUT = "brownout"
    CRASHERS = "crashers"
    FAILOVER = "failover"
    DOUBLE_LOAD = "double_load"
    STOPPED = "stopped"
    DISK = "disk"
    BOUNDED = "bounded"


@app.command()
def resilience(
    part: Annotated[PartName | None, typer.Argument(help="One part; all where it is left out.")] = None,
    players: Annotated[
        int | None, typer.Option(min=20, max=2_000, help="Players of the floods, for a shorter run.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=600.0, help="Length of a measurement or a fault.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Repetitions of a part.")] = None,
    only: Annotated[str, typer.Option(help="Runs or kinds of the part, with commas between.")] = "",
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Bad days of a backend: busy machines, stopped processes, failovers, twice the load, full disks."""
    from loadtest.bench.options import Options
    from loadtest.bench.resilience.harness import run_part

    names = _names(only)
    if names and part is None:
        raise typer.BadParameter("name the part that --only chooses from")
    options = Options(players, seconds, rounds, names, seed)
    for each in PartName if part is None else [part]:
        _print(functools.partial(run_part, each.value, options), as_json)


@app.command()
def environments(
    part: Annotated[str, typer.Argument(help="One part; all where it is left out.")] = "",
    only: Annotated[str, typer.Option(help="Cases, with commas between.")] = "",
    floods: Annotated[bool, typer.Option(help="Start backends and flood them, or only look.")] = True,
    seed: Seed = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a case.")] = False,
) -> None:
    """Machines that are short of something, or odd: each case ends well, or with one line that says what to
    type.
    """
    from loadtest.bench.environments.harness import PARTS, run_part
    from loadtest.bench.options import Options

    if part and part not in PARTS:
        raise typer.BadParameter(f"{part}: the parts are {', '.join(PARTS)}")
    _print_cases(run_part(part or None, Options(only=_names(only), seed=seed, floods=floods)), as_json)


@app.command()
def engines(
    only: Annotated[str, typer.Option(help="Parts, with commas between; all where it is left out.")] = "",
    seed: Seed = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a fault.")] = False,
) -> None:
    """Secured, replicated and sharded engines that lose a part under load: what is lost, and for how long."""
    from loadtest.bench.engines import engines as bench
    from loadtest.bench.options import Options

    _print_lines(lambda: bench.run(Options(only=_names(only), seed=seed)), as_json)


@app.command()
def thin(
    players: Annotated[int, typer.Option(min=2, max=200, help="Clients; every other line is too thin.")] = 20,
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Of the match; it is emulated.")] = 60.0,
    kbit_s: Annotated[float, typer.Option(min=1.0, help="That a thin line carries to its client.")] = 30.0,
    buffer_s: Annotated[float, typer.Option(min=0.0, help="How long a datagram may wait before it.")] = 5.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Lines that are too thin, in emulated time: how far behind players are, and what they are sent."""
    from loadtest.bench.tick import thin as bench

    _print(lambda: bench.run(players, seconds, bench.ThinLine(kbit_s, buffer_s), seed=seed), as_json)


@app.command()
def paths(
    only: Annotated[str, typer.Option(help="Cases, with commas between; all where it is left out.")] = "",
    seconds: Annotated[
        float | None, typer.Option(min=1.0, max=600.0, help="How long a match lasts; as its case says.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a case.")] = False,
) -> None:
    """A match over networks of namespaces: 1:1 NAT, IPv6 alone. Needs root, or users' namespaces."""
    from loadtest.bench import paths as bench
    from loadtest.bench.options import Options

    _print_lines(lambda: bench.run(Options(only=_names(only), seconds=seconds)), as_json)


@app.command()
def tokens(as_json: AsJson = False) -> None:
    """Time to sign a token, to verify it, and to know it again, beside one HMAC."""
    from loadtest.bench.identity import tokens as bench

    _print(bench.run, as_json)


@app.command()
def rotation(seconds: Seconds = 20.0, as_json: AsJson = False) -> None:
    """Rotate the keys of a running backend twice under load; requests that failed, and who was logged out."""
    from loadtest.bench.identity import rotation as bench

    _print(lambda: bench.run(seconds), as_json)


@app.command(name="all")
def run_all(as_json: AsJson = False) -> None:
    """Run every benchmark with its defaults, the tick in three layouts."""
    from loadtest.bench.engines import engines as engines_bench
    from loadtest.bench.environments.harness import run_part
    from loadtest.bench.fuzz import fuzz as fuzz_bench
    from loadtest.bench.matchmaker import rules as rules_bench
    from loadtest.bench.matchmaker.rule_sets import measuring as rule_sets_bench
    from loadtest.bench.matchmaker.rule_sets import properties as properties_bench
    from loadtest.bench.options import Options
    from loadtest.bench.paths import run as run_paths

    for run in _every_benchmark():
        _print(run, as_json)
    _print_lines(rules_bench.run, as_json)
    _print_lines(rule_sets_bench.run, as_json)
    _print_lines(properties_bench.run, as_json)
    _print_lines(lambda: fuzz_bench.run(FUZZ_S), as_json)
    _print_lines(lambda: engines_bench.run(Options()), as_json)
    _print_lines(lambda: run_paths(Options()), as_json)
    _print_cases(run_part(None, Options()), as_json)


def _every_benchmark() -> Iterator[Callable[[], dict[str, Any]]]:
    """Yield every benchmark with its defaults, the cheap ones of each service first."""
    from loadtest.bench import agreement, http_target, simulation_checks
    from loadtest.bench import modes as modes_bench
    from loadtest.bench import simulated_hour as simulated_hour_bench
    from loadtest.bench.fleet import fleet
    from loadtest.bench.harness.run_config import CLUSTER, MAP
    from loadtest.bench.identity import rotation, tokens
    from loadtest.bench.matchmaker import matching, queue, queue_chaos
    from loadtest.bench.meta import meta, migrations
    from loadtest.bench.mutations import mutated
    from loadtest.bench.options import Options
    from loadtest.bench.players import players
    from loadtest.bench.resilience.harness import PARTS, run_part
    from loadtest.bench.rewards import rewards
    from loadtest.bench.tick import (
        cipher,
        handshakes,
        hostile,
        idle,
        jitter,
        lossy,
        roaming,
        scale,
        thin,
        tick,
        transport,
        wire,
    )
    from loadtest.bench.upgrade import upgrade
    from loadtest.bench.words import words

    yield lambda: tick.run(100, MAP, 10.0)
    yield lambda: tick.run(100, CLUSTER, 10.0)
    yield lambda: tick.run(400, CLUSTER, 10.0)
    yield scale.run
    yield wire.run
    yield transport.run
    yield cipher.run
    yield lossy.run
    yield jitter.run
    yield thin.run
    yield hostile.run
    yield idle.run
    yield roaming.run
    yield handshakes.run
    yield words.run
    yield mutated.run
    yield lambda: tick.run_with_events(100, MAP, 120.0, 1_000)
    yield tokens.run
    yield rotation.run
    yield meta.run
    yield migrations.run
    yield upgrade.run
    yield players.run
    yield lambda: matching.run(100_000)
    yield lambda: queue.run(1_667.0, 60.0)
    yield lambda: queue.run(0.0, 0.0, path="queue")
    yield queue_chaos.run
    yield fleet.run
    yield rewards.run
    yield simulation_checks.run_simulation
    yield simulation_checks.run_theory
    yield simulated_hour_bench.run
    yield simulation_checks.run_ratings
    yield http_target.run
    yield modes_bench.run
    yield agreement.rehearse
    for part in PARTS:
        yield functools.partial(run_part, part, Options())


def _print(run: Callable[[], dict[str, Any]], as_json: bool) -> dict[str, Any]:
    """Run a benchmark, print its figures and return them; exits with code 1 where it cannot be run."""
    from loadtest.bench.harness.statistics import print_figures

    progress = Terminal(stderr=True)
    try:
        with progress.status("measuring (the first time, kernels are compiled: about a minute)"):
            found = run()
    except LoadTestError as error:
        raise _failed(error) from None
    if as_json:
        print(json.dumps(found), flush=True)
    else:
        print_figures(found, Terminal())
    if failures := found.get("not_written"):
        show_error(*failures)
        raise typer.Exit(ERROR)
    return found


def _print_cases(cases: Iterator[dict[str, Any]], as_json: bool) -> None:
    """Print each case as soon as it is over. Exits with code 1 where one did not end well."""
    well = True
    try:
        for found in cases:
            well &= found["well"] is not False
            if as_json:
                print(json.dumps(found), flush=True)
            else:
                word = {True: "well", False: "NOT WELL", None: "not run"}[found["well"]]
                Terminal().print(f"{found['name']:<22} {word:<8} {found['said']}")
    except LoadTestError as error:
        raise _failed(error) from None
    if not well:
        raise typer.Exit(ERROR)


def _print_lines(lines: Callable[[], Iterator[dict[str, Any]]], as_json: bool) -> None:
    """Print what is wrong, a line each, and last the counts. Exits with code 1 where anything is wrong."""
    wrong = False
    try:
        for found in lines():
            wrong |= "wrong" in found or found.get("passed") is False
            if as_json:
                print(json.dumps(found), flush=True)
            else:
                Terminal().print(", ".join(f"{name}: {value}" for name, value in found.items()))
    except LoadTestError as error:
        raise _failed(error) from None
    if wrong:
        raise typer.Exit(ERROR)


def _failed(error: LoadTestError) -> typer.Exit:
    show_error(str(error))
    return typer.Exit(ERROR)


def _names(only: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in only.split(",") if name.strip())


if __name__ == "__main__":
    startup.prepare()
    sys.exit(run_command(app))
