"""The simulator against queueing theory, with as many arrivals as a narrow interval needs."""

from __future__ import annotations

from typing import Any

from loadtest.simulate.theory import long_checks


def run(seeds: int = 20, arrivals: int = 40_000) -> dict[str, Any]:
    """Every check; a point each, and how many hold."""
    checks = long_checks(seeds, arrivals)
    return {
        "bench": "theory",
        "points": [check.as_json() for check in checks],
        "checks": len(checks),
        "hold": sum(check.holds for check in checks),
    }
