"""The meta service and write-behind as processes, on engines that will fail, and what is sold there."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from launchday import child_processes
from launchday.engines import free_port
from launchday.identity import signer_of
from launchday.resilience import store_address
from launchday.settings import Settings, environment
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaUnavailableError
from meta_service.messages.leases import MetaCounters
from meta_service.store import catalogue, schema
from meta_service.store.catalogue import Item

SERVICES = ("meta_service", "meta_service.writebehind")
CRATE = Item(
    item_id="bench-crate", kind="consumable", title="Crate", currency="coins", price=1, max_owned=10**9
)
SKINS = ("recruit", "scout")  # free ones
START_S = 40.0
REPEAT_S = 0.05


async def prepare_store(direct_url: str) -> None:
    """Make the schema in an empty store, and sell crates there."""
    await asyncio.to_thread(schema.migrate, direct_url)
    store = await store_address.connect(direct_url)
    try:
        await catalogue.put(store, [CRATE])
    finally:
        store.terminate()


@asynccontextmanager
async def meta_services(folder: Path, **engines: Any) -> AsyncIterator[MetaClient]:
    """Start both, and end them; gives a client that asks once and has a service's token.

    Args:
        folder: for the logs.
        engines: settings that say where the engines are, and whatever else is not as below.

    Raises BenchError where one does not start.
    """
    settings = Settings(
        **{
            "state_dir": folder,
            "kafka_bootstrap": "127.0.0.1:1",  # never called: the meta service uses no broker
            "meta_port": free_port(),
            "writebehind_port": 0,
            "identity_secret": SecretStr(secrets.token_hex(32)),
            "requests_per_player_s": 0.0,
            "requests_per_address_s": 0.0,
            "log_level": "warning",
            **engines,
        }
    )
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for module in SERVICES:
            env = {**os.environ, **environment(settings)}
            command = [sys.executable, "-m", module]
            processes.append(child_processes.spawn(command, log=folder / f"{module}.log", env=env))
        token = signer_of(settings, "loadtest").service_token("bench", time.time())
        async with MetaClient(f"http://127.0.0.1:{settings.meta_port}", token, retry=False) as client:
            await _until_it_answers(client, processes, folder)
            yield client
    finally:
        for process in reversed(processes):
            child_processes.stop(process, 8.0)


async def all_stored(client: MetaClient, within_s: float) -> MetaCounters | None:
    """The counters once nothing waits for the store; None where it does not come to that."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            counters = await client.counters()
        except MetaUnavailableError:
            pass
        else:
            if not counters.writebehind_depth:
                return counters
        await asyncio.sleep(0.1)
    return None


async def _until_it_answers(
    client: MetaClient, processes: Sequence[subprocess.Popen[bytes]], folder: Path
) -> None:
    deadline = time.monotonic() + START_S
    last = ""
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            await client.login_device("bench-first")
        except MetaUnavailableError as error:
            last = str(error)
            await asyncio.sleep(0.05)
        else:
            return
    words = [child_processes.last_line(folder / f"{module}.log", 0) for module in SERVICES]
    raise BenchError(f"the services did not start: {last}; {'; '.join(filter(None, words))}")
