"""``rotation``: the keys of a running backend are rotated twice under a steady load; nobody notices.

Real engines and real services, each with its own key file: the meta service, which signs players' tokens,
the matchmaker, which verifies them and has a key of its own, and write-behind. Players log in, read their
profile with the token that they have, queue and cancel, and exchange refresh tokens from before the
rotations. A request that fails once is counted; nothing is repeated.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import jwt
import numpy as np
import uvloop

from launchday import child_processes
from launchday.engines import Postgres, Valkey, free_port
from launchday.identity import key_folder
from launchday.settings import Settings, environment
from loadtest.bench.harness.statistics import percentiles
from loadtest.errors import BenchError
from matchmaker.client import MatchmakerClient, MatchmakerClientError
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError, Session
from meta_service.store import schema

SERVICES: Final = ("meta_service", "meta_service.writebehind", "matchmaker")
OWNERS: Final = ("meta", "matchmaker")  # whose keys are rotated
ROTATIONS: Final = 2
LEAD_S: Final = 3.0  # until a new key signs: three looks at the files
KEEP_S: Final = 31 * 24 * 3600.0
WORKERS: Final = 4
VETERANS: Final = 20  # players who log in once, before the first rotation
START_S: Final = 30.0
LATENCIES_MS: Final = {"west-europe": 30.0, "east-us": 110.0}


@dataclass
class Load:
    """What was asked, and how it went."""

    meta: MetaClient
    matchmaker: MatchmakerClient
    veterans: list[Session] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    calls_s: list[float] = field(default_factory=list)
    signed_by: set[str] = field(default_factory=set)
    numbers: Any = field(default_factory=itertools.count)

    async def ask(self, what: str, call: Awaitable[Any]) -> Any:
        """Make one request and count it; None where it failed."""
        began = time.perf_counter()
        self.requests[what] += 1
        try:
            answer = await call
        except (MetaUnavailableError, MetaRefusedError, MatchmakerClientError) as error:
            self.failures[f"{what}: {error}"] += 1
            return None
        self.calls_s.append(time.perf_counter() - began)
        return answer

    async def log_in(self) -> Session | None:
        """A new player logs in."""
        player: Session | None = await self.ask(
            "login", self.meta.login_device(f"rotation-device-{next(self.numbers)}")
        )
        if player is not None:
            self.signed_by.add(str(jwt.get_unverified_header(player.session_token)["kid"]))
        return player


def run(seconds: float = 20.0, rotations: int = ROTATIONS, lead_s: float = LEAD_S) -> dict[str, Any]:
    """Rotate the keys in equal steps of ``seconds``, and return what is printed.

    Args:
        seconds: of load, at least; a rotation takes ``lead_s`` and a second.
        rotations: of each key.
        lead_s: seconds until a new key signs.

    Raises:
        BenchError: a service does not start.
    """
    figures: dict[str, Any] = uvloop.run(_measure(seconds, rotations, lead_s))
    return {"bench": "rotation"} | figures


async def _measure(seconds: float, rotations: int, lead_s: float) -> dict[str, Any]:
    async with _backend() as (load, keys):
        for _ in range(VETERANS):
            if (player := await load.log_in()) is not None:
                load.veterans.append(player)
        stop = asyncio.Event()
        working = [asyncio.create_task(_play(load, stop)) for _ in range(WORKERS)]
        began = time.monotonic()
        pause_s = max(lead_s + 1.0, seconds / (rotations + 1))
        for _ in range(rotations):
            await asyncio.sleep(max(0.0, pause_s - lead_s))
            for owner in OWNERS:
                await asyncio.to_thread(_rotate, keys, owner, lead_s)
            await asyncio.sleep(lead_s)
        await asyncio.sleep(max(1.0, began + seconds - time.monotonic()))
        stop.set()
        await asyncio.gather(*working)
        took_s = time.monotonic() - began
        exchanged = [
            await load.ask("refresh", load.meta.refresh(player.refresh_token)) for player in load.veterans
        ]
    requests = load.requests.total()
    return {
        "rotations": rotations * len(OWNERS),
        "seconds": round(took_s, 1),
        "requests": requests,
        "failed": load.failures.total(),
        "failures": dict(load.failures.most_common(5)),
        "of_each": dict(sorted(load.requests.items())),
        "keys_that_signed_logins": len(load.signed_by),
        "logged_out": sum(answer is None for answer in exchanged),
        "requests_per_s": round(requests / took_s),
        "request_ms": percentiles(np.array(load.calls_s) * 1e3, 50, 99, digits=2),
    }


def _rotate(keys: Path, owner: str, lead_s: float) -> None:
    key_folder.rotate(keys, owner, secrets.token_bytes, time.time(), lead_s=lead_s, keep_s=KEEP_S)


async def _play(load: Load, stop: asyncio.Event) -> None:
    """Be one player after another, beside those who have been there from the beginning."""
    while not stop.is_set():
        veteran = load.veterans[next(load.numbers) % len(load.veterans)]
        await load.ask("profile", load.meta.profile(veteran.session_token))
        player = await load.log_in()
        if player is None:
            continue
        await load.ask("profile", load.meta.profile(player.session_token))
        matchmaker = load.matchmaker.with_token(player.session_token)
        ticket = await load.ask("ticket", matchmaker.create_ticket("battle_royale", LATENCIES_MS))
        if ticket is not None:
            await load.ask("cancel", matchmaker.cancel_ticket(ticket.ticket_id))


@asynccontextmanager
async def _backend() -> AsyncIterator[tuple[Load, Path]]:
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        valkey = Valkey(folder / "valkey", folder / "valkey.log")
        postgres = Postgres(folder / "postgres", folder / "postgres.log")
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for engine in (valkey, postgres):
                engine.start()
            settings = _settings(folder, valkey.address, postgres.address)
            await asyncio.to_thread(schema.migrate, settings.store_url)
            for module in SERVICES:
                env = {**os.environ, **environment(settings)}
                command = [sys.executable, "-m", module]
                processes.append(child_processes.spawn(command, log=folder / f"{module}.log", env=env))
            async with AsyncExitStack() as stack:
                meta = await stack.enter_async_context(MetaClient(settings.meta_url, retry=False))
                matchmaker = await stack.enter_async_context(MatchmakerClient(settings.matchmaker_url))
                load = Load(meta, matchmaker)
                await _until_it_answers(partial(_tries_a_ticket, load), processes)
                yield load, folder / "keys"
        finally:
            for process in reversed(processes):
                child_processes.stop(process, 8.0)
            for server in (postgres, valkey):
                server.stop()


def _settings(folder: Path, cache_url: str, store_url: str) -> Settings:
    key_folder.make(folder / "keys", secrets.token_bytes)
    meta_port, matchmaker_port = free_port(), free_port()
    return Settings(
        state_dir=folder,
        cache_url=cache_url,
        store_url=store_url,
        kafka_bootstrap="127.0.0.1:1",  # never called
        identity_keys=str(folder / "keys"),
        fleet_key="ab" * 32,
        meta_port=meta_port,
        meta_url=f"http://127.0.0.1:{meta_port}",
        matchmaker_port=matchmaker_port,
        matchmaker_url=f"http://127.0.0.1:{matchmaker_port}",
        writebehind_port=0,
        regions=",".join(LATENCIES_MS),
        requests_per_player_s=0.0,
        log_level="warning",
    )


async def _tries_a_ticket(load: Load) -> None:
    player = await load.meta.login_device("rotation-first")
    matchmaker = load.matchmaker.with_token(player.session_token)
    created = await matchmaker.create_ticket("battle_royale", LATENCIES_MS)
    await matchmaker.cancel_ticket(created.ticket_id)


async def _until_it_answers(
    ask: Callable[[], Awaitable[None]], processes: list[subprocess.Popen[bytes]]
) -> None:
    deadline = time.monotonic() + START_S
    last: Exception | None = None
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            return await ask()
        except (MetaUnavailableError, MatchmakerClientError) as error:
            last = error
            await asyncio.sleep(0.05)
    raise BenchError(f"the services did not start: {last}")
