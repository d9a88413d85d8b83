"""``launchday bench fuzz``: the four HTTP APIs of a backend, side by side, each by a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import warnings
from collections.abc import Iterator, Mapping, Sequence
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


def run(seconds: float, apis: Sequence[str] = (), seed: int = 1) -> Iterator[dict[str, Any]]:
    """Try each API for so many seconds, all of them at the same time.

    Args:
        seconds: for each.
        apis: some of `APIS`; none: all.
        seed: of callers and inputs.

    Yields a line for each fault (``wrong``), one for each request that the document calls right and the API
    refused for its form (``stricter``), and last one for each API.

    Raises BenchError where an API is not known, or the backend does not start.
    """
    if unknown := set(apis) - set(APIS):
        raise BenchError(f"{', '.join(sorted(unknown))}: the APIs are {', '.join(APIS)}")
    if importlib.util.find_spec("schemathesis") is None:
        raise BenchError("schemathesis is not installed: pip install 'launchday[dev]'")
    found: dict[str, Any] = {}

    async def use(settings: Settings, stop: asyncio.Event, _: Backend) -> int:
        found.update(await try_apis(settings, apis or tuple(APIS), seconds, seed))
        return 0

    run_backend(use, {name: value for name, value in OVERRIDES.items() if name in Settings.model_fields})
    for kind in ("stricter", "wrong"):
        for name, one in found.items():
            for fault in one[kind]:
                yield {"bench": "fuzz", "api": name, kind: fault.pop("what"), **fault}
    for name, one in found.items():
        yield {
            "bench": "fuzz",
            "api": name,
            "seconds": seconds,
            "requests": one["requests"],
            "faults": len(one["wrong"]),
            "statuses": one["statuses"],
        }


async def try_apis(
    settings: Settings, apis: Sequence[str], seconds: float, seed: int
) -> dict[str, dict[str, Any]]:
    """Try APIs of a backend that runs, side by side; return counts and faults by API.

    In processes: Hypothesis is not made for several threads.
    """
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(len(apis), mp_context=multiprocessing.get_context("spawn")) as pool:
        work = [
            loop.run_in_executor(
                pool, _try_api, getattr(settings, APIS[name]), settings, seconds, seed + number
            )
            for number, name in enumerate(apis)
        ]
        return dict(zip(apis, await asyncio.gather(*work), strict=True))


def _try_api(url: str, settings: Settings, seconds: float, seed: int) -> dict[str, Any]:
    """Try one API, as its document at ``/openapi.json`` describes it."""
    warnings.simplefilter("ignore")  # Hypothesis would rather be a test
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
