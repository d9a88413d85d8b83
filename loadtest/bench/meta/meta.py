"""``meta``: check-outs, profiles, loadouts, write-behind and purchases, over real HTTP with real engines.

There are one API process and one write-behind worker, and this process, all on the same cores. The floor
takes turns with the check-outs: a bare pipeline of the commands that a check-out consists of, on the same
keys, without HTTP, checks or fences.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import uvloop
from pydantic import SecretStr
from redis.asyncio import Redis

from launchday import child_processes
from launchday.engines import Postgres, Valkey
from launchday.engines.base import free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from loadtest.bench.harness.statistics import percentiles
from loadtest.errors import BenchError
from meta_service.cache import partitions
from meta_service.cache.cache import Cache, LoadoutFields, connect
from meta_service.cache.keys import ONE, Keys
from meta_service.client import MetaClient, MetaUnavailableError, PlayerCommit, Session
from meta_service.store import catalogue, schema
from meta_service.store.catalogue import Item

T = TypeVar("T")
R = TypeVar("R")

MATCH_PLAYERS = 100
MATCHES = 10  # checked out in turns, CONCURRENT_CALLS at once
CONCURRENT_CALLS = 4
LEASE_S = 600.0
REGION = "west-europe"
BACKLOG_ROWS = 50_000
CHANGES_PER_S = 1_000
BURST_S = 0.01  # changes are made in bursts this far apart
POLL_S = 0.002
START_S = 20.0
SKINS = ("recruit", "scout")  # free, so everybody may wear them
CRATE = Item(
    item_id="bench-crate", kind="consumable", title="Crate", currency="coins", price=1, max_owned=10**9
)


@dataclass
class Bench:
    """What the measurements share: services, engines, and the players who are logged in."""

    settings: Settings
    client: MetaClient
    redis: Redis
    store: asyncpg.Connection
    seconds: float
    folder: Path
    keys: Keys = ONE
    logins: list[Session] = field(default_factory=list)

    def start(self, module: str) -> subprocess.Popen[bytes]:
        """Start one of the service's processes."""
        env = {**os.environ, **environment(self.settings)}
        return child_processes.spawn(
            [sys.executable, "-m", module], log=self.folder / f"{module}.log", env=env
        )


