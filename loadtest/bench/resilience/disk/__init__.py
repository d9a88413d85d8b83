"""``disk``: each folder that a fleet and its game servers write to is full for a while, under allocations.

Each folder is a small file system of its own, in a mount namespace that this part makes (``unshare -m``), so
nothing of the machine is filled. Per folder: fill it, ask for matches and let matches end, make room again.
Then nothing may be there in half, no server may have been taken without a match, and allocations and the
folder's own files come again by themselves. The meta service is a stand-in, and Kafka is away, so that events
and results have to be kept on the disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from loadtest.bench.options import Options
from loadtest.bench.resilience.harness import Limit
from loadtest.errors import BenchError

FOLDERS = ("fleet", "logs", "spool", "results", "recordings", "spectator")
WORLD_S = 460.0  # for all folders

LIMITS = (
    Limit("half_written", at_most=0),
    Limit("servers_burnt", at_most=0),
    Limit("back_s", at_most=10.0),
)


def run(options: Options) -> dict[str, Any]:
    """Fill each folder and let it go.

    ``options.only`` chooses from FOLDERS, ``options.seconds`` is how long each is full.
    """
    chosen = options.chosen(FOLDERS)
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    command = [*namespace, sys.executable, "-m", "loadtest.bench.resilience.disk.world"]
    command.append(json.dumps({**asdict(options), "only": chosen}))
    try:
        finished = subprocess.run(command, capture_output=True, timeout=WORLD_S, check=False)
    except FileNotFoundError as error:
        raise BenchError("disk needs unshare (util-linux)") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the folders were not filled and let go within {WORLD_S:g} s") from error
    if finished.returncode:
        said = finished.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise BenchError(f"the fleet on small disks: {said[-1]}")
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found
