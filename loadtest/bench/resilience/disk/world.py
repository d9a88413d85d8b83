"""The fleet on small disks: it runs in a mount namespace of its own, which this folder makes.

``python -m loadtest.bench.resilience.disk.world OPTIONS``, the options as JSON; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from pydantic import SecretStr

from dedicated_server.fleet.client import (
    AllocatorClient,
    FleetAdminClient,
    FleetError,
    FleetUnavailableError,
    NoServerReadyError,
)
from launchday import child_processes, startup
from launchday.engines.base import free_port
from launchday.identity import OPERATOR, SERVICE, Signer
from launchday.resilience.http_client import NoAnswerError, ServiceClient
from launchday.settings import Settings, environment
from loadtest.bench.resilience.disk.inspection import half_written
from loadtest.bench.resilience.disk.stand_in_meta import StandInMeta
from loadtest.errors import BenchError

REGION = "west-europe"
MB = 1 << 20
ROOM_MB = 4  # of each folder
BUFFER = 4
MAX_SERVERS = 24  # a match takes 17 s: 10 for players to join, then Kafka is waited for
PLAYERS = 50  # a line of the journal has 700 bytes, so that a page that is half empty is soon full
FULL_S = 10.0
FULL_AT_END_S = 20.0  # for folders that are written at the end of a match, so that some end meanwhile
ASK_EVERY_S = 1.0
LOOK_S = 0.1
START_S = 120.0
BACK_S = 40.0  # after which a folder counts as never back
QUIET_S = 60.0
LATE_FOLDERS = frozenset({"spool", "results"})  # written at the end of a match
SECRET = "a benchmark's secret, which signs nothing else"


@dataclass
class World:
    """The fleet under test and its folders.

    Attributes:
        answered: allocations that were answered with a server.
        refused: allocations that were refused because of the disk.
    """

    settings: Settings
    folders: dict[str, Path]
    meta: StandInMeta
    allocator: AllocatorClient
    admin: FleetAdminClient
    health: ServiceClient
    answered: int = 0
    refused: int = 0
    policies_refused: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def ask(self) -> bool:
        """Ask for a server for a new match; return whether one was given."""
        number = next(self._numbers)
        match = {
            "match_id": str(uuid4()),
            "mode": "battle_royale",
            "region": REGION,
            "seed": number,
            "match_s": 5.0,
            "players": [
                {"player_id": str(number * PLAYERS + entity), "team": entity, "entity": entity}
                for entity in range(PLAYERS)
            ],
        }
        try:
            await self.allocator.allocate(region=REGION, match=match, idempotency_key=str(match["match_id"]))
        except NoServerReadyError:
            return False
        except FleetUnavailableError:
            self.refused += 1
            return False
        self.answered += 1
        return True

    async def ready(self) -> bool:
        """Whether the fleet has its buffer, and says that its disk is well but for being small."""
        try:
            parts = (await self.health.request("GET", "/readyz")).json()["parts"]
        except (NoAnswerError, ValueError, LookupError):
            return False
        return not str(parts.get("disk", "")).startswith("disk full") and await self._count("Ready") >= BUFFER

    async def has_room(self) -> bool:
        """Whether another match leaves room for the buffer: a fleet without it would seem not to be back."""
        return await self._count("Allocated") < MAX_SERVERS - 2 * BUFFER

    async def quiet(self) -> None:
        """Wait until no match is on. Raises BenchError."""
        await _until(self._no_match, QUIET_S, "matches go on although nobody asks for more")

    async def burnt(self) -> int:
        """Servers that were taken without an answer, whose match failed, or that ended unasked."""
        counters = await self.admin.counters()
        ended_badly = sum(
            server["state"] in ("Unhealthy", "Error") for server in await self.admin.gameservers()
        )
        taken = int(counters["matches_started"]) - self.answered
        return taken + int(counters["matches_failed"]) + ended_badly

    async def _no_match(self) -> bool:
        return await self._count("Allocated") == 0

    async def _count(self, state: str) -> int:
        return int((await self.admin.fleet())["total"].get(state, 0))


async def fill_and_let_go(world: World, name: str, full_s: float) -> dict[str, Any]:
    """Fill one folder, ask for matches while it is full, make room, and wait until all is as before.

    Returns seconds until it was, what was refused, and what is there in half.
    """
    folder = world.folders[name]
    ballast = folder / "ballast"
    await _until(world.ready, START_S, "the fleet has no servers")
    answered, refused = world.answered, world.refused
    if name in LATE_FOLDERS:
        for _ in range(BUFFER):
            await world.ask()
    world.meta.takes_results = name != "results"
    await asyncio.to_thread(_fill, ballast)
    until = time.monotonic() + full_s
    while time.monotonic() < until:
        if await world.has_room():
            await world.ask()
        if name == "fleet" and not world.policies_refused:
            with contextlib.suppress(FleetUnavailableError):
                await world.admin.set_buffer(REGION, BUFFER)
                world.policies_refused -= 1
            world.policies_refused += 1
        _fill_up(ballast)
        await asyncio.sleep(ASK_EVERY_S)
    before = await asyncio.to_thread(_contents, folder)
    ballast.unlink()
    began = time.monotonic()

    async def is_back() -> bool:
        return await asyncio.to_thread(_contents, folder) != before and await world.ready()

    try:
        await _until(world.ask, BACK_S, "")
        await _until(is_back, began + BACK_S - time.monotonic(), "")
        back_s = time.monotonic() - began
    except BenchError:
        back_s = BACK_S
    world.meta.takes_results = True
    await world.quiet()
    if name == "results":
        await _until(lambda: _empty(folder), BACK_S, "results were never delivered")
    return {
        "back_s": round(back_s, 2),
        "allocations": world.answered - answered,
        "refused": world.refused - refused,
        "half_written": await asyncio.to_thread(half_written, folder),
    }


async def _empty(folder: Path) -> bool:
    return not await asyncio.to_thread(_contents, folder)


def _fill(ballast: Path) -> None:
    """Write until the file system has no page left."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _fill_up(ballast: Path) -> None:
    """Take what others have given back meanwhile."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _contents(folder: Path) -> dict[str, int]:
    """Size of each file by its path, without the ballast."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.name != "ballast":
                found[str(path)] = path.stat().st_size
    return found