def run(seconds: float = 5.0) -> dict[str, Any]:
    """Measure each figure for ``seconds`` and return what is printed.

    Raises BenchError where a process does not start.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        servers = (
            Valkey(folder / "valkey", folder / "valkey.log"),
            Postgres(folder / "postgres", folder / "postgres.log"),
        )
        try:
            for server in servers:
                server.start()
            valkey, postgres = servers
            settings = Settings(
                state_dir=folder,
                cache_url=valkey.address,
                store_url=postgres.address,
                kafka_bootstrap="127.0.0.1:1",  # never called: the meta service uses no broker
                meta_port=free_port(),
                identity_secret=SecretStr(secrets.token_hex(32)),
                requests_per_player_s=0.0,
            )
            schema.migrate(settings.store_url)
            figures: dict[str, Any] = uvloop.run(_measure(settings, seconds, folder))
            return {"bench": "meta"} | figures
        finally:
            for server in reversed(servers):
                server.stop()


async def _measure(settings: Settings, seconds: float, folder: Path) -> dict[str, Any]:
    token = signer_of(settings, "loadtest").service_token("bench", time.time())
    redis = connect(settings.cache_url, answer_s=30.0)
    store = await asyncpg.connect(settings.store_url)
    started: list[subprocess.Popen[bytes]] = []
    async with MetaClient(f"http://127.0.0.1:{settings.meta_port}", token, patience_s=30.0) as client:
        bench = Bench(settings, client, redis, store, seconds, folder)
        try:
            started.append(bench.start("meta_service"))
            await _ready(bench, started[0])
            bench.keys = await partitions.in_use(redis)
            worker = bench.start("meta_service.writebehind")
            started.append(worker)
            bench.logins = [
                await client.login_device(f"bench-device-{n}") for n in range(MATCH_PLAYERS * MATCHES)
            ]
            await _drained(bench)
            figures = await _checkouts(bench)
            figures |= await _profiles(bench)
            figures |= await _loadouts(bench)
            figures |= await _lag(bench)
            figures |= await _purchases(bench)
            await _drained(bench)
            child_processes.stop(worker, 5.0)
            figures |= await _backlog(bench, started)
            return figures
        finally:
            for child in reversed(started):
                child_processes.stop(child, 5.0)
            await store.close()
            await redis.aclose()


async def _ready(bench: Bench, api: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and api.poll() is None:
        try:
            await bench.client.counters()
        except MetaUnavailableError:
            continue
        return
    raise BenchError("the meta service did not start")


async def _checkouts(bench: Bench) -> dict[str, Any]:
    """Check out whole matches over HTTP, in turns with a bare pipeline; commits are not timed."""
    rosters = [
        [login.player_id for login in bench.logins[start : start + MATCH_PLAYERS]]
        for start in range(0, len(bench.logins), MATCH_PLAYERS)
    ]
    calls_s: list[float] = []
    checkout_s = raw_s = 0.0
    rounds = 0
    await _raw_round(bench, rosters)
    while checkout_s < bench.seconds:
        matches = [(uuid4(), roster) for roster in rosters]
        began = time.perf_counter()
        leases = await _in_turns(partial(_check_out, bench, calls_s), matches)
        checkout_s += time.perf_counter() - began
        for (match, _), rows in zip(matches, leases, strict=True):
            await bench.client.commit(match, rows)
        began = time.perf_counter()
        await _raw_round(bench, rosters)
        raw_s += time.perf_counter() - began
        rounds += 1
    players = rounds * len(bench.logins)
    return {
        "checkout_players_per_s": round(players / checkout_s),
        "checkout_ms": percentiles(np.array(calls_s) * 1e3, 50, 99, digits=2),
        "raw_pipeline_players_per_s": round(players / raw_s),
        "ratio": round(raw_s / checkout_s, 3),
    }


async def _check_out(
    bench: Bench, calls_s: list[float], match_and_roster: tuple[UUID, Sequence[int]]
) -> list[PlayerCommit]:
    match, roster = match_and_roster
    began = time.perf_counter()
    answer = await bench.client.check_out(match, "bench-server", REGION, LEASE_S, roster)
    calls_s.append(time.perf_counter() - began)
    if answer.refused:
        raise BenchError(f"the check-out of {len(answer.refused)} players was refused")
    return [
        PlayerCommit(player.player_id, player.fence, placement=1, kills=0, played_s=1.0)
        for player in answer.checked_out
    ]


async def _raw_round(bench: Bench, rosters: Sequence[Sequence[int]]) -> None:
    await _in_turns(partial(_raw, bench), rosters)


async def _raw(bench: Bench, roster: Sequence[int]) -> None:
    """Run the commands of a match's check-out on other fields, so that no fence changes."""
    match = str(uuid4())
    pipeline = bench.redis.pipeline(transaction=False)
    for player_id in roster:
        key = bench.keys.player(player_id)
        pipeline.hmget(
            key,
            ["skin", "level", "stamp", "fence", "lease_match", "lease_server", "lease_until", "lease_state"],
        )
        lease = (
            "bench_fence",
            1,
            "bench_match",
            match,
            "bench_server",
            "s",
            "bench_until",
            2,
            "bench_state",
            "h",
        )
        pipeline.hset(key, items=list(lease))
        pipeline.zadd(f"{bench.keys.of(player_id).tag}:bench", {str(player_id): 1})
    await pipeline.execute()


async def _profiles(bench: Bench) -> dict[str, Any]:
    async def read(number: int) -> None:
        await bench.client.profile(bench.logins[number % len(bench.logins)].session_token)

    calls_s, elapsed_s = await _closed_loop(read, bench.seconds)
    return {"profile_reads_per_s": round(len(calls_s) / elapsed_s)}


async def _loadouts(bench: Bench) -> dict[str, Any]:
    async def change(number: int) -> None:
        token = bench.logins[number % len(bench.logins)].session_token
        await bench.client.set_loadout(token, SKINS[number % 2])

    calls_s, elapsed_s = await _closed_loop(change, bench.seconds)
    return {
        "loadout_changes_per_s": round(len(calls_s) / elapsed_s),
        "loadout_ms": percentiles(np.array(calls_s) * 1e3, 50, 99, digits=2),
    }


