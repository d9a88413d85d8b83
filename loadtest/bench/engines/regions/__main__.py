"""Runs inside the namespace: ``python -m loadtest.bench.engines.regions OPTIONS`` prints a line each."""

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
from loadtest.bench.engines.regions.measures import CUT_S, cut_off, lost, normal
from loadtest.bench.engines.regions.play import populate
from loadtest.bench.engines.regions.world import two_regions
from loadtest.errors import BenchError
from meta_service.client import MetaClientError


async def run(options: dict[str, Any]) -> None:
    """Make all measurements, and print each when it is done."""
    with tempfile.TemporaryDirectory(prefix="launchday-regions-") as name:
        async with two_regions(Path(name)) as world:
            west, east = [await populate(region) for region in world.regions]
            sides = west, east
            print(json.dumps(await normal(world, sides)), flush=True)
            print(json.dumps(await cut_off(world, sides, options.get("seconds") or CUT_S)), flush=True)
            print(json.dumps(await lost(world, sides)), flush=True)


def main() -> None:
    """Print the figures; a fault is one line on standard error."""
    try:
        uvloop.run(run(json.loads(sys.argv[1])))
    except (BenchError, EngineError, MetaClientError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    startup.prepare()
    main()
