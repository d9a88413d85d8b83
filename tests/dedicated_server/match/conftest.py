"""What a game server meets: a sidecar, a meta service, a broker, players."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol import connect_token
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from meta_service.client import MetaClient
from tests.dedicated_server.match.players import Players
from tests.dedicated_server.match.strict_sidecar import free_tcp_port
from tests.waiting import until_sync

FLEET_KEY = bytes(range(32))


@dataclass(frozen=True)
class TestMatch:
    """A match and what its players need."""

    __test__ = False

    annotation: str
    match_id: uuid.UUID
    player_ids: list[int]

    def tokens(self, port: int, fleet_key: bytes = FLEET_KEY, issued_at: float | None = None) -> list[bytes]:
        """A connect token a player, issued now where nothing else is said."""
        now = time.time() if issued_at is None else issued_at
        return [
            connect_token.seal(
                fleet_key,
                match_id=self.match_id,
                player_id=player_id,
                entity=entity,
                team=entity,
                address="127.0.0.1",
                port=port,
                issued_at=now,
                expires_at=now + 60,
                random=secrets.token_bytes(connect_token.RANDOM_BYTES),
            )
            for entity, player_id in enumerate(self.player_ids)
        ]


def new_match(player_ids: list[int], match_s: float = 1.5, **changes: Any) -> TestMatch:
    """A battle royale of these players."""
    match_id = uuid.uuid4()
    roster = [{"player_id": str(id_), "team": n, "entity": n} for n, id_ in enumerate(player_ids)]
    order = {
        "match_id": str(match_id),
        "mode": "battle_royale",
        "region": "west-europe",
        "seed": 3,
        "match_s": match_s,
        "players": roster,
        "allocated_at": time.time(),
        **changes,
    }
    return TestMatch(json.dumps(order), match_id, player_ids)


@asynccontextmanager
async def playing(tokens: list[bytes], walk: tuple[int, int] = (0, 0)) -> AsyncIterator[Players]:
    """Players who play while the block runs."""
    players = Players(tokens, walk)
    task = asyncio.create_task(players.play())
    try:
        yield players
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="session")
def kernels() -> None:
    """Every kernel compiled and loaded."""
    warm_up()
    Players(new_match([1, 2]).tokens(port=1)).load_kernels()


@pytest.fixture
def meta_process(settings: Settings) -> Iterator[Settings]:
    """A meta service in a process of its own; yields the settings that lead to it."""
    port = free_tcp_port()
    completed = settings.model_copy(update={"meta_port": port, "meta_url": f"http://127.0.0.1:{port}"})
    env = {**os.environ, **environment(completed)}
    with (settings.state_dir / "meta.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "meta_service"], env=env, stdout=log, stderr=log)
    try:
        until_sync(lambda: _healthy(completed.meta_url), "the meta service answers")
        yield completed
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def meta_client(settings: Settings) -> AsyncIterator[MetaClient]:
    """A client with a service token."""
    token = signer_of(settings, "loadtest").service_token("test", time.time())
    async with MetaClient(settings.meta_url, token) as client:
        yield client


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.HTTPError:
        return False
