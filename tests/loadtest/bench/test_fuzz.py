"""The four HTTP APIs, tried by what Schemathesis makes of their documents, over real engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from launchday.clock import SystemClock
from launchday.engines import free_port
from launchday.identity import signer_of
from launchday.settings import Settings
from loadtest.bench.fuzz.callers import Callers
from loadtest.bench.fuzz.fuzz import APIS, OVERRIDES, try_apis
from loadtest.bench.fuzz.fuzzing import Fuzzer
from matchmaker.api.app import create_api
from meta_service.app import build as build_meta
from rewards.app import build as build_rewards
from rewards.progression import rules
from tests.dedicated_server.fleet.conftest import InProcess, free_port_range, running_fleet
from tests.waiting import until

SECONDS = 20.0

pytestmark = pytest.mark.filterwarnings("ignore")  # of Hypothesis, which runs outside of its own tests here


@asynccontextmanager
async def served(app: FastAPI, port: int) -> AsyncIterator[str]:
    server = InProcess(
        uvicorn.Config(app, port=port, log_config=None, ws="none", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done(), "the application serves")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def backend(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings of four APIs that run."""
    first = free_port_range(10)
    ports = {url: free_port() for url in APIS.values()}
    own = settings.model_copy(
        update={
            **{name: value for name, value in OVERRIDES.items() if name in Settings.model_fields},
            **{url: f"http://127.0.0.1:{port}" for url, port in ports.items()},
            **{url.replace("_url", "_port"): port for url, port in ports.items()},
            "state_dir": tmp_path,
            "regions": "west-europe,east-us",
            "game_port_min": first,
            "game_port_max": first + 9,
        }
    )
    async with AsyncExitStack() as stack:
        for name, app in {
            "meta_url": build_meta(own),
            "matchmaker_url": create_api(own, SystemClock()),
            "rewards_url": build_rewards(own, rules.load(), SystemClock()),
        }.items():
            await stack.enter_async_context(served(app, ports[name]))
        fleet = await stack.enter_async_context(running_fleet(own))
        yield own.model_copy(update={"fleet_url": fleet.url})


@pytest.mark.timeout(120)
async def test_no_request_makes_an_api_fail_and_every_refusal_is_problem_details(backend: Settings) -> None:
    found = await try_apis(backend, tuple(APIS), SECONDS, seed=1)
    assert [fault for one in found.values() for fault in one["wrong"]] == []
    assert all(one["requests"] > 20 for one in found.values()), found


class Small(BaseModel):
    number: int = Field(ge=0)


async def test_what_is_wrong_is_found(settings: Settings) -> None:
    app = FastAPI()

    @app.get("/honest")
    async def honest() -> Small:
        return Small(number=1)

    @app.get("/failing")
    async def failing() -> Small:
        raise RuntimeError("planted")

    @app.get("/hasty")
    async def hasty() -> JSONResponse:
        return JSONResponse(
            {"type": "a", "title": "a", "status": 503}, 503, media_type="application/problem+json"
        )

    @app.post(
        "/lax",
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": Small.model_json_schema()}}}
        },
    )
    async def lax() -> Small:
        return Small(number=2)

    clock = SystemClock()
    async with served(app, free_port()) as url:
        fuzzer = Fuzzer(url, app.openapi(), Callers(signer_of(settings), clock), clock)
        tried = await asyncio.to_thread(fuzzer.run, 2.0)
    found: dict[str, list[Any]] = {}
    for operation, what in tried.wrong:
        found.setdefault(operation, []).append(what)
    assert "GET /honest" not in found
    assert "a 500" in found["GET /failing"]
    assert "a 503 without Retry-After" in found["GET /hasty"]
    assert any("Schema-violating request accepted" in what for what in found["POST /lax"])
