"""A small backend with something in each of its parts, and one backup of it, made once."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from launchday.cli.backups.saving import Source, save
from launchday.clock import SystemClock
from launchday.engines import Broker, Postgres, Valkey
from launchday.engines.base import exchange
from launchday.settings import Settings
from meta_service.cache.cache import connect
from meta_service.cache.keys import ONE
from rewards.analytics.lake import Lake
from tests.meta_service.conftest import Clock, drain, new_match, running
from tests.rewards.examples import a_kill

LATER_SKIN = "scout"


@dataclass(frozen=True)
class Saved:
    """A backup, and what it is of.

    Attributes:
        folder: of the backup.
        settings: of the backend, whose store and analytics are still there; its cache is not.
        device: by which the player logs in.
        refresh_token: of the player's session, exchanged once more after the backup.
        later_token: of a session that was opened after the backup.
        epoch: of the cache, as the store knows it.
    """

    folder: Path
    settings: Settings
    player: int
    device: str
    refresh_token: str
    later_token: str
    epoch: int


def quiet(_: str) -> None:
    """Nobody is told."""


def database(server: Postgres, template: str = "template1") -> str:
    """The address of a new database."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(execute(server.address, f"CREATE DATABASE {name} TEMPLATE {template}"))
    return server.address.replace("/postgres?", f"/{name}?")


async def execute(url: str, *statements: str) -> None:
    """Run statements."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def flush(server: Valkey) -> str:
    """Empty the cache; returns its address."""
    assert exchange(server.port, b"FLUSHALL\r\n", 5) == b"+OK\r\n"
    return server.address


@pytest.fixture(scope="session")
def saved(
    tmp_path_factory: pytest.TempPathFactory,
    valkey_server: Valkey,
    postgres_server: Postgres,
    broker_server: Broker,
    migrated_database: str,
) -> Saved:
    """One player with money, a purchase, a running match, and a loadout that waits; one change set aside."""
    place = tmp_path_factory.mktemp("saved")
    settings = Settings(
        state_dir=place,
        cache_url=flush(valkey_server),
        store_url=database(postgres_server, migrated_database),
        kafka_bootstrap=broker_server.address,
        identity_secret=SecretStr(secrets.token_hex(32)),
        fleet_key=SecretStr(secrets.token_hex(32)),
        topic_prefix=f"test-{uuid.uuid4().hex[:12]}",
        requests_per_player_s=0.0,
    )
    return asyncio.run(_make(settings, place / "backup"))


async def _make(settings: Settings, folder: Path) -> Saved:
    clock, device = SystemClock(), f"device-{uuid.uuid4()}"
    async with running(settings, Clock()) as backend:
        session = await backend.client.login_device(device)
        await backend.client.grant("grant-one", session.player_id, "coins", 5_000, "test")
        await backend.client.purchase(session.session_token, "buy-one-1", "nightfall")
        await backend.client.check_out(new_match(), "server-1", "east-us", 600.0, [session.player_id])
        await drain(backend)
        await backend.client.set_loadout(session.session_token, LATER_SKIN)  # nobody stores it
        epoch = await _prepare(settings)
        await save(Source(settings, (settings.cache_url,), 5.0), folder, clock, quiet)
        exchanged = await backend.client.refresh(session.refresh_token)
        later = await backend.client.login_device(device)
    tokens = exchanged.refresh_token, later.session_token
    return Saved(folder, settings, session.player_id, device, *tokens, epoch)


async def _prepare(settings: Settings) -> int:
    """What there is beside the player; returns the cache's epoch."""
    store = await asyncpg.connect(settings.store_url)
    epoch: int = await store.fetchval("SELECT epoch FROM cache_epochs")
    await store.close()
    cache = connect(settings.cache_url)
    await cache.xadd(ONE.home.rejected, {"entry": "1-1", "reason": "it was wrong", "loadout": "{}"})
    await cache.aclose()
    lake = Lake(settings.state_dir / "analytics").open()
    lake.add([a_kill(1, 2)], {("t", 0): (1, uuid.uuid4())})
    lake.add([a_kill(2, 1)], {("t", 0): (2, uuid.uuid4())})
    lake.close()
    (settings.state_dir / "fleet").mkdir()
    (settings.state_dir / "fleet" / "policies.json").write_text('{"east-us": {}}')
    return epoch


@pytest.fixture
def empty(saved: Saved, tmp_path: Path, valkey_server: Valkey, postgres_server: Postgres) -> Settings:
    """Settings of engines that have nothing, and of a state folder that is new."""
    return saved.settings.model_copy(
        update={
            "state_dir": tmp_path / "state",
            "cache_url": flush(valkey_server),
            "store_url": database(postgres_server),
        }
    )
