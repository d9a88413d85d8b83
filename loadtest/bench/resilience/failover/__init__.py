"""``failover``: engines that go away without a word, come back older, or are far away.

In a network namespace of its own (``unshare -n``), with real engines and services inside, this part drops the
packets of established connections while new ones work, as a failover of a managed store, or a NAT that
forgot, does:

- ``dropped``: all connections to the store, to the cache, then to store, cache and broker together;
- ``one``: one connection of each process to each engine;
- ``older``: the cache is replaced by a copy of itself that is 2 s older;
- ``far``: the store is 300 ms away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from loadtest.bench.options import Options
from loadtest.bench.resilience.harness import Limit
from loadtest.errors import BenchError

KINDS = ("dropped", "one", "older", "far")
INSIDE_S = 460.0  # for all kinds

LIMITS = (
    Limit("purchase_s", at_most=5.0),
    Limit("login_s", at_most=5.0),
    Limit("writebehind_s", at_most=5.0),
    Limit("one_connection_s", at_most=5.0),
    Limit("stale_profiles", at_most=0),
    Limit("revoked_alive", at_most=0),
    Limit("far_purchase_s", at_most=1.0),
)


def run(options: Options) -> dict[str, Any]:
    """Let engines fail over; ``options.only`` chooses from KINDS, ``players`` is how many play.

    Raises BenchError where this machine has no network namespaces for us, or no iptables.
    """
    chosen = options.chosen(KINDS)
    for program, package in (("unshare", "util-linux"), ("iptables-restore", "iptables")):
        if shutil.which(program) is None and not os.access(f"/usr/sbin/{program}", os.X_OK):
            raise BenchError(f"failover needs {program}: install {package}")
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    command = [*namespace, sys.executable, "-m", "loadtest.bench.resilience.failover"]
    command.append(json.dumps({**asdict(options), "only": chosen}))
    try:
        finished = subprocess.run(command, capture_output=True, timeout=INSIDE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"engines did not fail over within {INSIDE_S:g} s") from error
    if finished.returncode:
        said = finished.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if said[-1].startswith("unshare"):
            raise BenchError(f"failover needs root, or users' network namespaces: {said[-1]}")
        raise BenchError(f"failover: {said[-1]}")
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found
