"""``launchday bench NAME``: one benchmark; ``--json`` prints one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from loadtest.bench.errors import BenchError

# The benchmarks are imported when they are run: the engine's kernels cost a second.

ERROR = 1

app = typer.Typer(
    name="bench",
    help="Measure the hot paths: real processes, real sockets, beside each figure the floor.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Players = Annotated[int, typer.Option(min=3, max=2_000, help="Clients, each with a socket of its own.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to measure, after warming up.")]
Seed = Annotated[int, typer.Option(help="Where players start and what they do.")]


class LayoutName(StrEnum):
    """Where the players are."""

    MAP = "map"
    CLUSTER = "cluster"


class TransportName(StrEnum):
    """How datagrams get in and out."""

    MMSG = "mmsg"
    ASYNCIO = "asyncio"


@app.command()
def tick(
    players: Players = 100,
    layout: Annotated[
        LayoutName, typer.Option(help="Spread over 2 km × 2 km, or all in one spot.")
    ] = LayoutName.MAP,
    seconds: Seconds = 10.0,
    transport: Annotated[TransportName, typer.Option(help="The server's.")] = TransportName.MMSG,
    seed: Seed = 1,
    events: Annotated[
        int,
        typer.Option(
            min=0,
            max=20_000,
            help="Kills and deaths a second, told to Kafka in every other block of 0.4 s.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """One match at 60 Hz: what a tick takes, and what the kernel alone takes for the same datagrams."""
    from loadtest.bench.harness.layout import LAYOUTS
    from loadtest.bench.tick import tick as bench

    if events:
        _print(lambda: bench.run_with_events(players, LAYOUTS[layout], seconds, events, seed=seed), as_json)
        return
    _print(
        lambda: bench.run(players, LAYOUTS[layout], seconds, seed=seed, transport=transport.value), as_json
    )


@app.command()
def scale(
    sizes: Annotated[str, typer.Option(help="Players of each match.")] = "100,200,400,800,1600",
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="How long to measure each.")] = 3.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Matches of growing size at one density: how the tick grows."""
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
    """How many bits the snapshots take."""
    from loadtest.bench.tick import wire as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def transport(players: Players = 100, seconds: Seconds = 8.0, as_json: AsJson = False) -> None:
    """A tick's datagrams through both transports and through the kernel alone."""
    from loadtest.bench.tick import transport as bench

    _print(lambda: bench.run(players, seconds), as_json)


