"""Readiness: what /readyz says of parts that are well, slow and away, and what asking costs them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from launchday.clock import ManualClock, SystemClock
from launchday.engines import free_port
from launchday.resilience import health
from launchday.resilience.health import AWAY_AFTER_S, FRESH_S, Health, Part, operations
from launchday.service import create_app
from launchday.settings import Settings
from tests.waiting import until


class Answer:
    """A part's check: says what it is told to say, and counts how often it was asked."""

    def __init__(self, says: str | BaseException | None = None) -> None:
        self.says = says
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    ("says", "needed", "status", "code"),
    [
        (None, True, "ready", 200),
        ("cannot write", False, "degraded", 200),
        ("cannot write", True, "not-ready", 503),
        (ConnectionRefusedError("nobody listens"), True, "not-ready", 503),
    ],
)
async def test_it_is_not_ready_only_where_a_needed_part_is_away(
    says: str | Exception | None, needed: bool, status: str, code: int
) -> None:
    found = await Health([Part("store", Answer(says), needed)], ManualClock()).readiness()
    assert (found.status, found.http_status) == (status, code)
    assert str(says or "ok") in found.parts["store"]


async def test_a_part_that_is_slow_counts_as_away_only_when_it_stays_so() -> None:
    clock, check = ManualClock(), Answer(TimeoutError())
    readiness = Health([Part("cache", check, needed=True)], clock).readiness
    assert (await readiness()).status == "degraded"
    clock.advance(AWAY_AFTER_S)
    assert (await readiness()).status == "not-ready"
    check.says = None
    clock.advance(FRESH_S)
    assert (await readiness()).status == "ready"
    check.says = TimeoutError()
    clock.advance(10 * AWAY_AFTER_S)  # asked rarely: that is one late answer, not a minute of them
    assert (await readiness()).status == "degraded"


async def test_many_who_ask_cost_a_part_one_question_a_second() -> None:
    clock, check = ManualClock(), Answer()
    readiness = Health([Part("cache", check)], clock).readiness
    await asyncio.gather(*(readiness() for _ in range(50)))
    clock.advance(FRESH_S / 2)
    await readiness()
    assert check.asked == 1
    clock.advance(FRESH_S / 2)
    await readiness()
    assert check.asked == 2


async def test_a_check_that_never_ends_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_S", 0.01)
    begun = 0
    released = asyncio.Event()

    async def deaf() -> str | None:
        nonlocal begun
        begun += 1
        while not released.is_set():  # it does not hear that it is cancelled, as some clients do not
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return None

    clock = ManualClock()
    readiness = Health([Part("store", deaf), Part("cache", Answer())], clock).readiness
    for _ in range(3):
        found = await readiness()
        assert found.parts == {"store": "no answer within 0.01 s", "cache": "ok"}
        clock.advance(FRESH_S)
    assert begun == 1
    released.set()


async def test_an_asker_who_goes_away_leaves_the_answer_to_the_others() -> None:
    release = asyncio.Event()

    async def check() -> str | None:
        await release.wait()
        return None

    readiness = Health([Part("cache", check)], ManualClock()).readiness
    first, second = asyncio.create_task(readiness()), asyncio.create_task(readiness())
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert (await second).status == "ready"


async def test_a_service_answers_readyz_and_says_that_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app(
        "a service",
        Settings(identity_secret=SecretStr("s" * 64)),
        lifespan,
        parts=[Part("cache", Answer("it is loading"), needed=True)],
    )
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "not-ready", "parts": {"cache": "it is loading"}}
        monkeypatch.setattr(health, "_stopping", True)
        assert (await http.get("/readyz")).json()["status"] == "stopping"
        assert (await http.get("/healthz")).status_code == 200


async def test_a_process_without_an_api_has_a_port_with_health_readiness_and_metrics() -> None:
    clock, port = SystemClock(), free_port()
    parts = [Part("store", Answer("away"))]
    office = {"office": {"battle_royale": "stands by"}}
    async with (
        operations(Settings(), port, parts, clock, details=lambda: office),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        ready = await until(lambda: http.get("/readyz"), "it answers", ignore=httpx2.ConnectError)
        assert ready.status_code == 200
        assert ready.json() == {"status": "degraded", "parts": {"store": "away"}} | office
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        metrics = (await http.get("/metrics")).text
        assert 'launchday_part_up{part="store"} 0.0' in metrics
        assert "launchday_event_loop_lag_seconds" in metrics
        assert (await http.get("/")).status_code == 404


async def test_a_busy_port_ends_nothing_and_is_taken_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BIND_RETRY_S", 0.01)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port()))
        holder.listen()
        port = holder.getsockname()[1]
        async with (
            operations(Settings(), port, [], SystemClock()),
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            await asyncio.sleep(0)
            holder.close()
            answer = await until(lambda: http.get("/readyz"), "it answers", ignore=httpx2.TransportError)
            assert answer.json()["status"] == "ready"


HANGS = """
import signal, threading
from launchday.resilience.health import begin_stop
signal.signal(signal.SIGTERM, lambda *_: begin_stop(0.1))
print("up", flush=True)
while True:
    signal.pause()
"""


def test_a_process_that_does_not_stop_says_where_it_hangs_and_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Timeout" in said
    assert 'File "<string>", line 7' in said
