"""A service that is asked to stop says so first, goes on for as long as the load balancer needs, and ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from launchday.clock import ManualClock
from launchday.engines import free_port
from launchday.resilience import health, http_server
from launchday.service import create_app
from launchday.settings import Settings
from tests.waiting import until

DRAIN_S = 5.0


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def test_readyz_says_stopping_while_everything_else_is_still_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds: list[float] = []

    def begin_stop(timeout_s: float) -> None:  # as it is, but for the end of this process
        bounds.append(timeout_s)
        monkeypatch.setattr(health, "_stopping", True)

    monkeypatch.setattr(http_server, "begin_stop", begin_stop)
    monkeypatch.setattr(health, "_stopping", False)
    clock, port = ManualClock(), free_port()
    app = create_app("a service", Settings(identity_secret=SecretStr("s" * 64)), nothing, clock=clock)
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False)
    server = http_server.HttpServer(config, clock, DRAIN_S)
    serving = asyncio.create_task(server._serve())
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        ready = await until(lambda: http.get("/readyz"), "it answers", ignore=httpx2.ConnectError)
        assert ready.json()["status"] == "ready"

        server.handle_exit(signal.SIGTERM, None)
        clock.advance(DRAIN_S - 0.1)
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
        assert (await http.get("/healthz")).status_code == 200
        assert not server.should_exit

        clock.advance(0.1)
        await serving
        with pytest.raises(httpx2.ConnectError):
            await http.get("/readyz")
    assert bounds == [health.STOP_TIMEOUT_S + DRAIN_S]
