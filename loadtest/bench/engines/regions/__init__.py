"""``regions``: two regions for real, each in a network namespace of its own, over one store 100 ms away.

Each region has its cache, meta service, write-behind, rewards, matchmaker, director, and a fleet with game
servers. The store, the latency proxy before it and the broker are in a third namespace, where the players
are, too. Measured are:

- ``normal``: logins, purchases and the other requests of both regions, with the store 100 ms away; a match
  with real game servers in each region; a party of players of both; players who travel;
- ``store cut off``: packets between one region and the store go nowhere for 60 s;
- ``region lost``: all processes of a region are killed at once, its cache's disk with them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from loadtest.bench.engines.measuring import EngineFault
from loadtest.bench.options import Options
from loadtest.errors import BenchError

FAULTS: Sequence[EngineFault] = ()  # two regions are measured beside each other, see `figures`
INSIDE_S = 540.0
PROGRAMS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "iptables": "iptables"}


def figures(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a line of each measurement; ``options.seconds`` is how long the store is cut off (60).

    Raises BenchError where this machine has no network namespaces for us, or lacks a program.
    """
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise BenchError(f"regions needs {program}: install {package}")
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    command = [*namespace, sys.executable, "-m", "loadtest.bench.engines.regions"]
    command.append(json.dumps({**asdict(options), "only": ()}))
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        finished = subprocess.run(command, capture_output=True, timeout=INSIDE_S, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"two regions did not end within {INSIDE_S:g} s") from error
    if finished.returncode:
        said = finished.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if said[-1].startswith("unshare"):
            raise BenchError(f"regions needs root, or users' network namespaces: {said[-1]}")
        raise BenchError(f"regions: {said[-1]}")
    for line in finished.stdout.splitlines():
        yield json.loads(line)
