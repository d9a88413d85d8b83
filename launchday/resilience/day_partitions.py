"""Tables that grow, in partitions of a day: days are made ahead, and dropped as files when they are over.

Rows whose day has no partition lie in the default partition, the rest: those that were there before the
table had days, those of a time that no day is made for, and all of them while no keeper is at work. So a
keeper that is late or away makes nothing fail. The rest is exchanged for an empty one when what it held in
the beginning is over; what it holds that is not moves along.

A lock that others queue behind is waited for `WAIT_MS` and held for a few milliseconds. A new day makes
PostgreSQL look through the rest for rows of its own; where the rest is large, a constraint that was checked
without a lock tells it that there are none.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Gauge

from launchday.clock import Clock
from launchday.resilience import store_address

if TYPE_CHECKING:
    import asyncpg

# asyncpg is imported inside the functions, as in `launchday.resilience.parts`.

DAYS_AHEAD = 7
MIN_DAYS_AHEAD = 3  # fewer than these left: make more. A keeper may be away for a weekend
LOOK_S = 600.0
RETRY_S = 30.0
WAIT_MS = 50  # for a lock that others queue behind
TRIES = 40
PAUSE_S = 0.25  # between two tries, on average
LARGE_BYTES = 64 * 2**20  # PostgreSQL looks through as much in 0.1 s
MAX_MOVED = 100_000  # rows that move to a new rest in one transaction: 0.2 s
CONNECT_S = 5.0
DAY_S = 86_400.0

DAYS = Gauge("launchday_day_partitions", "Partitions of a day that a table has.", ["table"])

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DayTable:
    """A table that is partitioned by RANGE into days of UTC.

    Attributes:
        name: of the table; days are called ``NAME_YYYYMMDD`` and its default partition ``NAME_rest``.
        begins: SQL of the bound at which a day begins.
        outlives: SQL condition of the rows of the rest that are not over at the beginning of a day. It is to
            find them by an index where the rest is large.
        days_kept: how many days after its end a day is kept; infinite: for ever.
        key: columns of each partition's primary key, where the table itself has none.
        sought_by: column by which ``outlives`` seeks, where no index of the rest has it.
    """

    name: str
    begins: Callable[[datetime.date], str]
    outlives: Callable[[datetime.date], str]
    days_kept: float
    key: str = ""
    sought_by: str = ""

    @property
    def rest(self) -> str:
        """The name of the default partition."""
        return f"{self.name}_rest"

    def day(self, day: datetime.date) -> str:
        """The name of a day's partition."""
        return f"{self.name}_{day:%Y%m%d}"

    def is_over(self, day: datetime.date, today: datetime.date) -> bool:
        """Whether a day has been kept for long enough."""
        return (today - day).days > self.days_kept + 1


Tables = Callable[[], Awaitable[Sequence[DayTable]]]
"""Which tables to keep: asked at each look, as it may take a question how long."""


async def run(store_url: str, tables: Tables, clock: Clock) -> None:
    """Keep the days of tables; cancel it to stop. Outages of the store only delay it.

    Args:
        store_url: postgresql://….
        tables: which; several processes may keep the same ones, one of them does it at a time.
        clock: which day it is, its wall time and the store's agree on: of two days the earlier one counts, so
            that one broken clock drops nothing too early.
    """
    while True:
        try:
            connection = await store_address.connect(store_url, timeout_s=CONNECT_S)
            try:
                for table in await tables():
                    await keep(connection, table, await _today(connection, clock), clock)
            finally:
                connection.terminate()
        except Exception as error:  # whatever it is: rows go to the rest meanwhile
            log.warning("day_partitions_not_kept", reason=store_address.explained(error), retry_in_s=RETRY_S)
            await clock.sleep(RETRY_S)
        else:
            await clock.sleep(LOOK_S)


async def keep(connection: asyncpg.Connection, table: DayTable, today: datetime.date, clock: Clock) -> None:
    """Make the days that are missing, drop those that are over, and exchange the rest if it is old.

    ``clock`` waits between tries. It does nothing where the table has no days (a schema from before them), or
    another process is at it.
    Raises asyncpg's errors.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", table.name):
        return
    try:
        days = await _days(connection, table)
        if days is None:
            return
        ahead = [today + datetime.timedelta(each) for each in range(DAYS_AHEAD + 1)]
        if sum(day in days for day in ahead) < MIN_DAYS_AHEAD + 1:
            missing = [day for day in ahead if day not in days]
            if await _size(connection, table.rest) > LARGE_BYTES:
                await _make_beside_large_rest(connection, table, missing, today, clock)
            else:
                await _make(connection, table, missing, clock)
        for day in sorted(days):
            if table.is_over(day, today):
                await _insist(connection, clock, f"DROP TABLE IF EXISTS {table.day(day)}")
                log.info("day_partition_dropped", table=table.name, day=str(day))
        await _exchange_rest(connection, table, today, clock)
        DAYS.labels(table.name).set(len(await _days(connection, table) or ()))
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", table.name)


async def _today(connection: asyncpg.Connection, clock: Clock) -> datetime.date:
    own = datetime.datetime.fromtimestamp(clock.wall(), datetime.UTC).date()
    stores: datetime.date = await connection.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date")
    return min(own, stores)


async def _days(connection: asyncpg.Connection, table: DayTable) -> set[datetime.date] | None:
    """The days that there are; None where the table is not partitioned."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_partitioned_table"
        " LEFT JOIN pg_inherits ON inhparent = partrelid LEFT JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE partrelid = to_regclass($1)",
        table.name,
    )
    if not rows:
        return None
    names = [row["relname"].removeprefix(f"{table.name}_") for row in rows if row["relname"]]
    return {datetime.date.fromisoformat(name) for name in names if name.isdigit()}


