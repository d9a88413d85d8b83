"""The address of the global store, and the one place where a connection to it is made.

An address is libpq's: ``postgresql://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?sslmode=verify-full&…``.
Beside libpq's own parameters it may have ``pooler=transaction`` (or Prisma's word for it,
``pgbouncer=true``): a pooler in between gives each transaction another connection. Then no statement is
prepared under a name.

Of several hosts the one that takes writes is connected to (``target_session_attrs=read-write`` unless the
address says otherwise), so a promotion is found by the client. libpq and asyncpg ask one host after the
other; one that drops packets would use up all the time. So the next is asked `STAGGER_S` later, and the first
that fits is taken. A host of an older timeline than one that was connected to before is an old primary that
does not know that it was replaced: it is not taken.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from launchday.resilience import sockets

if TYPE_CHECKING:
    import asyncpg

# asyncpg is imported inside the functions: it costs 0.1 s, and not every process asks a store.

# TCP, TLS, the log-in and the first answer are six round trips: 300 ms each where regions are far apart.
CONNECT_S = 2.0
STAGGER_S = 0.25  # a host in another zone has answered by then
DEFAULT_PORT = 5432
POOLER_PARAMETERS = {("pooler", "transaction"): True, ("pooler", "none"): False, ("pgbouncer", "true"): True}
POOLER_REMEDY = "add pooler=transaction to the parameters of LAUNCHDAY_STORE_URL (…?pooler=transaction)"
WRITABLE = ("read-write", "primary")

_TIMELINE = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
_LOST_STATEMENT = re.compile(r'prepared statement "[^"]*" (does not exist|already exists)')
_LOGIN = re.compile(r"([^\s,/@:]*):[^,/@]*@")  # in an address without a scheme
_SECRET = re.compile(r"(?i)\b(\w*password\w*)=[^&\s]*")

_newest_timeline: dict[str, int] = {}  # of the hosts of an address, as far as this process has seen
_taken_last: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """An address, taken apart.

    Attributes:
        dsn: what asyncpg is given.
        hosts: names and ports, where there are several; empty: asyncpg reads the one.
        is_pooled: whether a pooler in transaction mode is in between.
        wants: libpq's target_session_attrs.
    """

    dsn: str
    hosts: tuple[tuple[str, int], ...]
    is_pooled: bool
    wants: str


def parse(url: str) -> StoreAddress:
    """Take an address apart. Raises ValueError for a pooler or a port that makes no sense."""
    parts = urlsplit(url)
    is_pooled, wants, kept = False, "", []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in ("pooler", "pgbouncer"):
            if (name, value) not in POOLER_PARAMETERS:
                raise ValueError(f"{name}={value} of the store's address is neither transaction nor none")
            is_pooled = POOLER_PARAMETERS[name, value]
        else:
            kept.append((name, value))
            wants = value if name == "target_session_attrs" else wants
    hosts = _hosts(parts.netloc.rpartition("@")[2])
    if not any(name in ("pooler", "pgbouncer") for name, _ in parse_qsl(parts.query)):
        return StoreAddress(url, hosts, is_pooled, wants or (WRITABLE[0] if hosts else "any"))
    dsn = urlunsplit(parts._replace(query=urlencode(kept)))
    return StoreAddress(dsn, hosts, is_pooled, wants or (WRITABLE[0] if hosts else "any"))


def without_secrets(url: str) -> str:
    """An address of any engine as it may be shown: without passwords, of users and of files."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if at and ":" in user:
        url = url.replace(f"{user}@{place}", f"{user.partition(':')[0]}:…@{place}", 1)
    elif not parts.netloc:
        url = _LOGIN.sub(r"\1:…@", url)
    return _SECRET.sub(r"\1=…", url)


