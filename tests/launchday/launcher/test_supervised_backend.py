"""A whole backend under supervision: every process of it is killed, and players are served again."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from functools import partial
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from launchday.engines import free_port
from launchday.launcher import lifecycle
from launchday.launcher.backend import Backend
from launchday.launcher.services import SERVICES
from launchday.settings import Settings
from meta_service.client import MetaClient, MetaUnavailableError
from tests.waiting import until

DEVICE = "a-device-that-logs-in-before-and-after"


async def readiness(settings: Settings) -> dict[str, tuple[int, str]]:
    """What each service answers to /readyz: its code, and its status; 0 where it does not answer."""
    found = {}
    async with httpx2.AsyncClient(timeout=2.0) as http:
        for service in SERVICES:
            try:
                answer = await http.get(f"{service.base_url(settings)}/readyz")
            except httpx2.TransportError:
                found[service.name] = (0, "")
            else:
                found[service.name] = (answer.status_code, answer.json()["status"])
    return found


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("kernels")
def test_every_process_is_back_after_kill_9_engines_included(tmp_path: Path) -> None:
    """One backend for all of it, as a start takes seconds."""
    ports = {service.port_setting: free_port() for service in SERVICES}
    settings = Settings(state_dir=tmp_path, regions="west-europe", ready_per_region=1, max_servers=2)
    told = io.StringIO()
    everything_is_ready = {service.name: (200, "ready") for service in SERVICES}

    async def play(completed: Settings, _stop: asyncio.Event, backend: Backend) -> int:
        assert await readiness(completed) == everything_is_ready
        async with MetaClient(completed.meta_url, "") as meta:
            player_id = (await meta.login_device(DEVICE)).player_id

            # A planned outage: services that go on without the part are degraded, others are not ready.
            for role, status in (("store", (200, "degraded")), ("cache", (503, "not-ready"))):
                server = backend.engine(role)
                assert server is not None
                with backend.planned_outage(role):
                    server.kill()
                    await until(partial(_is, completed, "meta service", status), f"it says {status}")
                    server.start(server.port)
            await until(lambda: _all_are(completed, everything_is_ready), "all are ready again")
            assert not backend.deaths

            before = backend.processes
            assert {"cache", "store", "bus", *(service.name for service in SERVICES)} == set(before)
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)
            await until(lambda: told.getvalue().count(" is back after ") >= len(before), "all are back")
            await until(lambda: _all_are(completed, everything_is_ready), "all are ready again")
            assert len(backend.deaths) >= len(before)
            after = backend.processes
            assert set(after) == set(before)
            assert not set(after.values()) & set(before.values())
            login = await until(
                lambda: meta.login_device(DEVICE), "a player logs in", ignore=MetaUnavailableError
            )
            assert login.player_id == player_id  # engines kept their data
        return 0

    code = lifecycle.run_with_backend(
        settings.model_copy(update=ports),
        play,
        Console(file=told, width=200, no_color=True),
        fresh=True,
        judges=True,
    )
    assert code == lifecycle.FAILED  # for whoever judges the run: processes died unplanned
    assert "died unplanned" in told.getvalue()
    assert "events that nobody had read yet are lost" in told.getvalue()
    for log in (tmp_path / "logs").glob("*.log"):
        assert "Timeout (0:" not in log.read_text(errors="replace"), f"{log.name}: it did not stop in time"


async def _is(settings: Settings, service: str, answer: tuple[int, str]) -> bool:
    return (await readiness(settings))[service] == answer


async def _all_are(settings: Settings, answers: dict[str, tuple[int, str]]) -> bool:
    return await readiness(settings) == answers