async def _until(condition: Any, within_s: float, otherwise: str) -> None:
    until = time.monotonic() + within_s
    while True:
        with contextlib.suppress(FleetError):
            if await condition():
                return
        if time.monotonic() > until:
            raise BenchError(otherwise)
        await asyncio.sleep(LOOK_S)


def _mounted(root: Path) -> dict[str, Path]:
    """Make each folder a file system of its own."""
    state = root / "state"
    places = {
        "fleet": state / "fleet",
        "logs": state / "logs",
        "spool": state / "spool",
        "results": state / "results",
        "recordings": root / "recordings",
        "spectator": root / "spectator",
    }
    for place in places.values():
        place.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(place)],
            check=True,
            capture_output=True,
        )
    return places


@contextlib.asynccontextmanager
async def world_on(root: Path, folders: dict[str, Path]) -> AsyncIterator[World]:
    """Run a fleet with these folders, and a stand-in of the meta service."""
    meta = StandInMeta(free_port())
    first = free_port()
    settings = Settings(
        state_dir=root / "state",
        record_dir=str(folders["recordings"]),
        spectator_dir=str(folders["spectator"]),
        identity_secret=SecretStr(SECRET),
        fleet_key=SecretStr("0" * 64),
        regions=REGION,
        ready_per_region=BUFFER,
        max_servers=MAX_SERVERS,
        game_port_min=min(first, 60_000),
        game_port_max=min(first, 60_000) + 2 * MAX_SERVERS,
        fleet_port=free_port(),
        meta_url=f"http://127.0.0.1:{meta.port}",
        matchmaker_url="http://127.0.0.1:1",
        kafka_bootstrap="127.0.0.1:1",
    )
    env = {**os.environ, **environment(settings)}
    argv = [sys.executable, "-m", "dedicated_server.fleet"]
    process = child_processes.spawn(argv, log=root / "fleet.log", env=env)
    signer = Signer(SECRET)
    token = signer.service_token("bench", time.time(), roles=(SERVICE, OPERATOR))
    url = f"http://127.0.0.1:{settings.fleet_port}"
    try:
        async with (
            meta.serving(),
            AllocatorClient(url, token) as allocator,
            FleetAdminClient(url, token) as admin,
            ServiceClient(url, patience_s=2.0) as health,
        ):
            world = World(settings, folders, meta, allocator, admin, health)
            await _until(world.ready, START_S, f"no fleet: {child_processes.last_line(root / 'fleet.log')}")
            yield world
    finally:
        child_processes.stop(process, 8.0, signal.SIGTERM)


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Fill and let go every folder of ``only``; return the figures."""
    with tempfile.TemporaryDirectory(prefix="launchday-disk-") as name:
        folders = _mounted(Path(name))
        try:
            found: dict[str, Any] = uvloop.run(_fill_all(Path(name), folders, options))
            return found
        finally:
            for place in folders.values():
                subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


async def _fill_all(root: Path, folders: dict[str, Path], options: dict[str, Any]) -> dict[str, Any]:
    found = {}
    async with world_on(root, folders) as world:
        for folder in options["only"]:
            found[folder] = await fill_and_let_go(
                world, folder, options["seconds"] or (FULL_AT_END_S if folder in LATE_FOLDERS else FULL_S)
            )
        burnt = await world.burnt()
    return {
        "half_written": sum(len(one["half_written"]) for one in found.values()),
        "servers_burnt": burnt,
        "back_s": max(one["back_s"] for one in found.values()),
        "policies_refused": world.policies_refused,
        "folders": found,
    }


def main() -> None:
    """Print the figures; a fault is one line on standard error."""
    try:
        print(json.dumps(run(json.loads(sys.argv[1]))))
    except (BenchError, FleetError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    startup.prepare()
    main()
