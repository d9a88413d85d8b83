"""Compile the swarm's and the director's kernels ahead of a run: ``python -m loadtest.warm_up``.

Without a cache it takes about 20 s, else one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from launchday import kernel_cache
from loadtest.bots.swarm import Swarm
from loadtest.scenario import reader
from loadtest.scenario.population import draw_population


def warm_up() -> None:
    """Start a swarm that plays nothing, and stop it again."""

    scenario = reader.load_scenario(reader.SHIPPED / "smoke.yaml")

    async def start_and_stop() -> None:
        async with Swarm(draw_population(scenario), entities=2, scenario=scenario, longest_ms=1.0):
            pass

    with kernel_cache.compiling("loadtest"):
        asyncio.run(start_and_stop())


if __name__ == "__main__":
    # The director's too: players must not wait for a compiler. First, so that the mark of ours stands for
    # both.
    subprocess.run([sys.executable, "-m", "matchmaker.matching.warm_up"], check=True)
    warm_up()