async def _make(
    connection: asyncpg.Connection, table: DayTable, days: Sequence[datetime.date], clock: Clock
) -> None:
    """Make days. One of which rows are in the rest already is left out: they stay there."""
    import asyncpg

    made = []
    for day in days:
        name, until = table.day(day), day + datetime.timedelta(1)
        key = f"ALTER TABLE {name} ADD PRIMARY KEY ({table.key});" if table.key else ""
        try:
            await _insist(
                connection,
                clock,
                f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL); {key}"
                f" ALTER TABLE {table.name} ATTACH PARTITION {name}"
                f" FOR VALUES FROM ({table.begins(day)}) TO ({table.begins(until)})",
            )
            made.append(str(day))
        except asyncpg.CheckViolationError:
            log.info("day_partition_left_out", table=table.name, day=str(day))
    if made:
        log.info("day_partitions_made", table=table.name, days=made)


async def _make_beside_large_rest(
    connection: asyncpg.Connection,
    table: DayTable,
    missing: Sequence[datetime.date],
    today: datetime.date,
    clock: Clock,
) -> None:
    """Make days after PostgreSQL has checked, while others write, that the rest has no row of them."""
    import asyncpg

    # Rows of today are in it, and of tomorrow those of clocks that are ahead.
    days = [day for day in missing if (day - today).days > 1]
    if not days:
        return
    first, until = table.begins(days[0]), table.begins(days[-1] + datetime.timedelta(1))
    column = await connection.fetchval(
        "SELECT attname FROM pg_partitioned_table JOIN pg_attribute"
        " ON attrelid = partrelid AND attnum = partattrs[0] WHERE partrelid = to_regclass($1)",
        table.name,
    )
    drop = f"ALTER TABLE {table.rest} DROP CONSTRAINT IF EXISTS no_row_of_new_days"
    promise = f"CHECK ({column} < {first} OR {column} >= {until}) NOT VALID"
    await _insist(connection, clock, f"{drop}, ADD CONSTRAINT no_row_of_new_days {promise}")
    try:
        await connection.execute(f"ALTER TABLE {table.rest} VALIDATE CONSTRAINT no_row_of_new_days")
        await _make(connection, table, days, clock)
    except asyncpg.CheckViolationError:
        log.info("day_partition_left_out", table=table.name, day=f"{days[0]} to {days[-1]}")
    finally:  # a row of a time without a day is to find its place again
        await _insist(connection, clock, drop)


async def _exchange_rest(
    connection: asyncpg.Connection, table: DayTable, today: datetime.date, clock: Clock
) -> None:
    """Give the table an empty rest, once all is over that was in the rest when the table got days."""
    since = await connection.fetchval("SELECT obj_description(to_regclass($1))", table.rest)
    # Two days more: those that _make leaves out of a large rest.
    if not since or not table.is_over(datetime.date.fromisoformat(since) + datetime.timedelta(2), today):
        return
    rest, old = table.rest, f"{table.rest}_old"
    if table.sought_by:
        await connection.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {rest}_sought ON {rest} ({table.sought_by})"
        )
    first_kept = today - datetime.timedelta(int(min(table.days_kept, 36_500)))
    lives = table.outlives(first_kept)
    found = f"SELECT count(*) FROM (SELECT FROM {rest} WHERE {lives} LIMIT {MAX_MOVED + 1}) AS found"
    moved = await connection.fetchval(found)
    if moved > MAX_MOVED:
        log.warning("day_partitions_rest_is_in_use", table=table.name, next_step="it is looked at again")
        return
    key = f"ALTER TABLE {rest} ADD CONSTRAINT {rest}_pkey PRIMARY KEY ({table.key});" if table.key else ""
    await _insist(
        connection,
        clock,
        f"ALTER TABLE {table.name} DETACH PARTITION {rest};"
        f" ALTER TABLE {rest} RENAME TO {old};"
        f" ALTER TABLE {old} RENAME CONSTRAINT {rest}_pkey TO {old}_pkey;"
        f" CREATE TABLE {rest} (LIKE {table.name} INCLUDING ALL); {key}"
        f" COMMENT ON TABLE {rest} IS '{today}';"
        " SET LOCAL enable_seqscan = off;"
        f" INSERT INTO {rest} SELECT * FROM {old} WHERE {lives};"
        f" ALTER TABLE {table.name} ATTACH PARTITION {rest} DEFAULT;"
        f" DROP TABLE {old}",
    )
    log.info("day_partitions_rest_exchanged", table=table.name, since=since, moved=moved)


async def _size(connection: asyncpg.Connection, name: str) -> int:
    return int(await connection.fetchval("SELECT coalesce(pg_relation_size(to_regclass($1)), 0)", name))


async def _insist(connection: asyncpg.Connection, clock: Clock, statements: str) -> None:
    """Run statements in one transaction; wait shortly for their locks, and try again.

    Raises asyncpg.LockNotAvailableError after `TRIES` times: the next look comes.
    """
    import asyncpg

    chance: Any = clock.random("day-partitions")
    for number in range(TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
                await connection.execute(statements)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if number == TRIES - 1:
                raise
        await clock.sleep(PAUSE_S * (0.5 + chance.random()))
