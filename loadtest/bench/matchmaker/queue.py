"""``queue``: players arrive at a rate over HTTP at the real API, cache and director; the fleet is a stub.

There is one process each of the API, the director, the cache, the stub services and this one, the generator,
all on the same cores. ``path="queue"`` leaves HTTP out: tickets are written to the queue in batches, and one
director assigns them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
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
from launchday import child_processes, telemetry
from launchday.clock import SystemClock
from launchday.engines import Valkey
from launchday.engines.base import exchange, free_port
from launchday.identity import Signer
from launchday.settings import Settings, environment
from loadtest.bench.matchmaker import ticket_load
from loadtest.errors import BenchError
from matchmaker.api.skills import PlayerSkills
from matchmaker.api.ticket_writer import TicketWriter
from matchmaker.director.director import Director
from matchmaker.queue.cache import open_cache
from matchmaker.queue.counters import read_counters
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.rules import BATTLE_ROYALE, load_rules
from matchmaker.tickets.ticket import Ticket

REGIONS: Final = ("west-europe", "east-us", "japan-east", "brazil-south")
SHARES: Final = (0.4, 0.35, 0.2, 0.05)
FILL_S: Final = 8.0  # after which the last players play, too few for a full match

START_S: Final = 240.0  # the director may have to compile its kernels
SATURATED_LATE_MS: Final = 20.0
SATURATED_CORES: Final = 0.9
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
            found = _over_http(settings, valkey, stub_port, rate, seconds, folder, seed)
            return {"bench": "queue", "path": path, "rate": rate, "seconds": seconds} | found
        finally:
            valkey.stop()


def _over_http(
    settings: Settings, valkey: Valkey, stub_port: int, rate: float, seconds: float, folder: Path, seed: int
) -> dict[str, Any]:
    env = {**os.environ, **environment(settings)}

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return child_processes.spawn([sys.executable, "-m", *arguments], log=folder / f"{name}.log", env=env)

    started = {
        "stub": start("stub", "loadtest.bench.matchmaker.stub_services", str(stub_port)),
        "api": start("api", "matchmaker"),
        "director": start("director", "matchmaker.director"),
    }
    try:
        _await_ready(started, settings, valkey, folder)
        count = round(rate * seconds)
        rng = np.random.default_rng(seed)
        due_s = np.sort(rng.uniform(0.0, seconds, count))  # a Poisson process, given its number of arrivals
        signer = Signer(settings.identity_secret.get_secret_value())
        tokens = [signer.player_token(player, time.time(), 3_600.0) for player in range(1, count + 1)]
        bodies = [_request_body(rng, player) for player in range(1, count + 1)]
        load = ticket_load.TicketLoad("127.0.0.1", settings.matchmaker_port, tokens, bodies, due_s)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        processes = {name: psutil.Process(process.pid) for name, process in started.items()}
        assert valkey.process is not None
        processes["cache"] = psutil.Process(valkey.process.pid)
        processes["generator"] = psutil.Process()
        timings, cores = uvloop.run(_measured(load, processes, seconds))
        gc.unfreeze()
        counters = uvloop.run(_counters(settings))
    finally:
        for process in reversed(list(started.values())):
            child_processes.stop(process, 5.0)
    timed = ticket_load.figures(timings)
    accepted = int((~np.isnan(timings.created)).sum())
    notified = int((~np.isnan(timings.notified)).sum())
    return {
        "offered_per_s": round(count / seconds, 1),
        "accepted_per_s": round(accepted / seconds, 1),
        "refused": timings.refused,
        "lost": accepted - notified,
        "duplicated": sum(times - 1 for times in timings.notified_by_slot.values())
        + max(0, counters["matched"] - accepted),
        **timed,
        **{f"{name}_cpu": cores[name] for name in ("director", "api", "cache", "generator", "stub")},
        "generator_saturated": bool(
            timed["late_ms"]["p99"] > SATURATED_LATE_MS or cores["generator"] > SATURATED_CORES
        ),
        "counters": counters,
    }


async def _measured(
    load: ticket_load.TicketLoad, processes: dict[str, psutil.Process], seconds: float
) -> tuple[ticket_load.PlayerTimings, dict[str, float]]:
    """Return the players' timings, and the cores that each process used while players arrived."""

    def used() -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}

    before = used()
    coming = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    after = used()
    cores = {name: round((after[name] - before[name]) / seconds, 3) for name in processes}
    return await coming, cores


def _request_body(rng: np.random.Generator, player: int) -> bytes:
    """Return a player's ticket request, some 300 bytes of JSON."""
    home = int(rng.choice(len(REGIONS), p=SHARES))
    far_ms = rng.uniform(80.0, 220.0, len(REGIONS)).round(1).tolist()
    latencies = dict(zip(REGIONS, far_ms, strict=True)) | {
        REGIONS[home]: round(float(rng.gamma(4.0, 8.0)), 1)
    }
    return json.dumps(
        {
            "mode": BATTLE_ROYALE,
            "latencies_ms": latencies,
            "platform": ("pc", "playstation", "xbox")[player % 3],
            "cross_play": True,
            "client_key": f"bench-{player:012d}-{rng.integers(10**12):012d}",
        }
    ).encode()


def _await_ready(
    started: dict[str, subprocess.Popen[bytes]], settings: Settings, valkey: Valkey, folder: Path
) -> None:
    deadline = time.monotonic() + START_S
    lease = f"{{mm}}:lease:{BATTLE_ROYALE}".encode()
    request = b"*2\r\n$6\r\nEXISTS\r\n$%d\r\n%b\r\n" % (len(lease), lease)
    while True:
        for name, process in started.items():
            if process.poll() is not None:
                raise BenchError(f"the {name} ended: {child_processes.last_line(folder / f'{name}.log')}")
        if _accepts(settings.matchmaker_port) and exchange(valkey.port, request, 4) == b":1\r\n":
            return
        if time.monotonic() > deadline:
            raise BenchError("the matchmaker was not ready in time")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        return bool(exchange(port, b"GET /healthz HTTP/1.1\r\nhost: m\r\n\r\n", 12) == b"HTTP/1.1 200")
    except OSError:
        return False


async def _counters(settings: Settings) -> dict[str, Any]:
    async with open_cache(settings.cache_url) as cache:
        counters = await read_counters(Scripts(cache, 1.0, SystemClock()), [BATTLE_ROYALE])
    return {name: getattr(counters, name) for name in SHOWN_COUNTERS}


class _InstantServices:
    """Skills and servers without a call over the network."""

    async def skills(self, mode: str, player_ids: Sequence[int]) -> PlayerSkills:
        return PlayerSkills(dict.fromkeys(player_ids, (25.0, 25.0 / 3)))

    async def allocate(self, *, region: str, match: Any, idempotency_key: str) -> Allocation:
        return Allocation("stub", "127.0.0.1", 7_000)


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
            rules = load_rules(settings)[BATTLE_ROYALE]
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
                        writer.submit(BATTLE_ROYALE, _ticket(rng, player, now))
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
            counters = await read_counters(scripts, [BATTLE_ROYALE])
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
