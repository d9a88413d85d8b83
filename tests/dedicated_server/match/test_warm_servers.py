"""The whole of it: `python -m dedicated_server.fleet` with real game servers, forked from a warm parent, and
real players.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from dedicated_server.fleet.client import (
    Allocation,
    AllocatorClient,
    FleetAdminClient,
    FleetUnavailableError,
    NoServerReadyError,
)
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from rewards.events import ensure_topics
from tests.dedicated_server.fleet.conftest import free_port_range
from tests.dedicated_server.match.conftest import FLEET_KEY, TestMatch, meta_client, new_match, playing
from tests.dedicated_server.match.strict_sidecar import free_tcp_port
from tests.waiting import until

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kernels")]


class Fleet:
    """A fleet in a process of its own, and its clients."""

    def __init__(
        self, process: subprocess.Popen[bytes], allocator: AllocatorClient, admin: FleetAdminClient
    ) -> None:
        self.process, self.allocator, self.admin = process, allocator, admin

    async def ready(self, count: int) -> None:
        """Wait until so many servers are Ready."""

        async def enough() -> bool:
            assert self.process.poll() is None
            return bool((await self.admin.fleet())["total"]["Ready"] >= count)

        await until(enough, f"{count} servers are Ready", within_s=120.0, ignore=FleetUnavailableError)

    async def gone(self, name: str) -> dict[str, Any]:
        """Wait until a server is gone; returns what is known of it."""

        async def when_gone() -> dict[str, Any] | None:
            server = await self.admin.gameserver(name)
            return server if server["gone"] else None

        found: dict[str, Any] = await until(when_gone, f"{name} is gone", within_s=120.0)
        return found

    async def allocate(self, match: TestMatch) -> Allocation:
        """Allocate a server, as soon as there is one."""

        async def given() -> Allocation:
            return await self.allocator.allocate(
                region="west-europe",
                match=json.loads(match.annotation),
                idempotency_key=str(match.match_id),
            )

        allocation: Allocation = await until(given, "a server is Ready", ignore=NoServerReadyError)
        return allocation


def launch(settings: Settings) -> subprocess.Popen[bytes]:
    env = {**os.environ, **environment(settings)}
    with (settings.state_dir / "fleet.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dedicated_server.fleet"], env=env, stdout=log, stderr=log
        )


@asynccontextmanager
async def running_fleet(settings: Settings) -> AsyncIterator[Fleet]:
    first = free_port_range(20)
    configured = settings.model_copy(
        update={
            "fleet_key": SecretStr(FLEET_KEY.hex()),
            "fleet_port": free_tcp_port(),
            "regions": "west-europe",
            "ready_per_region": 2,
            "max_servers": 10,
            "game_port_min": first,
            "game_port_max": first + 19,
        }
    )
    await ensure_topics(configured.kafka_bootstrap, configured.topic_prefix)
    process = launch(configured)
    url = f"http://127.0.0.1:{configured.fleet_port}"
    token = signer_of(configured, "loadtest").service_token("test", time.time())
    async with AllocatorClient(url, token) as allocator, FleetAdminClient(url, token) as admin:
        fleet = Fleet(process, allocator, admin)
        try:
            await fleet.ready(2)
            yield fleet
        finally:
            process.terminate()
            process.wait()


async def test_a_forked_server_plays_a_match_and_all_counters_agree(meta_process: Settings) -> None:
    async with running_fleet(meta_process) as fleet, meta_client(meta_process) as meta:
        player_ids = [(await meta.login_device(f"test-device-{n}")).player_id for n in range(6)]
        match = new_match(player_ids, match_s=2.0)
        given = await fleet.allocate(match)
        async with playing(match.tokens(given.port)) as players:
            server = await fleet.gone(given.name)
            assert players.match_over == [True] * 6
        counters, of_meta = await fleet.admin.counters(), await meta.counters()
        idle = [one for one in await fleet.admin.gameservers() if one["state"] == "Ready"]
        private_mb = [psutil.Process(one["pid"]).memory_full_info().uss / 2**20 for one in idle]
    assert (counters["matches_started"], counters["matches_ended"], counters["matches_failed"]) == (1, 1, 0)
    assert (counters["players_connected"], counters["players_lost"]) == (6, 0)
    assert (of_meta.checkouts, of_meta.commits) == (6, 6)
    [report] = counters["reports"]
    assert report["kills"] == counters["kills"]
    assert report["events_spooled"] == 0
    assert [entry["state"] for entry in server["history"]][-3:] == ["Ready", "Allocated", "Shutdown"]
    log = meta_process.state_dir / "logs" / "servers" / f"{match.match_id}.{given.name}.log"
    assert "the match is over" in log.read_text()
    assert max(private_mb) < 20, "a forked server shares its memory with the warm parent"


async def test_servers_killed_in_the_middle_of_matches_are_replaced_and_nothing_outlives_the_fleet(
    meta_process: Settings,
) -> None:
    async with running_fleet(meta_process) as fleet, meta_client(meta_process) as meta:
        for number in range(3):
            match = new_match([(await meta.login_device(f"test-device-{number}")).player_id], match_s=60)
            given = await fleet.allocate(match)
            async with playing(match.tokens(given.port)) as players:
                await until(lambda: players.connected)
                os.kill((await fleet.admin.gameserver(given.name))["pid"], signal.SIGKILL)
                assert (await fleet.gone(given.name))["state"] == "Unhealthy"
        await fleet.ready(2)
        counters = await fleet.admin.counters()
        assert (counters["matches_started"], counters["matches_failed"]) == (3, 3)

        match = new_match([(await meta.login_device("test-device-3")).player_id], match_s=60)
        async with playing(match.tokens((await fleet.allocate(match)).port)) as players:
            await until(lambda: players.connected)
            started = psutil.Process(fleet.process.pid).children(recursive=True)
            assert len(started) >= 3
            fleet.process.kill()
            await until(
                lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started)
            )
