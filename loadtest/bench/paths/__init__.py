"""``paths``: a match between real network namespaces, over the networks that lie between players and servers.

Each case builds a network of its own out of namespaces (`network`), plays a small match of the real engine in
one of them (`match`) with real clients in others (`player`), and says how that went. Cases stand in `cases`;
they run one after another in a namespace of the bench's own, so that nothing of this machine is touched and
nothing is left.

Root is needed, or users' network namespaces; and ``ip``, ``iptables`` and ``tc``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from loadtest.bench.harness.own_network import run_in_namespace
from loadtest.bench.options import Options
from loadtest.bench.paths.cases import CASES

MODULE = "loadtest.bench.paths"
PROGRAMS = {"ip": "iproute2", "tc": "iproute2", "iptables": "iptables", "nsenter": "util-linux"}
INSIDE_S = 600.0  # for a case; compiling the tick may be most of it


def run(options: Options, fault: str = "") -> Iterator[dict[str, Any]]:
    """Run the cases of ``options.only``; yield of each what is printed.

    Args:
        options: ``players`` of a match, ``seconds`` that one lasts.
        fault: of the case's own, planted: it has to notice.

    Raises BenchError where this machine lacks namespaces or a program, and where a case cannot be run.
    """
    for name in options.chosen(tuple(CASES)):
        given = json.dumps(asdict(options) | {"only": (name,), "fault": fault})
        yield json.loads(run_in_namespace("paths", MODULE, given, PROGRAMS, INSIDE_S)[-1])
