"""What a check-out costs on a cluster, and what waiting for a replica costs: against one node, in turns.

The same service, one API process each, checks out the same matches: on one Valkey, on a cluster, and on that
cluster with one replica waited for. A round of each takes turns with the others, so that a machine that is
busy for a while slows all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from launchday.engines import Valkey
from loadtest.bench.engines.cache_load import LEASE_S, REGION, SERVER, CacheLoad, services
from loadtest.bench.engines.valkey_nodes import Cluster, running
from loadtest.errors import BenchError
from meta_service.client import PlayerCommit

MATCH_PLAYERS = 100
MATCHES = 10
CONCURRENT_CALLS = 4
LOGINS_AT_ONCE = 16
ROUNDS = 8
RATIO_LIMIT = 1.5


def measured(rounds: int = ROUNDS) -> dict[str, Any]:
    """The line: players checked out a second on each, and how much longer it takes than on one node.

    Raises BenchError where a service does not start.
    """
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> dict[str, Any]:
    async with contextlib.AsyncExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="launchday-bench-")))
        node = Valkey(folder / "one" / "valkey", folder / "one" / "valkey.log")
        ends.callback(node.stop)
        node.start()
        cluster = ends.enter_context(running(Cluster(folder / "cluster")))
        other = ends.enter_context(running(Cluster(folder / "waits")))
        loads = {
            "one_node": await ends.enter_async_context(services(folder / "one", node.address)),
            "cluster": await ends.enter_async_context(services(folder / "many", cluster.address)),
            "waits": await ends.enter_async_context(
                services(folder / "replicated", other.address, {"cache_wait_replicas": 1})
            ),
        }
        rosters = {name: await _rosters(load) for name, load in loads.items()}
        seconds: dict[str, list[float]] = {name: [] for name in loads}
        for turn in range(rounds + 1):
            for name, load in loads.items():
                took_s = await _round(load, rosters[name])
                if turn:  # the first one fills caches and connections
                    seconds[name].append(took_s)
    one = seconds["one_node"]
    ratios = {
        name: statistics.median(took / plain for took, plain in zip(seconds[name], one, strict=True))
        for name in ("cluster", "waits")
    }
    players = MATCHES * MATCH_PLAYERS
    per_s = {name: round(players / statistics.median(took)) for name, took in seconds.items()}
    return {
        "bench": "engines",
        "engine": "valkey cluster",
        "figure": "check-outs",
        "one_node_players_per_s": per_s["one_node"],
        "cluster_players_per_s": per_s["cluster"],
        "cluster_with_wait_players_per_s": per_s["waits"],
        "cluster_to_one_node": round(ratios["cluster"], 2),
        "wait_to_one_node": round(ratios["waits"], 2),
        "passed": ratios["cluster"] <= RATIO_LIMIT,
    }


async def _rosters(load: CacheLoad) -> list[list[int]]:
    turn = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def log_in(number: int) -> int:
        async with turn:
            return (await load.client.login_device(f"bench-roster-{number}")).player_id

    ids = await asyncio.gather(*map(log_in, range(MATCHES * MATCH_PLAYERS)))
    return list(_parts(ids))


def _parts(ids: list[int]) -> Iterator[list[int]]:
    for begin in range(0, len(ids), MATCH_PLAYERS):
        yield ids[begin : begin + MATCH_PLAYERS]


async def _round(load: CacheLoad, rosters: list[list[int]]) -> float:
    """Check every match out, `CONCURRENT_CALLS` at once; return how many seconds that took. Commits are not
    timed.
    """
    turn = asyncio.Semaphore(CONCURRENT_CALLS)
    given: list[tuple[Any, list[PlayerCommit]]] = []

    async def check_out(roster: list[int]) -> None:
        match = uuid4()
        async with turn:
            answer = await load.client.check_out(match, SERVER, REGION, LEASE_S, roster)
        if answer.refused:
            raise BenchError(f"the check-out of {len(answer.refused)} players was refused")
        rows = [PlayerCommit(each.player_id, each.fence, 1, 0, 1.0) for each in answer.checked_out]
        given.append((match, rows))

    began = time.perf_counter()
    await asyncio.gather(*map(check_out, rosters))
    took_s = time.perf_counter() - began
    for match, rows in given:
        await load.client.commit(match, rows)
    return took_s
