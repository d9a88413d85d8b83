"""The reliable lane as a benchmark runs it: its engines, the meta service, its worker and rewards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import Broker, EmbeddedServer, Postgres, Valkey
from launchday.engines.base import free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaUnavailableError, Session
from meta_service.store import catalogue, schema
from meta_service.store.catalogue import Item

T = TypeVar("T")

START_S = 60.0
GIVEN_UP_S = 60.0  # of one measurement: what is not back by then is not coming back
LOOK_S = 0.02
SERVICES = ("meta_service", "meta_service.writebehind", "rewards")


@dataclass
class World:
    """What the measurements share.

    Attributes:
        players: who are logged in.
        processes: the services' by module.
    """

    folder: Path
    settings: Settings
    cache: Valkey
    store: Postgres
    bus: Broker
    client: MetaClient
    players: list[Session] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def engines(self) -> dict[str, EmbeddedServer]:
        """By role."""
        return {"cache": self.cache, "store": self.store, "bus": self.bus}

    def start(self, module: str, settings: Settings | None = None) -> subprocess.Popen[bytes]:
        """Start one of our processes; it is ended with the world."""
        env = {**os.environ, **environment(settings or self.settings)}
        name = module if module not in self.processes else f"{module} again"
        process = child_processes.spawn([sys.executable, "-m", module], log=self.log(name), env=env)
        self.processes[name] = process
        return process

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / f"{name.replace(' ', '-')}.log"

    @contextlib.asynccontextmanager
    async def in_store(self) -> AsyncIterator[asyncpg.Connection]:
        """A new connection to the store, past every service."""
        connection = await asyncpg.connect(self.settings.store_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def drained(self) -> None:
        """Wait until the store has every change."""

        async def empty() -> bool:
            return not (await self.client.counters()).writebehind_depth

        await answered(empty)

    async def warm(self) -> None:
        """Use every connection of every pool, so that a failover has something to take."""
        for _ in range(3):
            await asyncio.gather(*(self.client.wallet(player.session_token) for player in self.players))
            await asyncio.gather(
                *(self.client.profile(self.players[n % len(self.players)].session_token) for n in range(64))
            )
        await self.drained()

    def stop_cache(self, copy: Path) -> None:
        """Freeze the cache while its folder is copied."""
        assert self.cache.process is not None
        self.cache.process.send_signal(signal.SIGSTOP)
        try:
            shutil.copytree(self.cache.folder, copy)
        finally:
            self.cache.process.send_signal(signal.SIGCONT)

    def replace_cache(self, copy: Path) -> None:
        """Kill the cache, and start it with the data of the copy at the same port."""
        port = self.cache.port
        self.cache.kill()
        shutil.rmtree(self.cache.folder)
        shutil.copytree(copy, self.cache.folder)
        self.cache.start(port)


async def answered(ask: Callable[[], Awaitable[T]], wanted: Callable[[T], bool] = bool) -> float:
    """Ask again until the answer is the wanted one; return the seconds that it took.

    Raises BenchError after `GIVEN_UP_S`.
    """
    began_s = time.monotonic()
    while time.monotonic() - began_s < GIVEN_UP_S:
        with contextlib.suppress(MetaUnavailableError, OSError, asyncpg.PostgresError):
            if wanted(await ask()):
                return time.monotonic() - began_s
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"not back after {GIVEN_UP_S:g} s: {ask.__qualname__}")


@contextlib.asynccontextmanager
async def reliable_lane(folder: Path, goods: Sequence[Item], **more: Any) -> AsyncIterator[World]:
    """Run engines, the meta service, its worker and rewards.

    Args:
        folder: of data and logs.
        goods: what can be bought beside the shipped catalogue.
        more: settings.

    Raises BenchError where a service does not start.
    """
    engines = (
        Valkey(folder / "valkey", folder / "valkey.log"),
        Postgres(folder / "postgres", folder / "postgres.log"),
        Broker(folder / "broker", folder / "broker.log"),
    )
    made: World | None = None
    try:
        for engine in engines:
            await asyncio.to_thread(engine.start)
        cache, store, bus = engines
        settings = Settings(
            state_dir=folder,
            cache_url=cache.address,
            store_url=store.address,
            kafka_bootstrap=bus.address,
            meta_port=free_port(),
            rewards_port=free_port(),
            identity_secret=SecretStr(secrets.token_hex(32)),
            requests_per_player_s=0.0,
            **_ports(),
            **more,
        )
        await asyncio.to_thread(schema.migrate, settings.store_url)
        token = signer_of(settings, "loadtest").service_token("bench", time.time())
        async with MetaClient(f"http://127.0.0.1:{settings.meta_port}", token) as client:
            made = World(folder, settings, cache, store, bus, client)
            async with made.in_store() as connection:
                await catalogue.put(connection, list(goods))
            for module in SERVICES:
                made.start(module)
            await _ready(made)
            yield made
    finally:
        for process in reversed(list(made.processes.values()) if made else []):
            child_processes.stop(process, 8.0)
        for engine in reversed(engines):
            engine.stop()


async def _ready(made: World) -> None:
    began_s = time.monotonic()
    while time.monotonic() - began_s < START_S:
        for module, process in made.processes.items():
            if process.poll() is not None:
                raise BenchError(f"{module} ended: {child_processes.last_line(made.log(module))}")
        with contextlib.suppress(MetaUnavailableError):
            await made.client.counters()
            return
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"the meta service was not ready after {START_S:g} s")


def _ports() -> dict[str, Any]:
    """Free ports for processes that answer ``/readyz`` alone."""
    names = [
        name
        for name in ("writebehind_port", "analytics_port", "director_port")
        if name in Settings.model_fields
    ]
    return {name: free_port() for name in names}
