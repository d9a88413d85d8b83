"""Compile the swarm's and the director's kernels ahead of a run: ``python -m loadtest.warm_up``. Without a cache it takes about 20 s, else one."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np

from launchday import kernel_cache
from loadtest.population import Population
from loadtest.swarm import Swarm

NOBODY = Population(
    arrives_s=np.zeros(1),
    location=np.zeros(1, np.int64),
    skill=np.zeros(1),
    locations=("west-europe",),
    behaviour_seed=np.ones(1, np.uint64),
    link_seed=np.ones((1, 2), np.uint64),
)


def warm_up() -> None:
    """Start a swarm that plays nothing, and stop it again."""

    async def start_and_stop() -> None:
        async with Swarm(NOBODY, entities=2, max_rtt_ms=1.0, extra_ms=0.0, rest_s=1.0):
            pass

    with kernel_cache.filling("loadtest"):
        asyncio.run(start_and_stop())


if __name__ == "__main__":
    # The director's too: players must not wait for a compiler. First, so that the mark of ours stands for both.
    subprocess.run([sys.executable, "-m", "matchmaker.warm_up"], check=True)
    warm_up()
