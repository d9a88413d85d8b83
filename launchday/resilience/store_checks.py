"""What we need of a PostgreSQL: what one of the user's own, or a rented one, is asked before it is used.

Its own settings decide whether what it acknowledges is kept; the address decides whether we reach it at all,
in safety, and whether a pooler in between is known to us. No fault shows an address: a password may be in it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import structlog

from launchday.resilience import store_address
from launchday.resilience.requirements import Fault, Requirement, enforce

if TYPE_CHECKING:
    import asyncpg

    from launchday.settings import Settings

OLDEST = 15  # the oldest that the tests of a release have been run on
CHECK_S = 3.0  # for each connection, and each question
MAX_CLOCK_S = 30.0
MAX_IDLE_S = 60
# Beside the pools: one probe and one health check a process; write-behind's worker, its deletions and days;
# rewards' days; the reader of deleted players.
FURTHER_CONNECTIONS = 15
ADDRESS, DIRECT_ADDRESS, REPLICA_ADDRESS = (
    f"LAUNCHDAY_STORE_{name}URL" for name in ("", "DIRECT_", "REPLICA_")
)

ENCRYPTION = Requirement(
    "sslmode",
    "verify-full, or what the server asks for",
    "the server refuses us, or who is in between reads and changes everything",
    f"add sslmode={{mode}} to the parameters of {ADDRESS} (…?sslmode={{mode}})",
    refuse=True,
)
AUTHORITY = Requirement(
    "sslrootcert",
    "the authority of the server's certificate",
    "the server's certificate is not trusted, and we do not connect",
    f"add sslrootcert=FILE to the parameters of {ADDRESS}: the file comes with a managed store",
    refuse=True,
)
LOGIN = Requirement(
    ADDRESS,
    "a user who may log in, and their password",
    "the server refuses us",
    f"mend the {{part}} in {ADDRESS}",
    refuse=True,
)
DATABASE = Requirement(
    ADDRESS,
    "a database that there is",
    "the server refuses us",
    "CREATE DATABASE \"{database}\" ENCODING 'UTF8'",
    refuse=True,
)
POOLER = Requirement(
    "pooler",
    "transaction, where a pooler in transaction mode is in between",
    "statements are lost: purchases and grants fail, one here and one there",
    store_address.POOLER_REMEDY,
    refuse=True,
)
DIRECT = Requirement(
    DIRECT_ADDRESS,
    "the server's own address, where a pooler in transaction mode is in between",
    "locks of a session are lost: two change the schema at the same time, and days are never made",
    f"{DIRECT_ADDRESS}=postgresql://… with the server's own host and port",
    refuse=True,
)
VERSION = Requirement(
    "version",
    f"{OLDEST} or newer",
    "steps of the schema fail",
    "upgrade it to PostgreSQL {oldest} or newer",
    refuse=True,
)
ENCODING = Requirement(
    "server_encoding",
    "UTF8",
    "names of players cannot be stored",
    "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and give its name in the address",
    refuse=True,
)
PRIVILEGES = Requirement(
    "privileges",
    "SELECT, INSERT, UPDATE, DELETE on all tables",
    "changes of players are refused, one kind here and one there",
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{user}"',
    refuse=True,
)
PRIMARY = Requirement(
    ADDRESS,
    "a primary, not a replica",
    "purchases and grants are refused, and what players change waits in the cache",
    "give its primary's address, or both: …@HOST:PORT,HOST:PORT/…",
    refuse=False,  # it may be promoted any moment
)
READ_ONLY = Requirement(
    "default_transaction_read_only",
    "off",
    "purchases and grants are refused, and what players change waits in the cache",
    'ALTER DATABASE "{database}" RESET default_transaction_read_only',
    refuse=False,
)
FSYNC = Requirement(
    "fsync",
    "on",
    "a power cut loses money that was acknowledged, and may break the database",
    "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()",
    refuse=False,
)
FULL_PAGES = Requirement(
    "full_page_writes",
    "on",
    "a power cut may leave pages half written, and nobody can mend them",
    "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
    refuse=False,
)
COMMIT = Requirement(
    "synchronous_commit",
    "on",
    "what was acknowledged within the last second is lost when the server ends",
    'ALTER DATABASE "{database}" SET synchronous_commit = on',
    refuse=False,
)
STANDBYS = Requirement(
    "synchronous_standby_names",
    "the replica that may be promoted",
    "a promotion loses what was acknowledged and had not reached the replica",
    "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'; SELECT pg_reload_conf()",
    refuse=False,
)
KEEP_ALIVE = Requirement(
    "tcp_keepalives_idle",
    f"{MAX_IDLE_S} or less",
    "what a region that is cut off had begun to store stays locked for two hours, for everybody",
    "ALTER SYSTEM SET tcp_keepalives_idle = 10; ALTER SYSTEM SET tcp_keepalives_interval = 5; "
    "ALTER SYSTEM SET tcp_keepalives_count = 3; SELECT pg_reload_conf()",
    refuse=False,
)
ISOLATION = Requirement(
    "default_transaction_isolation",
    "read committed",
    "purchases of one item at the same time fail and are tried again and again",
    "ALTER DATABASE \"{database}\" SET default_transaction_isolation = 'read committed'",
    refuse=False,
)
CONNECTIONS = Requirement(
    "max_connections",
    "more than the pools of our processes together",
    "requests wait for a connection that there is not, and end with 503",
    "ALTER SYSTEM SET max_connections = {wanted} and start it again, or lower LAUNCHDAY_STORE_CONNECTIONS",
    refuse=False,
)
CLOCK = Requirement(
    "clock",
    f"within {MAX_CLOCK_S:g} s of ours",
    "bans, refunds and seasons begin and end at the wrong time",
    "set the clocks by NTP: chronyc makestep",
    refuse=False,
)
REPLICA = Requirement(
    REPLICA_ADDRESS,
    "a replica that answers, or nothing",
    "its part of the reads goes to the primary",
    f"mend the address in {REPLICA_ADDRESS}, or unset it",
    refuse=False,
)

STORE_REQUIREMENTS: tuple[Requirement, ...] = (
    ENCRYPTION,
    AUTHORITY,
    LOGIN,
    DATABASE,
    POOLER,
    DIRECT,
    VERSION,
    ENCODING,
    PRIVILEGES,
    PRIMARY,
    READ_ONLY,
    FSYNC,
    FULL_PAGES,
    COMMIT,
    STANDBYS,
    KEEP_ALIVE,
    ISOLATION,
    CONNECTIONS,
    CLOCK,
    REPLICA,
)

log = structlog.get_logger()

_STATE = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() AS is_replica, current_setting('transaction_read_only') AS read_only,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_pages,
    current_setting('synchronous_commit') AS commit,
    current_setting('synchronous_standby_names') AS standbys,
    (SELECT count(*) FROM pg_stat_replication) AS replicas,
    current_setting('tcp_keepalives_idle')::int AS idle_s,
    current_setting('transaction_isolation') AS isolation,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS connections,
    extract(epoch FROM clock_timestamp())::float8 AS now,
    current_user::text AS "user", current_database()::text AS database
"""
_REFUSED_TABLES = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT (
    has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
) ORDER BY relname LIMIT 1
"""
_WANTS_ENCRYPTION = re.compile("no encryption|SSL off|(SSL|TLS) required")  # PostgreSQL, before 14, PgBouncer
_BACKEND = "SELECT pg_backend_pid() + $1::int"


def connections_of(settings: Settings) -> int:
    """How many connections one process of each service has at most, together."""
    return settings.store_connections + settings.rewards_store_connections + FURTHER_CONNECTIONS


async def store_faults(
    url: str,
    *,
    direct_url: str = "",
    replica_url: str = "",
    connections: int = 0,
    now_s: float | None = None,
) -> list[Fault]:
    """Ask a store how it is set up, and say what is wrong with that.

    Args:
        url: the setting store_url.
        direct_url: the setting store_direct_url; empty: the same.
        replica_url: the setting store_replica_url; empty: there is none.
        connections: that our processes have together, see `connections_of`.
        now_s: Unix seconds; None: the clock is not compared.

    Raises asyncpg's errors, OSError or TimeoutError when it does not answer.
    """
    import asyncpg

    try:
        async with _connected(direct_url or url) as connection:
            faults = _encryption_faults(connection, direct_url or url)
            found = dict(await connection.fetchrow(_STATE, timeout=CHECK_S))
            refused = await connection.fetchval(_REFUSED_TABLES, timeout=CHECK_S)
        pooled = await _pooler_faults(url, direct_url)
    except (ssl.SSLError, asyncpg.PostgresError) as error:
        if (fault := refusal(error, url)) is None:
            raise
        return [fault]
    faults += pooled + _state_faults(found, refused, connections, now_s, store_address.parse(url).is_pooled)
    if replica_url:
        faults += await _replica_faults(replica_url)
    return faults


def check_store(settings: Settings, now_s: float) -> None:
    """Warn of a store that may lose what it acknowledges; end this process with a line for each fault with
    which it must not start.

    Call it in ``__main__``, before the service's event loop. A store that is away refuses nothing: the
    service starts, and its ``/readyz`` says so.

    Args:
        settings: have the store's addresses.
        now_s: Unix seconds.

    Raises:
        SystemExit: with the lines to type.
    """
    import asyncpg

    try:
        faults = asyncio.run(
            store_faults(
                settings.store_url,
                direct_url=settings.store_direct_url,
                replica_url=settings.store_replica_url,
                connections=connections_of(settings),
                now_s=now_s,
            )
        )
    except ValueError as error:
        sys.exit(f"error: {ADDRESS}: {error}")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        log.warning("the store does not answer yet: it is not checked", reason=store_address.explained(error))
        return
    enforce(faults)


def _state_faults(
    found: dict[str, Any], refused: str | None, connections: int, now_s: float | None, is_pooled: bool
) -> list[Fault]:
    database, faults = found["database"], []
    if (version := found["version"] // 10_000) < OLDEST:
        faults.append(VERSION.fault(f"the store is PostgreSQL {version}", oldest=OLDEST))
    if found["encoding"] != "UTF8":
        faults.append(ENCODING.fault(f"the store's database has the encoding {found['encoding']}"))
    if refused is not None:
        faults.append(PRIVILEGES.fault(f"the store refuses us the table {refused}", user=found["user"]))
    if found["is_replica"]:
        faults.append(PRIMARY.fault("the store is a replica, which takes no changes"))
    elif found["read_only"] == "on":
        faults.append(READ_ONLY.fault("the store is read-only", database=database))
    if found["fsync"] != "on":
        faults.append(FSYNC.fault("the store does not sync its files (fsync off)"))
    if found["full_pages"] != "on":
        faults.append(FULL_PAGES.fault("the store does not log whole pages (full_page_writes off)"))
    if found["commit"] == "off" or (found["commit"] == "local" and found["standbys"]):
        text = f"the store acknowledges what it has not kept (synchronous_commit {found['commit']})"
        faults.append(COMMIT.fault(text, database=database))
    if found["replicas"] and not found["standbys"]:
        faults.append(STANDBYS.fault("the store does not wait for its replica"))
    if found["idle_s"] > MAX_IDLE_S:  # 0: it is no TCP
        faults.append(KEEP_ALIVE.fault(f"the store asks after a silent client after {found['idle_s']} s"))
    if found["isolation"] != "read committed":
        text = f"the store's transactions are {found['isolation']}"
        faults.append(ISOLATION.fault(text, database=database))
    if found["connections"] < connections and not is_pooled:
        text = (
            f"the store takes {found['connections']} connections, and our processes have up to {connections}"
        )
        faults.append(CONNECTIONS.fault(text, wanted=max(100, 2 * connections)))
    if now_s is not None and abs(found["now"] - now_s) > MAX_CLOCK_S:
        faults.append(CLOCK.fault(f"the store's clock is {found['now'] - now_s:+.0f} s from ours"))
    return faults


async def _pooler_faults(url: str, direct_url: str) -> list[Fault]:
    """Whether a pooler is in between that gives each transaction another connection, unknown to us."""
    import asyncpg

    is_pooled = store_address.parse(url).is_pooled
    loses = False
    async with _connected(url) as one:
        first = await one.fetchval(_BACKEND, 0, timeout=CHECK_S)
        if first == one.get_server_pid() and not is_pooled:
            return []  # it is the server itself
        async with _connected(url) as other, other.transaction():  # it gets what the first one had
            await other.fetchval(_BACKEND, 0, timeout=CHECK_S)
            try:
                by_transaction = await one.fetchval(_BACKEND, 0, timeout=CHECK_S) != first
            except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
                loses = by_transaction = True
    faults = []
    if loses:
        text = f"a pooler in transaction mode is in between, and {ADDRESS} does not say so"
        faults.append(POOLER.fault(text))
    if (by_transaction or is_pooled) and not direct_url:
        text = f"{ADDRESS} is that of a pooler in transaction mode, and the server's own is not known"
        faults.append(DIRECT.fault(text))
    return faults


async def _replica_faults(url: str) -> list[Fault]:
    import asyncpg

    try:
        async with _connected(url) as connection:
            await connection.fetchval("SELECT 1", timeout=CHECK_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        return [REPLICA.fault(f"the store's replica cannot be asked: {_said(error)}")]
    return []


def _encryption_faults(connection: asyncpg.Connection, url: str) -> list[Fault]:
    """What is said of a connection over a network; what stays on the machine may be plain."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2].partition(",")[0]
    host = urlsplit(f"//{place}").hostname or ""
    if _is_here(host):
        return []
    found = connection._transport.get_extra_info("ssl_object")
    if found is None:
        text, mode = f"what we say to {host} is not encrypted", "verify-full"
    elif parse_qs(parts.query).get("sslmode", ["prefer"])[-1] != "verify-full":
        text, mode = f"whether {host} is who it says is not looked at", "verify-full"
    else:
        return []
    fault = ENCRYPTION.fault(text, mode=mode)
    return [Fault(False, fault.text, fault.remedy)]


def refusal(error: BaseException, url: str) -> Fault | None:
    """What a log-in says that failed, where it is known what to do; None where it is not."""
    import asyncpg

    said = _said(error)
    if isinstance(error, ssl.SSLError):
        return AUTHORITY.fault(f"the store's certificate is not trusted ({said})")
    if isinstance(error, asyncpg.InvalidPasswordError):
        return LOGIN.fault(f"the store refuses us ({said})", part="password")
    if isinstance(error, asyncpg.PostgresError) and _WANTS_ENCRYPTION.search(said):
        return ENCRYPTION.fault(f"the store takes encrypted connections only ({said})", mode="require")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return LOGIN.fault(f"the store refuses us ({said})", part="user")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return DATABASE.fault("the store has no such database", database=urlsplit(url).path.strip("/"))
    return None


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _connected:
    """A connection that is ended at the block's end, whatever it waits for."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await store_address.connect(self._url, timeout_s=CHECK_S)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        self._connection.terminate()
