"""How a step changes tables that are in use: no writer waits longer than 100 ms, whatever the table's size.

An exclusive lock costs three times: while it is waited for (every later statement queues behind the waiter),
while it is held, and while the transaction that took it goes on with something else. So a step here asks for
one no longer than `WAIT_MS` and otherwise makes room and asks again, holds it for one statement that reads no
rows, and commits. What reads the rows (an index, the check of a constraint) does it under a lock that lets
others write.

Each piece commits by itself, so a step that is killed between two of them has done some. It is run again from
its start, so pieces must be such that they may be done twice: ``IF NOT EXISTS``, ``IF EXISTS``, ``OR
REPLACE``. They stand first in ``upgrade``; what makes new tables and functions stands last, in the step's own
transaction, which also writes down that the step was made:

    def upgrade() -> None:
        briefly("ALTER TABLE sessions ADD COLUMN IF NOT EXISTS opened bigint NOT NULL DEFAULT 0")
        index_concurrently("sessions_by_time", "ON sessions (stored_at)")
        op.execute("CREATE TABLE cache_epochs (…)")

A constant, or ``now()``, as a new column's default rewrites nothing; ``gen_random_uuid()``,
``clock_timestamp()`` or ``GENERATED`` rewrites the table under an exclusive lock: never.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from meta_service.errors import SchemaBusyError

WAIT_MS = 40
"""Longest wait for a lock that others queue behind. A statement of ours holds one for 1 to 5 ms; the rest, up
to 100 ms, is for a machine that is busy."""
TRIES = 600  # with the pauses below about ten minutes: an autovacuum of a large table takes that long
PAUSE_S = (0.1, 1.0)  # the first between two tries, and the longest

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK = "40P01"


def briefly(*statements: str) -> None:
    """Run statements that need an exclusive lock for a moment, each in a transaction of its own.

    Args:
        statements: SQL that may be run twice and reads no rows of a large table.

    Raises SchemaBusyError after `TRIES` tries.
    """
    with op.get_context().autocommit_block():
        for statement in statements:
            _insist(statement)


def index_concurrently(name: str, on: str, *, unique: bool = False) -> None:
    """Create an index while others write; one that was left half made is dropped and made again.

    Args:
        name: of the index.
        on: the rest of its definition: ``ON table (columns) WHERE …``.
        unique: refuses rows that are there twice; raises sqlalchemy's IntegrityError where there are.

    It waits for the transactions that were open when it began; nobody waits for it.
    """
    with op.get_context().autocommit_block():
        if _is_valid(name) is False:
            _insist(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        kind = "UNIQUE INDEX" if unique else "INDEX"
        _patiently(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} {on}")


def drop_index_concurrently(name: str) -> None:
    """Drop an index while others use its table. Waits as `index_concurrently` does."""
    with op.get_context().autocommit_block():
        _patiently(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def constraint(table: str, name: str, definition: str) -> None:
    """Add a constraint, or replace the one of that name: new rows at once, the old ones without a lock.

    Args:
        table: whose rows.
        name: of the constraint.
        definition: ``CHECK (…)`` or ``FOREIGN KEY …``.

    Raises sqlalchemy's IntegrityError where a row breaks it.
    """
    with op.get_context().autocommit_block():
        _insist(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name},"
            f" ADD CONSTRAINT {name} {definition} NOT VALID"
        )
        _patiently(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def in_batches(statement: str) -> None:
    """Repeat a statement, each time in a transaction of its own, until it changes no row.

    Args:
        statement: an UPDATE, DELETE or INSERT that does a bounded number of rows (a few thousand: they stay
            locked until its end) and finds those that are left by itself.
    """
    with op.get_context().autocommit_block():
        if _only_tells():
            op.execute(statement)
            return
        while _connection().execute(text(statement)).rowcount > 0:
            pass


def limit_waits(connection: Connection) -> None:
    """Let no statement of this connection wait longer than `WAIT_MS` for a lock."""
    connection.execute(text(f"SET lock_timeout = {WAIT_MS}"))


def is_busy(error: DBAPIError) -> bool:
    """Whether a statement failed only because somebody held a lock."""
    return getattr(error.orig, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK)


def pause(connection: Connection, tries: int) -> None:
    """Wait before the next try: the store's own clock does, so that steps need none.

    Raises SchemaBusyError when there were `TRIES` of them.
    """
    if tries >= TRIES:
        raise SchemaBusyError(_holders(connection))
    first, most = PAUSE_S
    # Up to half as long again by chance: out of step with a job that takes the lock every second.
    connection.execute(text("SELECT pg_sleep(:s * (1 + random() / 2))"), {"s": min(first * 1.1**tries, most)})


def _connection() -> Connection:
    return op.get_context().connection  # type: ignore[return-value]  # None only where SQL is printed


def _only_tells() -> bool:
    """Whether statements are gathered and not run: to say what a step would do."""
    return op.get_context().as_sql


def _insist(statement: str) -> None:
    if _only_tells():
        op.execute(statement)
        return
    tries = 0
    while True:
        try:
            _connection().execute(text(statement))
        except DBAPIError as error:
            if not is_busy(error):
                raise
            tries += 1
            pause(_connection(), tries)
        else:
            return


def _patiently(statement: str) -> None:
    if _only_tells():
        op.execute(statement)
        return
    # Under a lock that lets others read and write, so there is no harm in waiting for it.
    connection = _connection()
    connection.execute(text("SET lock_timeout = 0"))
    try:
        connection.execute(text(statement))
    finally:
        limit_waits(connection)


def _is_valid(index: str) -> bool | None:
    """None: there is none."""
    if _only_tells():
        return None
    row = (
        _connection()
        .execute(
            text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": index}
        )
        .first()
    )
    return None if row is None else bool(row[0])


def _holders(connection: Connection) -> str:
    rows = connection.execute(
        text("""
            SELECT pid, state, round(extract(epoch FROM clock_timestamp() - xact_start)) AS for_s
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
            ORDER BY xact_start LIMIT 3
        """)
    ).all()
    found = ", ".join(f"process {pid} ({state}, for {for_s} s)" for pid, state, for_s in rows)
    return f"a table is never free: end the oldest transactions and migrate again: {found or 'none is open'}"
