"""``launchday bench fuzz``: the four HTTP APIs of a backend, at the same time, each by a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import requests

from launchday.clock import SystemClock
from launchday.identity import signer_of
from launchday.launcher.backend import Backend
from launchday.settings import Settings
from loadtest.bench.own_backend import run_backend
from loadtest.errors import BenchError

APIS = {"meta": "meta_url", "matchmaker": "matchmaker_url", "fleet": "fleet_url", "rewards": "rewards_url"}
SHOWN = 40  # faults of an API
OVERRIDES: dict[str, Any] = {
    "ready_per_region": 1,
    "max_servers": 6,
    "match_s": 20.0,
    # What is looked for lies behind the limits.
    "requests_per_player_s": 0.0,
    "requests_per_address_s": 0.0,
    "logins_per_address_s": 0.0,
    "tickets_per_player_s": 0.0,
}


def run(seconds: float, apis: Sequence[str] = (), seed: int = 1) -> dict[str, Any]:
    """Try each API for so many seconds, all of them at the same time; return what was wrong.

    Args:
        seconds: for each.
        apis: some of `APIS`; none: all.
        seed: of callers and inputs.

    Raises BenchError where an API is not known, or the backend does not start.
    """
    if unknown := set(apis) - set(APIS):
        raise BenchError(f"{', '.join(sorted(unknown))}: the APIs are {', '.join(APIS)}")
    found: dict[str, Any] = {}

    async def use(settings: Settings, stop: asyncio.Event, _: Backend) -> int:
        chosen = {name: getattr(settings, APIS[name]) for name in apis or APIS}
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(len(chosen), mp_context=multiprocessing.get_context("spawn")) as pool:
            work = [
                loop.run_in_executor(pool, try_api, url, settings, seconds, seed + number)
                for number, url in enumerate(chosen.values())
            ]
            found.update(zip(chosen, await asyncio.gather(*work), strict=True))
        return 0

    known = {name: value for name, value in OVERRIDES.items() if name in Settings.model_fields}
    run_backend(use, known)
    return {
        "bench": "fuzz",
        "seconds": seconds,
        "requests": sum(one["requests"] for one in found.values()),
        "wrong": sum(len(one["wrong"]) for one in found.values()),
        **found,
    }


def try_api(url: str, settings: Settings, seconds: float, seed: int) -> dict[str, Any]:
    """Try one API, as its document at ``/openapi.json`` describes it; return counts and faults."""
    from loadtest.bench.fuzz.callers import Callers
    from loadtest.bench.fuzz.fuzzing import Fuzzer

    clock = SystemClock()
    document = requests.get(f"{url}/openapi.json", timeout=10).json()
    callers = Callers(signer_of(settings), clock, settings.meta_url)
    tried = Fuzzer(url, document, callers, clock, seed).run(seconds)
    return {
        "requests": tried.requests,
        "statuses": dict(sorted(tried.statuses.items())),
        "wrong": _listed(tried.wrong),
        "stricter": _listed(tried.stricter),
    }


def _listed(findings: Mapping[tuple[str, str], tuple[int, str]]) -> list[dict[str, Any]]:
    return [
        {"operation": operation, "what": what, "times": times, "request": request}
        for (operation, what), (times, request) in list(findings.items())[:SHOWN]
    ]
