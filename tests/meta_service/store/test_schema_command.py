"""``launchday schema``: where a schema stands, what undoing steps costs, what the release before finds."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest
from typer.testing import CliRunner

from launchday.settings import Settings
from meta_service.errors import SchemaError
from meta_service.store import schema, schema_command, version
from tests.meta_service.store.schema_description import describe
from tests.meta_service.store.test_migration_locks import RELEASED, SCHEMA_RELEASED

RUN = CliRunner()


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(schema_command, "_settings", lambda: settings)
    return settings


async def execute(store_url: str, statement: str) -> None:
    connection = await asyncpg.connect(store_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_a_downgrade_says_what_is_lost_and_does_it_only_when_told_to(command: Settings) -> None:
    asyncio.run(
        execute(
            command.store_url, "INSERT INTO cache_epochs VALUES ('eu', 1, 'a', now()), ('us', 1, 'b', now())"
        )
    )
    asked = ["downgrade", "r0012_max_owned", "--json"]
    refused = RUN.invoke(schema_command.app, asked)
    assert refused.exit_code == schema_command.USAGE
    lost = json.loads(refused.stdout)["lost"]
    assert {"step": "r0014_one_trip", "what": "table", "name": "cache_epochs", "rows": 2} in lost
    assert {
        "step": "r0015_sessions_and_seasons",
        "what": "column",
        "name": "sessions.seen",
        "rows": 0,
    } in lost
    assert {"step": "r0013_closed_matches", "what": "rows", "name": "match_history", "rows": 0} in lost
    assert schema.status(command.store_url).revision == version.HEAD

    done = RUN.invoke(schema_command.app, [*asked, "--yes"])
    assert done.exit_code == 0, done.output
    shown = json.loads(RUN.invoke(schema_command.app, ["status", "--json"]).stdout)
    assert (shown["revision"], shown["missing"][0]) == ("r0012_max_owned", "r0013_closed_matches")
    with pytest.raises(SchemaError, match="never was r0016"):
        schema.downgrade(command.store_url, "r0016_newer_events")


def test_undoing_the_newer_steps_leaves_the_schema_of_the_release_before(store_url: str) -> None:
    schema.downgrade(store_url, RELEASED)
    assert asyncio.run(describe(store_url)) == SCHEMA_RELEASED


def test_the_release_before_finds_its_tables_columns_and_functions(store_url: str) -> None:
    """It runs beside the new one, on the new schema."""

    def used(lines: list[str]) -> dict[str, str]:
        """Names of columns and functions, with the type of a column."""
        parts = [line.partition(": ") for line in lines if line.startswith(("column ", "function "))]
        return {
            name: what.partition(" ")[2].partition(" default")[0].removesuffix(" not null")
            if name.startswith("column ")
            else ""
            for name, _, what in parts
        }

    before, now = used(SCHEMA_RELEASED), used(asyncio.run(describe(store_url)))
    assert {name: now.get(name) for name in before} == before


def test_a_schema_of_a_newer_release_is_run_on_and_not_touched(command: Settings) -> None:
    asyncio.run(execute(command.store_url, "UPDATE alembic_version SET version_num = 'r9999_of_tomorrow'"))
    schema.migrate(command.store_url)
    assert schema.status(command.store_url).is_newer
    refused = RUN.invoke(schema_command.app, ["downgrade", "base", "--yes"])
    assert refused.exit_code == schema_command.ERROR
    assert "downgrade with the release that made it" in refused.stderr
