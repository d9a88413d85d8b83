"""The global store's schema: bring a database up to date, from the launcher, a container, or a test.

``python -m meta_service.store.schema`` upgrades the database that ``LAUNCHDAY_STORE_URL`` names;
`meta_service.store.schema_command` says what else it does.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from launchday import startup
from launchday.resilience import store_address, store_checks
from meta_service.errors import SchemaError
from meta_service.store import catalogue

MIGRATIONS = Path(__file__).parent / "migrations"
BASE = "base"  # before the first step: no tables


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """Where a store's schema stands.

    Attributes:
        revision: the newest step that was made; None: none.
        head: the newest that this code knows.
        missing: steps that an upgrade would make, oldest first.
        is_newer: the schema is of a newer release, which this code runs on and cannot change.
    """

    revision: str | None
    head: str
    missing: tuple[Script, ...]
    is_newer: bool


def configuration(store_url: str) -> Config:
    """Alembic's configuration for one database, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["store_url"] = store_url  # an attribute, not an option: a password may hold a %
    return config


def migrate(store_url: str, revision: str = "head") -> None:
    """Upgrade the database at ``store_url`` (postgresql://…) to ``revision``, unless it is there already.

    At ``head`` a store without a catalogue gets the shipped one. Several processes may call it at once:
    they take turns. It may be killed: the next one goes on where it was. The services may run meanwhile
    (`meta_service.store.migrations.locks`). Blocks until done.

    Raises SchemaBusyError, SchemaError for the address of a pooler in transaction mode, and what asyncpg
    raises when the database cannot be reached.
    """
    _check_address(store_url)
    # Alembic's asynchronous environment runs an event loop of its own, which a thread that has one cannot.
    with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
        thread.submit(command.upgrade, configuration(store_url), revision).result()
        if revision == "head":
            thread.submit(lambda: asyncio.run(catalogue.seed(store_url))).result()


def downgrade(store_url: str, revision: str) -> None:
    """Undo every step after ``revision`` (a full name, or ``base``) and drop what they hold.

    `meta_service.store.downgrade.losses` says beforehand what that is. Blocks until done.

    Raises SchemaError where there is nothing to undo to it, SchemaBusyError, and what asyncpg raises.
    """
    _check_address(store_url)
    steps_after(store_url, revision)
    with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
        thread.submit(command.downgrade, configuration(store_url), revision).result()


def steps_after(store_url: str, revision: str) -> tuple[Script, ...]:
    """The steps that a store has after ``revision``, newest first.

    Raises SchemaError where it does not have that one, or has steps that this code does not know.
    """
    found = status(store_url)
    if found.is_newer:
        raise SchemaError(
            f"the schema is {found.revision} and this code knows it to {found.head}: "
            "downgrade with the release that made it"
        )
    steps = _steps()
    made = steps[: [step.revision for step in steps].index(found.revision) + 1] if found.revision else ()
    names = [BASE, *(step.revision for step in made)]
    if revision not in names:
        raise SchemaError(
            f"the schema is {found.revision or BASE} and never was {revision}: give one of {', '.join(names)}"
        )
    return made[names.index(revision) :][::-1]


def status(store_url: str) -> SchemaStatus:
    """Where the schema stands. Raises what asyncpg raises when the database cannot be reached."""
    with ThreadPoolExecutor(1, thread_name_prefix="schema") as thread:
        revision = thread.submit(lambda: asyncio.run(_revision(store_url))).result()
    steps = _steps()
    names = [step.revision for step in steps]
    is_newer = revision is not None and revision not in names
    made = len(names) if is_newer else names.index(revision) + 1 if revision else 0
    return SchemaStatus(revision, names[-1], steps[made:], is_newer)


def _check_address(store_url: str) -> None:
    if store_address.parse(store_url).is_pooled:
        raise SchemaError(
            "the schema is changed at the server itself, not through a pooler in transaction mode: "
            f"{store_checks.DIRECT.remedy}"
        )


def _steps() -> tuple[Script, ...]:
    """All that this code knows, oldest first."""
    script = ScriptDirectory.from_config(configuration("postgresql://nobody"))
    return tuple(script.walk_revisions())[::-1]


async def _revision(store_url: str) -> str | None:
    connection = await store_address.connect(store_url)
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        connection.terminate()
    return found


def main() -> int:
    """Run the command; it upgrades the store that the settings name unless it is told something else."""
    from launchday.terminal import run_command
    from meta_service.store.schema_command import app

    if len(sys.argv) == 1:
        sys.argv.append("upgrade")
    return run_command(app)


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
