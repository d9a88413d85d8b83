"""Launch day in virtual time in several sizes: wall time, memory, how they grow, and whether a seed gives the same bytes twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from loadtest.bench.errors import BenchError
from loadtest.bench.harness.statistics import fitted_exponent

SCENARIO = "launch_day"
TOLD = ("players", "virtual_s", "wall_s", "peak_rss_mb", "wait_s", "matched", "abandoned", "servers_peak", "cost", "digest")  # fmt: skip
MISSED = 99  # the command's exit code where an objective is missed, which is a result too


def run(scales: Sequence[float] = (0.1, 1.0, 10.0)) -> dict[str, Any]:
    """Simulate each size once, and the first once more; raises BenchError."""
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
    """One run of the command in a process of its own, so that its memory is its own."""
    command = [
        sys.executable,
        "-m",
        "launchday.cli.main",
        "simulate",
        SCENARIO,
        "--json",
        "--scale",
        str(scale),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, MISSED):
        raise BenchError(done.stderr.strip() or f"simulate ended with {done.returncode}")
    found = json.loads(done.stdout)
    return {name: found[name] for name in TOLD}
