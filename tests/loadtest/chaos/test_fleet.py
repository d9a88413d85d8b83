"""A fleet whose servers, warm parents and own process are killed while directors allocate: every allocation
ends, and none twice.

A dozen servers are killed here; LAUNCHDAY_CHAOS_KILLS says how many in a long run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from dedicated_server.fleet.client import (
    AllocatorClient,
    Cursor,
    FleetAdminClient,
    FleetUnavailableError,
    MatchLostError,
    NoServerReadyError,
)
from launchday.engines import free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from tests.dedicated_server.fleet.conftest import HERE as STAND_IN
from tests.dedicated_server.fleet.conftest import REGION, free_port_range
from tests.waiting import until

KILLS = int(os.environ.get("LAUNCHDAY_CHAOS_KILLS", "12"))
DIRECTORS, CALLERS = 3, 2
IDLE = 6
FLEET = """
from dedicated_server.fleet.app import create_fleet
from launchday import service
from launchday.settings import settings
own = settings()
service.serve(create_fleet(own, server_module="stand_in_server"), own.bind_host, own.fleet_port)
"""
MODES = ("brief", "brief", "play", "stay", "crash")


class Chaos:
    """A fleet's process, the directors that allocate from it, and what each allocation came to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = f"http://127.0.0.1:{settings.fleet_port}"
        self.token = signer_of(settings, "loadtest").service_token("chaos", time.time())
        self.admin = FleetAdminClient(self.url, self.token)
        self.given: dict[str, str] = {}  # match → server
        self.refused: set[str] = set()
        self.outcomes: dict[str, set[tuple[str, str]]] = {}  # match → (server, outcome), as told
        self.killed: Counter[str] = Counter()
        self.stop = asyncio.Event()
        self.process = self.launch()

    def launch(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, **environment(self.settings), "PYTHONPATH": str(STAND_IN), "STAND_IN": ""}
        with (self.settings.state_dir / "fleet.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", FLEET], env=env, stdout=log, stderr=log)

    async def direct(self, number: int) -> None:
        """One caller of a director: a match after another, asking under the same key until there is an answer
        for good.
        """
        random_ = random.Random(number)
        async with AllocatorClient(self.url, self.token, patience_s=2.0) as allocator:
            while not self.stop.is_set():
                match_id = str(uuid.uuid4())
                match = {"match_id": match_id, "mode": random_.choice(MODES)}
                while True:
                    try:
                        given = await allocator.allocate(region=REGION, match=match, idempotency_key=match_id)
                        self.given[match_id] = given.name
                        break
                    except MatchLostError:
                        self.refused.add(match_id)
                        break
                    except (NoServerReadyError, FleetUnavailableError):
                        if self.stop.is_set() and self.process.poll() is None:
                            self.refused.add(match_id)
                            break
                        await asyncio.sleep(0.01)

    async def follow(self) -> None:
        """Take down what every match came to, as a director would."""
        cursor = Cursor()
        while True:
            try:
                cursor, changes, _ = await self.admin.changes(cursor, kind="match", wait_s=0.2)
            except FleetUnavailableError:
                await asyncio.sleep(0.02)
                continue
            for change in changes:
                told = self.outcomes.setdefault(change["match_id"], set())
                told.add((change["name"], change["outcome"]))

    async def servers(self) -> list[dict[str, Any]]:
        """The live servers, as soon as the fleet answers."""
        while True:
            try:
                return await self.admin.gameservers(live="true")
            except FleetUnavailableError:
                await asyncio.sleep(0.02)

    async def kill_one(self, random_: random.Random) -> None:
        """Kill a server, whatever it is doing."""
        while True:
            servers = [one for one in await self.servers() if one["pid"] is not None]
            if servers:
                victim = random_.choice(servers)
                with contextlib.suppress(ProcessLookupError):  # it was gone already: another
                    os.kill(victim["pid"], signal.SIGKILL)
                    self.killed[victim["state"]] += 1
                    return
            await asyncio.sleep(0.01)

    async def kill_a_parent(self) -> None:
        """Kill a warm parent, and all its servers with it."""
        parents = (await self.admin.fleet())["warm_parents"]
        os.kill(next(parent["pid"] for parent in parents if parent["warm"]), signal.SIGKILL)

    async def kill_the_fleet(self) -> list[psutil.Process]:
        """Kill the fleet itself and start it again; returns what it had started."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        self.process = self.launch()
        return family


@pytest.mark.timeout(120 + 3 * KILLS)
async def test_every_allocation_ends_and_none_twice(tmp_path: Path) -> None:
    first = free_port_range(100)
    settings = Settings(
        state_dir=tmp_path,
        identity_secret=SecretStr("chaos" * 8),
        fleet_key=SecretStr("0" * 64),
        regions=REGION,
        ready_per_region=IDLE,
        max_servers=48,
        warm_parents=2,
        game_port_min=first,
        game_port_max=first + 99,
        fleet_port=free_port(),
        meta_url="http://127.0.0.1:1",
        matchmaker_url="http://127.0.0.1:1",
        server_health_s=5.0,
    )
    chaos, random_ = Chaos(settings), random.Random(5)
    await chaos.servers()
    directors = [asyncio.create_task(chaos.direct(number)) for number in range(DIRECTORS * CALLERS)]
    follower = asyncio.create_task(chaos.follow())
    orphans: list[psutil.Process] = []
    try:
        for kill in range(KILLS):
            await chaos.kill_one(random_)
            await asyncio.sleep(random_.uniform(0.0, 0.2))
            if kill == KILLS // 3:
                await chaos.kill_a_parent()
            if kill == 2 * KILLS // 3:
                orphans = await chaos.kill_the_fleet()
        chaos.stop.set()
        await asyncio.gather(*directors)
        await end_all_matches(chaos)
        await until(lambda: set(chaos.given) <= set(chaos.outcomes), "every match ends", within_s=60)
        assert [one for one in orphans if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        for task in (*directors, follower):
            task.cancel()
        await asyncio.gather(*directors, follower, return_exceptions=True)
        await chaos.admin.aclose()
        chaos.process.terminate()
        chaos.process.wait()

    assert len(chaos.given) > KILLS
    servers = Counter(chaos.given.values())
    assert [name for name, times in servers.items() if times > 1] == [], "a server was given to two matches"
    for match_id, server in chaos.given.items():
        told = {outcome for name, outcome in chaos.outcomes[match_id] if name == server}
        assert len(told) == 1, f"match {match_id} on {server} came to {told}"
    print(
        json.dumps(
            {
                "kills": sum(chaos.killed.values()),
                "by_state": dict(chaos.killed),
                "allocations": len(chaos.given),
                "refused_for_good": len(chaos.refused),
                "ended": sum(("ended" in {one for _, one in told}) for told in chaos.outcomes.values()),
                "failed": sum(("failed" in {one for _, one in told}) for told in chaos.outcomes.values()),
                "given_twice": sum(times > 1 for times in servers.values()),
                "orphans": 0,
            }
        )
    )


async def end_all_matches(chaos: Chaos) -> None:
    """End what plays for ever, and wait until no server is in a match and the buffer is full again."""
    while True:
        servers = await chaos.servers()
        playing = [one for one in servers if one["state"] == "Allocated"]
        for one in playing:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one["pid"], signal.SIGKILL)
        if not playing and sum(one["state"] == "Ready" for one in servers) == IDLE:
            return
        await asyncio.sleep(0.05)
