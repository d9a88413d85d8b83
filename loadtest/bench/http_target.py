"""``http-target``: what a request costs the load generator, against the first example, by processor time.

Four ways of asking the same server, in turns: bare bytes over a socket, which is the floor; the client that
targets are given (``loadtest.http_target``); httpx2, which our own services' clients use; and whole journeys
of players through a flood. Only this process's time counts: the matchmaker has a process of its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import httpx2
import uvloop

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.bench.harness.statistics import ratio
from loadtest.errors import BenchError
from loadtest.examples.plain_target import PlainConnection, PlainSession, PlainTarget
from loadtest.examples.serving import serving
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.run import flood
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import region_latencies_ms

LEAST = 3_000  # requests a second and core of the generator
AT_ONCE = 50  # requests that are under way at the same time
BODY = {"device_id": "a-device-of-the-bench"}
HTTPX_SHARE = 8  # of the requests: it is so much slower

Send = Callable[[], Awaitable[None]]


def run(requests: int = 10_000, players: int = 2_000, rounds: int = 3) -> dict[str, Any]:
    """Measure, and return what is printed.

    Args:
        requests: of each round, one way.
        players: of each round's flood; each makes four requests.
        rounds: of which the best counts: what else the machine does makes none cheaper.

    Raises:
        BenchError: the matchmaker does not answer, or the flood did not come to its end.
    """
    costs_us: dict[str, list[float]] = {}
    arguments = ("--service-ms", "0", "--backlog", "1000000", "--fill-s", "0.5")
    with serving("plain_matchmaker", *arguments) as address:
        for _ in range(rounds):
            for name, cost_us in (
                ("floor", uvloop.run(_bare(address, requests))),
                ("client", uvloop.run(_client(address, requests))),
                ("httpx2", uvloop.run(_httpx(address, requests // HTTPX_SHARE))),
                ("players", uvloop.run(_players(address, players))),
            ):
                costs_us.setdefault(name, []).append(cost_us)
    best = {name: min(values) for name, values in costs_us.items()}
    return {
        "bench": "http-target",
        "client": f"aiohttp {aiohttp.__version__} on uvloop",
        "requests_per_core_s": round(1e6 / best["players"]),
        "client_requests_per_core_s": round(1e6 / best["client"]),
        "floor_requests_per_core_s": round(1e6 / best["floor"]),
        "httpx2_requests_per_core_s": round(1e6 / best["httpx2"]),
        "us_a_request": {name: round(value, 1) for name, value in best.items()},
        "ratio": ratio(best["client"], best["floor"], 2),
        "requests": requests,
        "players": players,
        "rounds": rounds,
        "limit": LEAST,
        "passed": round(1e6 / best["players"]) >= LEAST,
    }


async def _cost_us(send: Send, requests: int) -> float:
    """Microseconds of this process's time for each request, with AT_ONCE under way."""
    left = requests

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await send()

    await asyncio.gather(*(send() for _ in range(AT_ONCE)))  # connections are opened, nothing is measured
    begun_s = time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return (time.process_time() - begun_s) / requests * 1e6


class _BareConnection(asyncio.Protocol):
    """Sends bytes and takes the next that come for the answer."""

    answer: asyncio.Future[bytes]
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        if not self.answer.done():
            self.answer.set_result(data)


async def _bare(address: str, requests: int) -> float:
    """The floor: the same bytes on the same loop, of an HTTP request that nobody builds and nobody reads."""
    loop, parts = asyncio.get_running_loop(), urlsplit(address)
    body = json.dumps(BODY).encode()
    request = b"POST /login HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    idle: list[_BareConnection] = []

    async def send() -> None:
        if not idle:
            _, connection = await loop.create_connection(
                _BareConnection, parts.hostname or "", parts.port or 80
            )
        else:
            connection = idle.pop()
        connection.answer = loop.create_future()
        connection.transport.write(request)
        await connection.answer
        idle.append(connection)

    cost_us = await _cost_us(send, requests)
    for connection in idle:
        connection.transport.close()
    return cost_us


async def _client(address: str, requests: int) -> float:
    async with PlainTarget(address) as target:

        async def send() -> None:
            await target.post("/login", BODY)

        return await _cost_us(send, requests)


async def _httpx(address: str, requests: int) -> float:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=address, limits=limits, trust_env=False) as client:

        async def send() -> None:
            (await client.post("/login", json=BODY)).json()

        return await _cost_us(send, requests)


class ShortMatches(PlainTarget):
    """The plain matchmaker's players, whose matches are over at once: what is measured are their requests."""

    async def play(self, session: PlainSession, connection: PlainConnection) -> None:
        """Nothing."""


async def _players(address: str, count: int) -> float:
    """Microseconds for each request of whole journeys, with everything that a flood does besides."""
    scenario = Scenario.model_validate(
        {
            "name": "bench",
            "players": {"count": count, "locations": {"west-europe": 1.0}},
            "arrivals": {"curve": "constant", "over_s": count / 500},
            "modes": {"duel": {"players": 4, "duration_s": 5}},
        }
    )
    options = FloodOptions(target=lambda: ShortMatches(address))
    outcome = await flood(
        scenario,
        region_latencies_ms(scenario, options.regions(scenario, Settings())),
        Settings(),
        options,
        console=Terminal(file=io.StringIO()),
        stop_event=asyncio.Event(),
    )
    if outcome.interrupted or outcome.players_lost:
        why = outcome.interrupted or next(iter(outcome.records.count_reasons()), "")
        raise BenchError(f"the flood of the plain matchmaker did not come to its end: {why}")
    return outcome.generator.cpu_cores * outcome.wall_s / _sent(outcome) * 1e6


def _sent(outcome: RunOutcome) -> int:
    """Requests over HTTP: connecting is none on a matchmaker without game servers."""
    return sum(counted.sent for kind, counted in outcome.requests.by_kind.items() if kind != "connect")
