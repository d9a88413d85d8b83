"""Our lines beside the kernel's own emulation of them, where root and sch_netem are there."""

from __future__ import annotations

from typing import Any

from loadtest.bench.errors import BenchError
from loadtest.bots import netem
from loadtest.scenario.link_profiles import profiles


def run(seconds: float = 15.0) -> dict[str, Any]:
    """Every profile by both, ``seconds`` of datagrams each; raises BenchError where the kernel's cannot be had."""
    try:
        return {"bench": "netem", "points": netem.compare(profiles(), seconds)}
    except netem.NetemUnavailableError as error:
        raise BenchError(str(error)) from error