async def _lag(bench: Bench) -> dict[str, Any]:
    """Measure the time from an accepted change until the store has it, at a steady rate, one change at a
    time.
    """
    cache = Cache(bench.redis, keys=bench.keys)
    stop = asyncio.Event()
    changes = 0

    async def change_steadily() -> None:
        nonlocal changes
        began = time.perf_counter()
        while not stop.is_set():
            due = int((time.perf_counter() - began) * CHANGES_PER_S)
            burst = [bench.logins[n % len(bench.logins)].player_id for n in range(changes, due)]
            await asyncio.gather(
                *(cache.set_loadout(id_, LoadoutFields(f"skin-{due}"), time.time()) for id_ in burst)
            )
            changes = due
            await asyncio.sleep(BURST_S)

    changing = asyncio.create_task(change_steadily())
    lags_s: list[float] = []
    began = time.perf_counter()
    for number in count():
        if time.perf_counter() - began > bench.seconds:
            break
        player_id = bench.logins[(number * 37) % len(bench.logins)].player_id
        changed = await cache.set_loadout(player_id, LoadoutFields("watched"), time.time())
        accepted = time.perf_counter()
        await _stored(bench.store, player_id, changed.version)
        lags_s.append(time.perf_counter() - accepted)
    stop.set()
    await changing
    per_s = changes / (time.perf_counter() - began)
    return {
        "writebehind_lag_ms": percentiles(np.array(lags_s) * 1e3, 50, 95, digits=2),
        "writebehind_lag_at_changes_per_s": round(per_s),
    }


async def _purchases(bench: Bench) -> dict[str, Any]:
    await catalogue.put(bench.store, [CRATE])
    buyers = bench.logins[:100]
    for login in buyers:
        await bench.client.grant(f"bench-{login.player_id}", login.player_id, "coins", 10**9, "bench")

    async def buy(number: int) -> None:
        await bench.client.purchase(buyers[number % len(buyers)].session_token, str(uuid4()), CRATE.item_id)

    calls_s, elapsed_s = await _closed_loop(buy, bench.seconds)
    return {
        "purchases_per_s": round(len(calls_s) / elapsed_s),
        "purchase_ms": percentiles(np.array(calls_s) * 1e3, 50, 99, digits=2),
    }


async def _backlog(bench: Bench, started: list[subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Measure how fast a restarted worker stores a backlog, from its first batch to its last."""
    cache = Cache(bench.redis, keys=bench.keys)
    ids = [login.player_id for login in bench.logins]
    for start in range(0, BACKLOG_ROWS, 500):
        now = time.time()
        await asyncio.gather(
            *(
                cache.set_loadout(ids[n % len(ids)], LoadoutFields("piled-up"), now)
                for n in range(start, start + 500)
            )
        )
    started.append(bench.start("meta_service.writebehind"))
    full = depth = await _waiting(bench)
    while depth == full:
        await asyncio.sleep(POLL_S)
        depth = await _waiting(bench)
    began, first = time.perf_counter(), depth
    await _drained(bench)
    return {"writebehind_rows_per_s": round(first / (time.perf_counter() - began))}


async def _stored(store: asyncpg.Connection, player_id: int, version: int) -> None:
    while True:
        stored = await store.fetchval("SELECT version FROM loadouts WHERE player_id = $1", player_id)
        if (stored or 0) >= version:
            return
        await asyncio.sleep(POLL_S)


async def _drained(bench: Bench) -> None:
    while True:
        if not await _waiting(bench):
            return
        await asyncio.sleep(POLL_S)


async def _waiting(bench: Bench) -> int:
    """Changes that are not stored yet."""
    pipeline = bench.redis.pipeline(transaction=False)
    for partition in bench.keys.partitions:
        pipeline.xlen(partition.stream)
    return sum(await pipeline.execute())


async def _in_turns(call: Callable[[T], Awaitable[R]], subjects: Sequence[T]) -> list[R]:
    """Make the call for each subject, CONCURRENT_CALLS at once; return the results in order."""
    turn = asyncio.Semaphore(CONCURRENT_CALLS)

    async def make(subject: T) -> R:
        async with turn:
            return await call(subject)

    return await asyncio.gather(*map(make, subjects))


async def _closed_loop(call: Callable[[int], Awaitable[None]], seconds: float) -> tuple[list[float], float]:
    """Call from CONCURRENT_CALLS callers, each again once it has its answer.

    Returns the seconds of each call, and of all of them together.
    """
    numbers = count()
    calls_s: list[float] = []
    began = time.perf_counter()

    async def ask() -> None:
        while time.perf_counter() - began < seconds:
            asked = time.perf_counter()
            await call(next(numbers))
            calls_s.append(time.perf_counter() - asked)

    await asyncio.gather(*(ask() for _ in range(CONCURRENT_CALLS)))
    return calls_s, time.perf_counter() - began