def explained(error: BaseException) -> str:
    """What asyncpg raised, in one line, and what to set where it is a pooler that was not told of."""
    silence = "no answer" if isinstance(error, TimeoutError) else ""
    said = f"{type(error).__name__}: {' '.join(str(error).split()) or silence}"
    if _LOST_STATEMENT.search(said):  # asyncpg's own hint, a paragraph, is for programmers
        said = said.partition(" HINT:")[0]
        return f"{said}: a pooler in transaction mode is in between: {POOLER_REMEDY}"
    return said


async def connect(
    url: str, *, timeout_s: float = CONNECT_S, idle_s: float = 0.0, **options: Any
) -> asyncpg.Connection:
    """Open one connection, with keep-alive and a bound on unacknowledged data.

    Args:
        url: see this module.
        timeout_s: seconds for all of it.
        idle_s: seconds after which the server ends a transaction in which nothing happens, so that one of a
            machine that has gone without a word does not keep its rows locked for hours; 0: it waits.
            Through a pooler in transaction mode it waits, too: the session is not ours.
        options: further ones of ``asyncpg.connect``.

    Raises what asyncpg raises, TimeoutError among it; TargetServerAttributeNotMatched where no host fits.
    """
    import asyncpg

    address = parse(url)
    if address.is_pooled:
        options["statement_cache_size"] = 0
    async with asyncio.timeout(timeout_s):
        if address.hosts:
            connection = await _first_that_fits(url, address, options)
        else:
            connection = await asyncpg.connect(address.dsn, timeout=timeout_s, **options)
        sockets.harden(connection._transport)
        if idle_s and not address.is_pooled:
            try:
                # Not as a parameter of the login: poolers in session mode refuse those that they do not know.
                await connection.execute(f"SET idle_in_transaction_session_timeout = {int(idle_s * 1000)}")
            except BaseException:
                connection.terminate()
                raise
    return connection


def timeline(url: str) -> int:
    """The newest timeline of an address's hosts that this process has seen; 0 where it does not ask."""
    return _newest_timeline.get(url, 0)


async def _first_that_fits(url: str, address: StoreAddress, options: dict[str, Any]) -> asyncpg.Connection:
    first = _taken_last.get(url, 0)
    waiting = [(first + count) % len(address.hosts) for count in range(len(address.hosts))]
    asking: dict[asyncio.Task[asyncpg.Connection], int] = {}
    failure: BaseException | None = None
    try:
        while waiting or asking:
            if waiting:
                number = waiting.pop(0)
                asking[asyncio.create_task(_ask_host(url, address, number, options))] = number
            done, _ = await asyncio.wait(
                asking, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (error := task.exception()) is None:
                    _taken_last[url] = asking.pop(task)
                    return task.result()
                del asking[task]
                failure = error
    finally:
        for task in asking:
            task.add_done_callback(_end_late_one)
            task.cancel()
    assert failure is not None
    raise failure


async def _ask_host(url: str, address: StoreAddress, number: int, options: dict[str, Any]) -> Any:
    import asyncpg

    host, port = address.hosts[number]
    connection = await asyncpg.connect(
        address.dsn, host=host, port=port, target_session_attrs=address.wants, timeout=None, **options
    )
    if address.wants not in WRITABLE:
        return connection
    try:
        own = await connection.fetchval(_TIMELINE)
    except asyncpg.PostgresError:  # not every server that speaks PostgreSQL's protocol has timelines
        return connection
    except BaseException:
        connection.terminate()
        raise
    newest = _newest_timeline[url] = max(own, _newest_timeline.get(url, 0))
    if own < newest:
        connection.terminate()
        raise asyncpg.TargetServerAttributeNotMatched(
            f"{host}:{port} is an old primary of timeline {own}, and {newest} was seen: end it, or make it "
            "a standby of the new one"
        )
    return connection


def _end_late_one(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _hosts(places: str) -> tuple[tuple[str, int], ...]:
    if "," not in places:
        return ()
    hosts = []
    for place in places.split(","):
        found = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d+))?", place)
        if found is None or not found[1]:
            raise ValueError(f"{place!r} in the store's address is no host:port")
        hosts.append((found[1].strip("[]"), int(found[2] or DEFAULT_PORT)))
    return tuple(hosts)