@app.command()
def lossy(players: Players = 100, seconds: Seconds = 20.0, seed: Seed = 1, as_json: AsJson = False) -> None:
    """A match over bad lines, 100 ms there and back, 20 ms of jitter, 5 % lost in bursts: what is shown and heard."""
    from loadtest.bench.tick import lossy as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def capture(
    players: Annotated[int, typer.Option(min=3, max=200, help="Clients.")] = 20,
    seconds: Seconds = 10.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Listen to a match on the loopback with tshark: whether anything of it can be read."""
    from loadtest.bench.tick import capture as bench

    _print(lambda: bench.run(players, seconds, seed=seed), as_json)


@app.command()
def cipher(as_json: AsJson = False) -> None:
    """What sealing and opening a datagram take with each of the two ciphers."""
    from loadtest.bench.tick import cipher as bench

    _print(bench.run, as_json)


@app.command()
def hostile(
    players: Players = 100,
    bad: Annotated[
        int, typer.Option(min=60, max=500_000, help="Bad datagrams a second, in every other second.")
    ] = 50_000,
    seconds: Seconds = 44.0,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """A match under fire: what a million hostile datagrams, and clients that cheat, cost the tick."""
    from loadtest.bench.tick import hostile as bench

    _print(lambda: bench.run(players, bad, seconds, seed=seed), as_json)


@app.command()
def meta(seconds: Seconds = 5.0, as_json: AsJson = False) -> None:
    """Check-outs, reads, purchases and the write-behind of the meta service, beside a bare pipeline."""
    from loadtest.bench.meta import meta as bench

    _print(lambda: {"bench": "meta"} | bench.run(seconds), as_json)


@app.command()
def matching(
    tickets: Annotated[int, typer.Option(min=10, max=5_000_000, help="Tickets in the pool.")] = 100_000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """One matching cycle over a whole pool, and how good its matches are, beside two simpler matchers."""
    from loadtest.bench.matchmaker import matching as bench

    _print(lambda: bench.run(tickets, seed), as_json)


class PathName(StrEnum):
    """How far from the players the measuring begins."""

    HTTP = "http"
    QUEUE = "queue"


@app.command()
def queue(
    rate: Annotated[float, typer.Option(min=1, max=20_000, help="Players who come a second.")] = 1_667.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long they come.")] = 60.0,
    path: Annotated[PathName, typer.Option(help="Over HTTP, or what lies behind it alone.")] = PathName.HTTP,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Players come at a rate to the real API, cache and director: waits, losses, and the cores it takes."""
    from loadtest.bench.matchmaker import queue as bench

    _print(lambda: bench.run(rate, seconds, path=path.value, seed=seed), as_json)


@app.command()
def queue_chaos(
    kills: Annotated[int, typer.Option(min=0, max=1_000, help="Directors killed with -9.")] = 50,
    restarts: Annotated[int, typer.Option(min=0, max=100, help="Times the cache is killed and started.")] = 5,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Kill directors and the cache under players who queue, then audit what became of each ticket and server."""
    from loadtest.bench.matchmaker import queue_chaos as bench

    _print(lambda: bench.run(kills, restarts, seed), as_json)


@app.command()
def theory(
    seeds: Annotated[int, typer.Option(min=4, max=60, help="Runs of each check.")] = 20,
    arrivals: Annotated[int, typer.Option(min=1_000, help="Arrivals of each run.")] = 40_000,
    as_json: AsJson = False,
) -> None:
    """The simulator against Erlang's formulas, Little's law and the lobby's."""
    from loadtest.bench import theory as bench

    _print(lambda: bench.run(seeds, arrivals), as_json)


@app.command()
def agreement(
    seconds: Annotated[
        float, typer.Option(min=10.0, max=600.0, help="Into which the arrivals are squeezed.")
    ] = 600.0,
    report: Annotated[Path | None, typer.Option(help="Write a page with both curves to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """The rehearsal flooded for real and simulated: do both tell the same?"""
    from loadtest.bench import agreement as bench

    _print(lambda: bench.run(seconds, report), as_json)


@app.command()
def netem(
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Of datagrams, each line.")] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Our emulated lines beside the kernel's own, tc netem: as root, on a kernel with sch_netem."""
    from loadtest.bench import netem as bench

    _print(lambda: bench.run(seconds), as_json)


@app.command()
def ratings(
    players: Annotated[int, typer.Option(min=10, max=20_000, help="How many players, all new.")] = 400,
    match_players: Annotated[int, typer.Option(min=2, max=1_000, help="Players of a match.")] = 100,
    matches: Annotated[int, typer.Option(min=1, max=2_000, help="That each plays.")] = 100,
    seed: Seed = 1,
    report: Annotated[Path | None, typer.Option(help="Write a page with the curve to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Players of known skill, matched by the real kernel and rated by the real ratings: how soon ratings tell the skill."""
    from loadtest.bench import ratings as bench

    if match_players > players:
        raise typer.BadParameter("a match cannot have more players than there are")
    _print(lambda: bench.run(players, match_players, matches, seed, report), as_json)


@app.command()
def simulation(
    scales: Annotated[str, typer.Option(help="Sizes, in times of launch day's million.")] = "0.1,1,10",
    as_json: AsJson = False,
) -> None:
    """Launch day in virtual time in several sizes, each in a process of its own: time, memory, and how they grow."""
    from loadtest.bench import simulation as bench

    try:
        sizes = [float(scale) for scale in scales.split(",")]
    except ValueError:
        raise typer.BadParameter("numbers with commas between them, such as 0.1,1,10") from None
    if len(sizes) < 2 or not all(0.001 <= size <= 20 for size in sizes):
        raise typer.BadParameter("at least two sizes, each from 0.001 to 20")
    _print(lambda: bench.run(sizes), as_json)


@app.command()
def fleet(
    allocations: Annotated[
        int, typer.Option(min=3, max=10_000_000, help="Servers that three directors take at once.")
    ] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Game servers: how fast they start and are given away, and what a hundred idle ones cost."""
    from loadtest.bench.fleet import fleet as bench

    _print(lambda: {"bench": "fleet"} | bench.run(allocations), as_json)


@app.command()
def rewards(
    events: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="How many events.")] = 150_000,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How many times to measure each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Events from Kafka to their effects in PostgreSQL, beside reading alone and storing alone."""
    from loadtest.bench.rewards import rewards as bench

    _print(lambda: bench.run(events, rounds), as_json)


@app.command(name="all")
def run_all(as_json: AsJson = False) -> None:
    """Every benchmark with its defaults, the tick in three layouts."""
    for run in _every_benchmark():
        _print(run, as_json)


def _every_benchmark() -> Iterator[Callable[[], dict[str, Any]]]:
    from loadtest.bench import agreement, ratings, simulation, theory
    from loadtest.bench.fleet import fleet
    from loadtest.bench.harness.layout import CLUSTER, MAP
    from loadtest.bench.matchmaker import matching, queue, queue_chaos
    from loadtest.bench.meta import meta
    from loadtest.bench.rewards import rewards
    from loadtest.bench.tick import cipher, hostile, lossy, scale, tick, transport, wire

    yield lambda: tick.run(100, MAP, 10.0)
    yield lambda: tick.run(100, CLUSTER, 10.0)
    yield lambda: tick.run(400, CLUSTER, 10.0)
    yield scale.run
    yield wire.run
    yield transport.run
    yield cipher.run
    yield lossy.run
    yield hostile.run
    yield lambda: tick.run_with_events(100, MAP, 120.0, 1_000)
    yield lambda: {"bench": "meta"} | meta.run()
    yield lambda: matching.run(100_000)
    yield lambda: queue.run(1_667.0, 60.0)
    yield lambda: queue.run(0.0, 0.0, path="queue")
    yield queue_chaos.run
    yield lambda: {"bench": "fleet"} | fleet.run()
    yield rewards.run
    yield simulation.run
    yield theory.run
    yield ratings.run
    yield agreement.run


def _print(run: Callable[[], dict[str, Any]], as_json: bool) -> None:
    from loadtest.bench.show import show

    progress = Console(stderr=True)
    try:
        with progress.status("measuring (the first time, kernels are compiled: about a minute)"):
            found = run()
    except BenchError as error:
        progress.print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(ERROR) from None
    if as_json:
        print(json.dumps(found), flush=True)
    else:
        show(found, Console())


if __name__ == "__main__":
    app()
