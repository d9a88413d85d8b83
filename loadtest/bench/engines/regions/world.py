"""Two regions, and what they share: the store behind the latency proxy, and the broker."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import Postgres
from launchday.engines.base import free_port
from launchday.identity import signer_of
from launchday.launcher.children import ServiceChild, module_command
from launchday.launcher.services import SERVICES
from launchday.settings import Settings, environment
from loadtest.bench.engines.meta_services import prepare_store
from loadtest.bench.engines.regions.engines import RegionValkey, SharedBroker
from loadtest.bench.engines.regions.namespaces import STORE_HOST, Namespace, raise_store_host
from loadtest.errors import BenchError
from meta_service.client import MetaClient

NAMES = ("west-europe", "east-us")
STORE_MS = 100.0  # each answer of the store is so late
READY_S = 60.0
STOP_S = 8.0
LOOK_S = 0.1
PARTS = ("rewards", "meta service", "write-behind", "fleet", "matchmaker", "director")


@dataclass
class Region:
    """One region.

    Attributes:
        client: calls its meta service once each, with a service's token.
        children: its processes by name.
    """

    name: str
    namespace: Namespace
    cache: RegionValkey
    settings: Settings
    client: MetaClient
    children: dict[str, ServiceChild] = field(default_factory=dict)

    def start(self) -> None:
        """Start the services."""
        for service in SERVICES:
            if service.name not in PARTS:
                continue
            self.children[service.name] = child = ServiceChild(
                service.name,
                self.namespace.command(*module_command(service.module)),
                self.settings.state_dir / "logs" / f"{service.name}.log",
                environment(self.settings),
                f"{service.base_url(self.settings)}/readyz",
            )
            child.start()

    def lose(self) -> None:
        """Kill all of it at once, and no connection is closed; what its disks had is gone, too."""
        self.namespace.cut_off_from_all()
        self.namespace.kill()
        shutil.rmtree(self.settings.state_dir, ignore_errors=True)

    def stop(self) -> None:
        """End it in good order."""
        for child in reversed(self.children.values()):
            child.stop(STOP_S)
        self.cache.stop()
        self.namespace.kill()


@dataclass
class World:
    """What the measurements share.

    Attributes:
        store_port: of the latency proxy before the store.
        built_s: how long it took until all services were ready.
    """

    folder: Path
    regions: tuple[Region, Region]
    store_url: str
    store_port: int
    built_s: float

    @contextlib.asynccontextmanager
    async def in_store(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the store, past proxy and services."""
        connection = await asyncpg.connect(self.store_url)
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def two_regions(folder: Path) -> AsyncIterator[World]:
    """Build it, and take it down whatever happens. Raises BenchError and EngineError."""
    began = time.monotonic()
    store = Postgres(folder / "postgres", folder / "postgres.log")
    broker = SharedBroker(folder / "broker", folder / "broker.log")
    regions: list[Region] = []
    proxy: subprocess.Popen[bytes] | None = None
    async with contextlib.AsyncExitStack() as stack:
        try:
            raise_store_host()
            for engine in (store, broker):
                engine.start()
            await prepare_store(store.address)
            port = free_port()
            proxy = _far(store.port, port, folder / "proxy.log")
            shared = _shared(store.address, port, broker.address)
            for number, name in enumerate(NAMES, start=1):
                region = await _region(number, name, folder / name, shared, stack)
                regions.append(region)
            for region in regions:
                region.start()
            await _ready(regions)
            west, east = regions
            yield World(folder, (west, east), store.address, port, time.monotonic() - began)
        finally:
            for region in regions:
                region.stop()
            if proxy is not None:
                child_processes.stop(proxy, STOP_S)
            broker.stop()
            store.stop()


def _far(target: int, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the proxy that makes the store distant, and wait until it listens."""
    command = [*module_command("loadtest.flood.injection.latency_proxy"), str(port), f"127.0.0.1:{target}"]
    proxy = child_processes.spawn([*command, STORE_HOST], log=log)
    until = time.monotonic() + READY_S
    while True:
        try:
            socket.create_connection((STORE_HOST, port), timeout=1.0).close()
            break
        except OSError as error:
            if proxy.poll() is not None or time.monotonic() > until:
                raise BenchError(f"no latency proxy: {child_processes.last_line(log)}") from error
            time.sleep(LOOK_S)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.sendto(str(STORE_MS).encode(), (STORE_HOST, port))
    return proxy


def _shared(store_url: str, port: int, bootstrap: str) -> Settings:
    """What both regions are told."""
    store = urlsplit(store_url)
    user = store.netloc.rpartition("@")[0]
    return Settings(
        store_url=urlunsplit(store._replace(netloc=f"{user}@{STORE_HOST}:{port}")),
        kafka_bootstrap=bootstrap,
        identity_secret=SecretStr(secrets.token_hex(32)),
        fleet_key=SecretStr(secrets.token_hex(32)),
        identity_plain=True,
        requests_per_player_s=0.0,
        requests_per_address_s=0.0,
        logins_per_address_s=0.0,
        ready_per_region=1,
        max_servers=2,
        match_players=4,
        match_min_players=2,
        match_fill_s=3.0,
        match_s=5.0,
    )


async def _region(
    number: int, name: str, folder: Path, shared: Settings, stack: contextlib.AsyncExitStack
) -> Region:
    """A region's namespace with its cache; its services are not started yet."""
    namespace = Namespace(number, folder / "namespace.log")
    cache = RegionValkey(folder / "valkey", folder / "valkey.log", namespace)
    try:
        cache.start()
    except BaseException:
        namespace.kill()
        raise
    ports = {service.port_setting: free_port() for service in SERVICES}
    own = shared.model_copy(
        update={
            "state_dir": folder,
            "cache_url": cache.address,
            "region": name,
            "regions": name,
            "bind_host": namespace.host,
            "game_bind": namespace.host,
            "console_port": 0,
            **ports,
            **{
                service.url_setting: f"http://{namespace.host}:{ports[service.port_setting]}"
                for service in SERVICES
                if service.url_setting
            },
        }
    )
    token = signer_of(own, "loadtest").service_token("bench", time.time())
    client = await stack.enter_async_context(MetaClient(own.meta_url, token, patience_s=5.0, retry=False))
    return Region(name, namespace, cache, own, client)


async def _ready(regions: Sequence[Region]) -> None:
    until = time.monotonic() + READY_S
    for region in regions:
        for child in region.children.values():
            while not await asyncio.to_thread(child.is_ready):
                dead = child.process is None or child.process.poll() is not None
                if dead or time.monotonic() > until:
                    raise BenchError(f"{child.name} of {region.name}: {child.last_words()}")
                await asyncio.sleep(LOOK_S)
