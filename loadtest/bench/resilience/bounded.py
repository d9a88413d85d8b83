"""``bounded``: ten thousand ids that nobody has are asked of every service; afterwards all is as before.

Keys of the cache, memory of each process and its descriptors: what an unknown id leaves behind, anybody may
fill a machine with.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from redis.asyncio import Redis

from launchday.launcher.backend import Backend
from launchday.settings import Settings
from loadtest.bench.options import Options
from loadtest.bench.own_backend import run_backend
from loadtest.bench.resilience.flooding import heavy_generator
from loadtest.bench.resilience.harness import Limit
from loadtest.bench.resilience.processes import BYTES_A_MB, ProcessWatch, grown
from loadtest.bench.resilience.unknown_ids import MOST_AT_ONCE, UnknownIds
from loadtest.errors import BenchError

ASKS = 10_000
PER_S = 75.0
BURST_PER_S = 10_000.0
WARM_UP_S = 40.0  # so that every cache and pool of ours has the size that this load gives it
REST_S = 10.0
MINUTE_S = 62.0  # "after a minute": what is kept for an unknown id may live that long
BURSTS = 6  # of as many asks at once as can be, before all else: pools of connections then have their size
WITH_AN_ID = re.compile(r"\d")  # a key without one stands once, whatever is asked

LIMITS = (
    Limit("asked", at_least=ASKS),
    Limit("keys_grown", at_most=0),
    Limit("mb_a_minute_max", at_most=1.0),
    Limit("descriptors_grown", at_most=0),
)


def run(options: Options) -> dict[str, Any]:
    """Start a backend, ask it, and compare before and after.

    ``options.rounds`` is how many ids are asked, ``options.seconds`` how long the warm-up and the rest are.
    """
    found: dict[str, Any] = {}

    async def use(completed: Settings, stop: asyncio.Event, backend: Backend) -> int:
        found.update(await measure(completed, backend, options))
        return 0

    with heavy_generator():
        run_backend(use, {"requests_per_player_s": 0.0, "requests_per_address_s": 0.0})
    if not found:
        raise BenchError("the backend ended before it was measured: run it again")
    return found


async def measure(settings: Settings, backend: Backend, options: Options) -> dict[str, Any]:
    """Ask a backend that is up for unknown ids, and return what has grown by it."""
    asks = ASKS if options.rounds is None else options.rounds
    warm_up_s, minute_s = (
        (WARM_UP_S, MINUTE_S) if options.seconds is None else (options.seconds, options.seconds)
    )
    rng = np.random.default_rng(options.seed)
    async with UnknownIds(settings, rng) as unknown:
        keys_before = await cache_keys(settings.cache_url)
        for _ in range(BURSTS):
            await unknown.ask(MOST_AT_ONCE, BURST_PER_S, MOST_AT_ONCE)
        await unknown.ask(round(warm_up_s * PER_S), PER_S)
    await asyncio.sleep(min(REST_S, minute_s))
    watch = ProcessWatch(backend)
    descriptors_before = watch.descriptors()
    cache_bytes_before = await cache_bytes(settings.cache_url)
    async with UnknownIds(settings, rng) as unknown, watch.sampling():
        began_s = time.monotonic()
        await unknown.ask(asks, PER_S)
        asked_s = time.monotonic() - began_s
    cache_bytes_grown = await cache_bytes(settings.cache_url) - cache_bytes_before
    await asyncio.sleep(minute_s)
    descriptors = grown(descriptors_before, watch.descriptors())
    new_keys = await cache_keys(settings.cache_url) - keys_before
    mb_a_minute = watch.mb_a_minute()
    mb_a_minute["cache"] = round(cache_bytes_grown / BYTES_A_MB * 60.0 / asked_s, 3)
    return {
        "keys_grown": len(new_keys),
        "mb_a_minute_max": max(mb_a_minute.values(), default=None),
        "descriptors_grown": max(descriptors.values(), default=0),
        "asked": unknown.asked,
        "asked_per_s": round(unknown.asked / asked_s, 1),
        "answers": dict(unknown.answers),
        "unavailable": dict(unknown.unavailable),
        "keys_by_kind": by_kind(new_keys),
        "mb_a_minute": mb_a_minute,
        "descriptors": {name: count for name, count in descriptors.items() if count},
    }


async def cache_keys(url: str) -> set[str]:
    """The names of the cache's keys that are somebody's: with a number or an id in them."""
    cache = Redis.from_url(url, decode_responses=True)
    async with contextlib.aclosing(cache):
        return {name async for name in cache.scan_iter(count=1_000) if WITH_AN_ID.search(name)}


async def cache_bytes(url: str) -> int:
    """The memory of the cache by its own count: its allocator takes and gives back 3 MB in a step."""
    cache = Redis.from_url(url)
    async with contextlib.aclosing(cache):
        return int((await cache.info("memory"))["used_memory"])


def by_kind(keys: Sequence[str] | set[str]) -> Mapping[str, int]:
    """Keys by what comes before their id, such as ``{meta}:player``."""
    counts: dict[str, int] = {}
    for key in keys:
        kind = ":".join(key.split(":")[:2])
        counts[kind] = counts.get(kind, 0) + 1
    return counts
