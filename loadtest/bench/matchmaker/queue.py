"""``queue``: players arrive at a rate over HTTP at the real API, cache and director; the fleet is a stub.

`queue_over_http` measures that. ``path="queue"`` leaves HTTP out: tickets are written to the queue in
batches, and one director assigns them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import uvloop
from pydantic import SecretStr

from dedicated_server.fleet.client import Allocation
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday import telemetry
from launchday.clock import SystemClock
from launchday.engines import Valkey
from launchday.engines.base import free_port
from launchday.settings import Settings
from loadtest.bench.matchmaker import queue_over_http
from loadtest.bench.matchmaker.queue_over_http import REGIONS
from matchmaker.api.skills import PlayerSkills
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.director.director import Director
from matchmaker.queue.cache import open_cache
from matchmaker.queue.counters import read_counters
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.modes import load_rules
from matchmaker.tickets.ticket import Ticket

FILL_S: Final = 8.0  # after which the last players play, too few for a full match

BATCH: Final = 250
QUEUED: Final = 60_000  # tickets of the path without HTTP
SHOWN_COUNTERS: Final = ("queued", "matched", "cancelled", "expired", "failed", "searching", "matches")


def run(rate: float, seconds: float, *, path: str = "http", seed: int = 1) -> dict[str, Any]:
    """Measure and return what is printed.

    Args:
        rate: players who arrive a second.
        seconds: during which they arrive.
        path: "http", or "queue" to leave the API out.
        seed: of arrivals and latencies.

    Raises:
        BenchError: a process does not start.
    """
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        valkey = Valkey(folder / "valkey", folder / "valkey.log")
        valkey.start()
        stub_port, port = free_port(), free_port()
        settings = Settings(
            state_dir=folder,
            cache_url=valkey.address,
            meta_url=f"http://127.0.0.1:{stub_port}",
            fleet_url=f"http://127.0.0.1:{stub_port}",
            matchmaker_port=port,
            regions=",".join(REGIONS),
            match_fill_s=FILL_S,
            director_port=0,
            server_answer_s=0.0,  # nothing listens at the addresses of the stub's servers
            identity_secret=SecretStr("bench-" + "0" * 32),
            fleet_key=SecretStr("ab" * 32),
            log_level="warning",
        )
        try:
            if path == "queue":
                # The lease is not renewed while tickets are written.
                settings = settings.model_copy(update={"director_lease_s": 60.0})
                behind: dict[str, Any] = uvloop.run(_behind_http(settings, valkey, seed))
                return {"bench": "queue", "path": path} | behind
            found = queue_over_http.measure(settings, valkey, rate, seconds, seed)
            counters = uvloop.run(_counters(settings))
            found["duplicated"] += max(0, counters["matched"] - found["created"])
            named = {"bench": "queue", "path": path, "rate": rate, "seconds": seconds}
            return named | found | {"counters": counters}
        finally:
            valkey.stop()


async def _counters(settings: Settings) -> dict[str, Any]:
    async with open_cache(settings.cache_url) as cache:
        counters = await read_counters(Scripts(cache, 1.0, SystemClock()), ["battle_royale"])
    return {name: getattr(counters, name) for name in SHOWN_COUNTERS}


class _InstantServices:
    """Skills and servers without a call over the network."""

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
        return PlayerSkills(dict.fromkeys(player_ids, (25.0, 25.0 / 3)))

    async def allocate(self, *, region: str, match: Any, idempotency_key: str) -> Allocation:
        return Allocation("stub", ServerAddresses(("127.0.0.1",)), 7_000)


async def _behind_http(settings: Settings, valkey: Valkey, seed: int) -> dict[str, Any]:
    """Fill the queue, then let one director empty it: this process on one core, the cache on the other."""
    telemetry.configure("bench", settings)
    rng = np.random.default_rng(seed)
    clock = SystemClock()
    stub = _InstantServices()
    assert valkey.process is not None
    cache_process = psutil.Process(valkey.process.pid)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    cache_process.cpu_affinity(cores[-1:])
    try:
        async with open_cache(settings.cache_url) as cache:
            scripts = Scripts(cache, settings.ticket_retention_s, clock)
            writer = TicketWriter(scripts, stub, REGIONS)
            rules = load_rules(settings)["battle_royale"]
            director = Director(rules, settings, cache, stub, clock=clock)
            fence = await director._lease.acquire()
            assert fence is not None
            match_loop = director.match_loop(fence)
            async with asyncio.TaskGroup() as placements:
                await match_loop.cycle(placements)  # compiles the kernels and connects
            now = time.time()
            players = iter(range(1, QUEUED + 1))
            begun, cpu_s = time.perf_counter(), time.process_time()
            for _ in range(QUEUED // (2 * BATCH)):
                await asyncio.gather(
                    *(
                        writer.submit("battle_royale", _ticket(rng, player, now))
                        for player, _ in zip(players, range(2 * BATCH), strict=False)
                    )
                )
            written, written_cpu_s = time.perf_counter() - begun, time.process_time() - cpu_s
            cache_s = sum(cache_process.cpu_times()[:2])
            begun, cpu_s = time.perf_counter(), time.process_time()
            async with asyncio.TaskGroup() as placements:
                await match_loop.cycle(placements)
            elapsed, used = time.perf_counter() - begun, time.process_time() - cpu_s
            cache_s = sum(cache_process.cpu_times()[:2]) - cache_s
            counters = await read_counters(scripts, ["battle_royale"])
    finally:
        os.sched_setaffinity(0, cores)
    return {
        "tickets": QUEUED,
        "matched": counters.matched,
        "tickets_per_s": round(counters.matched / elapsed),
        "tickets_per_core_s": round(counters.matched / used),
        "cache_us_per_ticket": round(1e6 * cache_s / counters.matched, 2),
        "written_per_s": round(QUEUED / written),
        "written_per_core_s": round(QUEUED / written_cpu_s),
    }


def _ticket(rng: np.random.Generator, player: int, now: float) -> Ticket:
    latency_ms = (20.0, 90.0, 150.0, 200.0)
    return Ticket(uuid.uuid4(), player, now, now + 300.0, "pc", True, "", latency_ms)
