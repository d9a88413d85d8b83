"""Real servers for every test: Valkey, PostgreSQL and a Kafka-protocol broker, started once a run."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from launchday.engines import Broker, Postgres, Valkey
from launchday.engines.base import exchange
from launchday.settings import Settings
from meta_service.store import schema


@pytest.fixture(scope="session")
def server_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def valkey_server(server_dir: Path) -> Iterator[Valkey]:
    server = Valkey(server_dir / "valkey", server_dir / "valkey.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server(server_dir: Path) -> Iterator[Postgres]:
    server = Postgres(server_dir / "postgres", server_dir / "postgres.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_server(server_dir: Path) -> Iterator[Broker]:
    server = Broker(server_dir / "broker", server_dir / "broker.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cache_url(valkey_server: Valkey) -> str:
    """A real, empty Valkey."""
    assert exchange(valkey_server.port, b"FLUSHALL\r\n", 5) == b"+OK\r\n"
    return valkey_server.address


@pytest.fixture(scope="session")
def migrated_database(postgres_server: Postgres) -> str:
    """The name of a database at the newest schema, to be copied: a copy takes 30 ms, a migration 500."""
    name = "template_launchday"
    asyncio.run(_execute(postgres_server.address, f"CREATE DATABASE {name}"))
    schema.migrate(_database(postgres_server, name))
    return name


@pytest.fixture
def store_url(postgres_server: Postgres, migrated_database: str) -> Iterator[str]:
    """A real PostgreSQL database of the test's own, at the newest schema."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_execute(postgres_server.address, f"CREATE DATABASE {name} TEMPLATE {migrated_database}"))
    yield _database(postgres_server, name)
    asyncio.run(_execute(postgres_server.address, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def kafka_bootstrap(broker_server: Broker) -> str:
    """A real broker; take topic names from ``settings.topic_prefix``, which is the test's own."""
    return broker_server.address


@pytest.fixture
def settings(tmp_path: Path, cache_url: str, store_url: str, kafka_bootstrap: str) -> Settings:
    """Settings that point at the real servers, with keys and names of this test's own."""
    return Settings(
        state_dir=tmp_path,
        cache_url=cache_url,
        store_url=store_url,
        kafka_bootstrap=kafka_bootstrap,
        identity_secret=SecretStr(secrets.token_hex(32)),
        fleet_key=SecretStr(secrets.token_hex(32)),
        topic_prefix=f"test-{uuid.uuid4().hex[:12]}",
    )


def _database(server: Postgres, name: str) -> str:
    return server.address.rsplit("/", 1)[0] + f"/{name}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
