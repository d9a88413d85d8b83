from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from launchday.engines import Postgres
from meta_service.store import schema, version

TABLES = {
    "account_changes",
    "accounts",
    "alembic_version",
    "bans",
    "blocks",
    "cache_epochs",
    "catalogue",
    "challenge_progress",
    "consumer_offsets",
    "credentials",
    "currencies",
    "declined_requests",
    "display_names",
    "erasures",
    "event_gaps",
    "event_inbox",
    "event_inbox_rest",
    "event_outbox",
    "friendships",
    "idempotency",
    "idempotency_rest",
    "inventory",
    "item_movements",
    "ledger",
    "loadout_outbox",
    "loadouts",
    "logins",
    "match_history",
    "name_keys",
    "newer_events",
    "operator_actions",
    "progression",
    "purchase_outbox",
    "purchases",
    "rated_matches",
    "ratings",
    "reward_grants",
    "rules_in_force",
    "running_totals",
    "season_progress",
    "season_records",
    "season_windows",
    "sessions",
    "wallets",
}


@pytest.fixture
async def empty_database(postgres_server: Postgres, request: pytest.FixtureRequest) -> str:
    name = f"empty_{abs(hash(request.node.name))}"
    connection = await asyncpg.connect(postgres_server.address)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return postgres_server.address.rsplit("/", 1)[0] + f"/{name}"


async def tables(store_url: str) -> set[str]:
    connection = await asyncpg.connect(store_url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    return {row["tablename"] for row in rows}


async def test_an_empty_database_gets_every_table(empty_database: str) -> None:
    await asyncio.to_thread(schema.migrate, empty_database)
    assert await tables(empty_database) == TABLES


async def test_migrating_twice_changes_nothing(store_url: str) -> None:
    before = await tables(store_url)
    schema.migrate(store_url)  # also from a thread that runs an event loop
    assert await tables(store_url) == before == TABLES


async def test_two_migrators_at_once_take_turns(empty_database: str) -> None:
    # Two processes, as two launchers would be: alembic keeps its context in module globals.
    migrator = "import sys; from meta_service.store.schema import migrate; migrate(sys.argv[1])"
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", migrator, empty_database) for _ in "ab"
    ]
    assert [await child.wait() for child in children] == [0, 0]
    assert await tables(empty_database) == TABLES


async def test_every_step_can_be_undone(empty_database: str) -> None:
    config = schema.configuration(empty_database)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(command.upgrade, config, "head").result()
        thread.submit(command.downgrade, config, "base").result()
    assert await tables(empty_database) == {"alembic_version"}


def test_the_code_names_the_newest_step_of_the_schema() -> None:
    script = ScriptDirectory.from_config(schema.configuration("postgresql://nobody"))
    assert script.get_current_head() == version.HEAD


async def test_a_schema_older_than_the_code_is_told_with_what_to_do(empty_database: str) -> None:
    fault = await version.schema_fault(empty_database)
    assert fault is not None
    assert "missing" in fault
    await asyncio.to_thread(schema.migrate, empty_database, "r0012_max_owned")
    fault = await version.schema_fault(empty_database)
    assert fault is not None
    assert "run python -m meta_service.store.schema" in fault
    await asyncio.to_thread(schema.migrate, empty_database)
    assert await version.schema_fault(empty_database) is None


async def test_a_schema_newer_than_the_code_fits(store_url: str) -> None:
    connection = await asyncpg.connect(store_url)
    await connection.execute("UPDATE alembic_version SET version_num = 'r9999_of_tomorrow'")
    await connection.close()
    assert await version.schema_fault(store_url) is None
