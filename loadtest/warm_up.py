"""Compiles the kernels of the bots and of the director before a run: ``python -m loadtest.warm_up``.

It takes about 20 s, and one second where they are compiled already.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from dedicated_server.cards import cards_in_force
from launchday import kernel_cache, startup
from launchday.settings import settings
from loadtest.bots.goals import load_hooks
from loadtest.bots.swarm import Swarm
from loadtest.scenario import reader
from loadtest.scenario.population import draw_population


def warm_up() -> None:
    """Start a swarm without players, and stop it again."""
    scenario = reader.load_scenario(reader.SHIPPED / "smoke.yaml")
    cards = cards_in_force(settings().modes)

    async def start_and_stop() -> None:
        async with Swarm(
            draw_population(scenario),
            cards=cards,
            players=2,
            scenario=scenario,
            longest_ms=1.0,
            hooks=load_hooks(cards),
        ):
            pass

    with kernel_cache.compiling("loadtest"):
        asyncio.run(start_and_stop())


if __name__ == "__main__":
    startup.prepare()
    # The director's kernels too, because players must not wait for a compiler.
    subprocess.run([sys.executable, "-m", "matchmaker.matching.warm_up"], check=True)
    warm_up()
