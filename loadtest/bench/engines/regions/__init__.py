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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from loadtest.bench.engines.measuring import EngineFault
from loadtest.bench.harness.own_network import run_in_namespace
from loadtest.bench.options import Options

FAULTS: Sequence[EngineFault] = ()  # two regions are measured beside each other, see `figures`
INSIDE_S = 540.0
PROGRAMS = {"nsenter": "util-linux", "ip": "iproute2", "iptables": "iptables"}


def figures(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a line of each measurement; ``options.seconds`` is how long the store is cut off (60).

    Raises BenchError where this machine has no network namespaces for us, or lacks a program.
    """
    module, given = "loadtest.bench.engines.regions", json.dumps(asdict(options) | {"only": ()})
    yield from map(json.loads, run_in_namespace("regions", module, given, PROGRAMS, INSIDE_S))
