"""A flood begins with warm servers, as a simulation does: it waits until every region has its buffer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from dedicated_server.fleet.client import FleetError

POLL_S = 0.1
GRACE_S = 30.0  # beyond the longest start-up delay, for forks on a busy machine


class ListsFleets(Protocol):
    """What it takes of the fleet's client."""

    async def fleets(self) -> list[dict[str, Any]]:
        """A fleet a region: its servers by state, and how many idle ones are wanted. Raises FleetError."""
        ...


async def wait_for_buffers(
    fleet: ListsFleets,
    max_servers: int,
    startup_delays_s: Mapping[str, float],
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> bool:
    """Wait until all regions together have the idle servers that are wanted, as far as the limits allow.

    Args:
        fleet: tells what there is.
        max_servers: limit of all regions together.
        startup_delays_s: how long a server takes to start, by region; bounds the wait.
        tell: shows a line, where it takes longer than a moment and where it takes too long.
        clock: monotonic seconds.
        sleep: waits.

    Returns:
        Whether they are there. The flood begins in any case: with what there is.
    """
    longest_s = max(startup_delays_s.values(), default=0.0) + GRACE_S
    began_s, told = clock(), False
    while True:
        ready, wanted = 0, 1
        with contextlib.suppress(FleetError):
            ready, wanted = _ready_of_wanted(await fleet.fleets(), max_servers)
        if ready >= wanted:
            return True
        passed_s = clock() - began_s
        if passed_s > longest_s:
            tell(
                f"{ready} of {wanted} warm game servers are ready after {passed_s:.0f} s: beginning with them"
            )
            return False
        if not told and passed_s > 1.0:
            tell(f"waiting for {wanted} warm game servers, for {longest_s:.0f} s at most")
            told = True
        await sleep(POLL_S)


def _ready_of_wanted(fleets: list[dict[str, Any]], max_servers: int) -> tuple[int, int]:
    wanted = [min(int(one["idle_wanted"]), int(one["max_servers"])) for one in fleets]
    ready = [min(int(one["counts"].get("Ready", 0)), most) for one, most in zip(fleets, wanted, strict=True)]
    return sum(ready), min(sum(wanted), max_servers)
