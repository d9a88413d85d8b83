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
from dataclasses import asdict
from typing import Any

from loadtest.bench.harness.own_network import run_in_namespace
from loadtest.bench.options import Options
from loadtest.bench.resilience.harness import Limit

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
    given = json.dumps(asdict(options) | {"only": options.chosen(KINDS)})
    module, programs = "loadtest.bench.resilience.failover", {"iptables-restore": "iptables"}
    found: dict[str, Any] = json.loads(run_in_namespace("failover", module, given, programs, INSIDE_S)[-1])
    return found
