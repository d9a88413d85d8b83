"""Chaos run of the meta service: kill -9 and stop its parts under load, again and again; nothing acknowledged
may be lost.

``launchday chaos meta`` prints one JSON object per run. It returns 0 where the checker found nothing wrong,
and 1 where it did.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launchday import startup
from launchday.terminal import Terminal
from loadtest.chaos.meta_backend import PAUSE_S, TARGETS, MetaBackend
from loadtest.errors import ChaosError


def run_chaos(
    targets: Sequence[str], kills: int, seed: int, folder: Path, pause_s: float = PAUSE_S
) -> dict[str, Any]:
    """Hit each target ``kills`` times, in turns, under one load.

    Args:
        targets: of TARGETS.
        kills: or pauses, of each.
        seed: of every random draw.
        folder: of data, logs and the log of operations.
        pause_s: seconds for which the targets of PAUSES are stopped.

    Returns:
        What was done, and what the checker found wrong, by rule.
    """
    began = time.monotonic()
    with MetaBackend(folder, seed) as backend:
        for _ in range(kills):
            for target in targets:
                backend.hit(target, pause_s)
        backend.drain()
        checked = backend.check()
    if not checked.stdout:
        raise ChaosError(f"the checker failed: {checked.stderr}")
    done = {"chaos": ",".join(targets), "kills_each": kills, "seed": seed}
    return {**done, "seconds": round(time.monotonic() - began), **json.loads(checked.stdout)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and keep the operations and the logs where something is wrong."""
    parser = argparse.ArgumentParser(prog="launchday chaos meta", description=__doc__)
    parser.add_argument(
        "--target", choices=[*TARGETS, "each", "all"], default="each", help="all: in one run, in turns"
    )
    parser.add_argument("--kills", type=int, default=30, help="or pauses, of each target (default: 30)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    match given.target:
        case "each":
            runs: list[Sequence[str]] = [(target,) for target in TARGETS]
        case "all":
            runs = [TARGETS]
        case target:
            runs = [(target,)]
    failed = False
    for targets in runs:
        folder = Path(tempfile.mkdtemp(prefix="launchday-chaos-"))
        found = run_chaos(targets, given.kills, given.seed, folder)
        print(json.dumps(found), flush=True)
        if found["wrong"]:
            failed = True
            Terminal(stderr=True).print(f"operation log and logs: {folder}")
        else:
            shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
