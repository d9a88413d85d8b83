"""``simulation``, ``theory``, ``ratings`` and ``netem``: what holds of the simulator, of ratings and of
emulated links.

Nothing here needs a backend or a match.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from launchday import outputs
from loadtest.bench.harness.statistics import fitted_exponent
from loadtest.bots import netem
from loadtest.errors import BenchError, NetemUnavailableError
from loadtest.scenario.link_profiles import profiles
from loadtest.simulate.convergence import LUCK, Point, converge
from loadtest.simulate.plan import RETRY_S
from loadtest.simulate.simulator import simulate as simulate_setup
from loadtest.simulate.theory import long_checks, queueing_model
from loadtest.simulate.warm_pool import CONSTANT

SCENARIO: Final = "launch_day"
# Exit code of ``simulate`` where an objective is missed: the figures are good nevertheless
MISSED: Final = 99
SIMULATED: Final = (
    "players",
    "virtual_s",
    "wall_s",
    "peak_rss_mb",
    "wait_s",
    "matched",
    "abandoned",
    "servers_peak",
    "cost",
    "digest",
)
PAIRS_SERVERS, PAIRS_LOAD, PAIRS_MATCH_S = 5, 0.8, 20.0
SHOWN_MATCHES: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def run_simulation(scales: Sequence[float] = (0.1, 1.0, 10.0)) -> dict[str, Any]:
    """Simulate launch day once in each size, and in the first size once more.

    Args:
        scales: factors for the scenario's million players and its servers.

    Returns:
        What is printed: wall time and memory of each size, how wall time grows, and whether a seed gives the
            same run
        twice.

    Raises:
        BenchError: a simulation fails.
    """
    points = [simulate(scale) for scale in scales]
    again = simulate(scales[0])
    return {
        "bench": "simulation",
        "points": points,
        "growth_exponent": fitted_exponent(
            [point["players"] for point in points], [point["wall_s"] for point in points]
        ),
        "same_bytes_twice": again["digest"] == points[0]["digest"],
    }


def simulate(scale: float) -> dict[str, Any]:
    """Run ``launchday simulate`` in a process of its own, so that its memory is its own.

    Raises BenchError.
    """
    command = [sys.executable, "-m", "launchday.cli", "simulate", SCENARIO, "--json", "--scale", str(scale)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, MISSED):
        raise BenchError(done.stderr.strip() or f"simulate ended with exit code {done.returncode}")
    found = json.loads(done.stdout)
    return {name: found[name] for name in SIMULATED}


def run_theory(seeds: int = 20, arrivals: int = 40_000) -> dict[str, Any]:
    """Run every check of the simulator against queueing theory.

    Args:
        seeds: runs of each check.
        arrivals: of each run.

    Returns:
        What is printed: a point for each check, how many hold, and what it saves that the fleet says when it
            has a server.
    """
    checks = long_checks(seeds, arrivals)
    return {
        "bench": "theory",
        "points": [check.as_json() for check in checks],
        "checks": len(checks),
        "hold": sum(check.holds for check in checks),
        "pairs_wait_s": (waits := compare_openings(seeds)),
        "saved_by_openings": round(1.0 - waits["told"] / waits["asking"], 3),
    }


def compare_openings(seeds: int = 20, arrivals: int = 10_000) -> dict[str, float]:
    """Return the mean wait, in seconds, of pairs for five servers at 80 % of what they can take.

    Args:
        seeds: runs, of which the mean is taken.
        arrivals: players of each.

    Returns:
        ``asking``: where a region without a server is asked every half second; ``told``: where the fleet says
            when it has one; ``servers_alone``: where every match asks in every cycle.
    """
    waits = dict.fromkeys(("asking", "told", "servers_alone"), 0.0)
    for seed in range(1, seeds + 1):
        setup = queueing_model(
            arrivals=arrivals,
            per_s=PAIRS_LOAD * PAIRS_SERVERS * 2 / PAIRS_MATCH_S,
            seed=seed,
            players=2,
            servers=PAIRS_SERVERS,
            match_s=PAIRS_MATCH_S,
            match_shape=CONSTANT,
            period_s=0.1,
        )
        for name, retry_s in (("asking", RETRY_S), ("told", RETRY_S), ("servers_alone", 0.0)):
            parameters = setup.parameters._replace(retry_s=retry_s, openings=name == "told")
            world = simulate_setup(replace(setup, parameters=parameters)).world
            waits[name] += float((world.records.assigned_s - world.tickets.arrives_s).mean())
    return {name: round(total / seeds, 3) for name, total in waits.items()}


def run_ratings(
    players: int = 400,
    match_players: int = 100,
    matches: int = 100,
    seed: int = 1,
    report: Path | None = None,
) -> dict[str, Any]:
    """Let new players of known skill play, and measure how far off their ratings are, match by match.

    Args:
        players: how many.
        match_players: of a match.
        matches: that each plays.
        seed: of skills and matches.
        report: where the page with the curve goes, or None.

    Raises:
        OutputError: the page cannot be written, as is known before the start.
    """
    outputs.check(report)
    points = list(converge(players, match_players, matches, seed))
    written = outputs.Outputs()
    if report is not None:
        from loadtest.simulate.pages.convergence_page import render_convergence

        page = render_convergence(points, players, match_players, seed)
        written.attempt(lambda: outputs.write_whole(report, page))
    return {
        "bench": "ratings",
        **({"not_written": written.failures} if written.failures else {}),
        "players": players,
        "match_players": match_players,
        "seed": seed,
        "luck": LUCK,
        "points": [points[at].as_json() for at in sorted({*SHOWN_MATCHES, matches}) if at < len(points)],
        "error_before": round(points[0].error, 3),
        "error_after": round(points[-1].error, 3),
        "converges": error_falls(points),
    }


def error_falls(points: list[Point]) -> bool:
    """Return whether each doubling of the matches played lessens the error."""
    marks = [points[0]] + [
        points[1 << power] for power in range(len(points).bit_length()) if 1 << power < len(points)
    ]
    return all(later.error < earlier.error for earlier, later in itertools.pairwise(marks))


def run_netem(seconds: float = 15.0) -> dict[str, Any]:
    """Send ``seconds`` of datagrams through each link profile, emulated here and by the kernel's ``tc
    netem``.

    Raises:
        BenchError: the process is not root, or the kernel has no sch_netem.
    """
    try:
        return {"bench": "netem", "points": netem.compare(profiles(), seconds)}
    except NetemUnavailableError as error:
        raise BenchError(str(error)) from error
