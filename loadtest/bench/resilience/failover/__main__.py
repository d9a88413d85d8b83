"""Runs inside the namespace: ``python -m loadtest.bench.resilience.failover OPTIONS`` prints the figures."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from launchday import startup
from launchday.engines import EngineError
from loadtest.bench.loopback import raise_loopback
from loadtest.bench.resilience.failover.measures import measure
from loadtest.bench.resilience.failover.world import world
from loadtest.errors import BenchError
from meta_service.client import MetaUnavailableError

PLAYERS = 20


async def run(options: dict[str, Any]) -> dict[str, Any]:
    """Measure the kinds of ``only``."""
    with tempfile.TemporaryDirectory(prefix="launchday-failover-") as name:
        async with world(Path(name), options["players"] or PLAYERS) as made:
            return await measure(made, options["only"])


def main() -> None:
    """Print the figures; a fault is one line on standard error."""
    try:
        raise_loopback()
        print(json.dumps(uvloop.run(run(json.loads(sys.argv[1])))))
    except (BenchError, EngineError, MetaUnavailableError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    startup.prepare()
    main()
