"""What undoing steps of the schema takes away, told before it is done.

The steps themselves say it: their statements are gathered without being run, and what those drop is counted
in the store.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script

from launchday.resilience import store_address

_FUNCTION_BODY = re.compile(r"\$\$.*?\$\$", re.DOTALL)
_TABLE = re.compile(r"^DROP TABLE(?: IF EXISTS)? (\w+)", re.IGNORECASE)
_ALTERED = re.compile(r"^ALTER TABLE(?: IF EXISTS| ONLY)* (\w+)", re.IGNORECASE)
_COLUMN = re.compile(r"DROP COLUMN(?: IF EXISTS)? (\w+)", re.IGNORECASE)
_CHANGED = re.compile(r"^(?:UPDATE|DELETE FROM) (\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Loss:
    """What is gone after one statement of a step.

    Attributes:
        step: the step that is undone.
        what: ``table``, ``column``, or ``rows`` where rows are changed or deleted.
        name: of the table; of a column with its table before it: ``sessions.opened``.
        rows: that the table has; of a column, those that have a value in it. None: it is not there.
    """

    step: str
    what: str
    name: str
    rows: int | None

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def meaning(step: Script) -> str:
    """What a step says about its undoing, in one line."""
    return " ".join((inspect.getdoc(step.module.downgrade) or "").split())


def losses(store_url: str, steps: Sequence[Script]) -> list[Loss]:
    """What undoing these steps takes away from a store, in the order in which it goes.

    Raises what asyncpg raises when the database cannot be reached.
    """
    found = [(step.revision, what, name) for step in steps for what, name in _drops(step)]
    with ThreadPoolExecutor(1, thread_name_prefix="losses") as thread:
        rows = thread.submit(lambda: asyncio.run(_count(store_url, found))).result()
    return [Loss(*each, count) for each, count in zip(found, rows, strict=True)]


def statements_of_undoing(step: Script) -> list[str]:
    """The SQL of a step's ``downgrade``, not run, and without the bodies of functions."""
    output = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": output}
    )
    with Operations.context(context):
        step.module.downgrade()
    whole = _FUNCTION_BODY.sub("$$…$$", output.getvalue())
    return [" ".join(statement.split()) for statement in whole.split(";\n")]


def _drops(step: Script) -> Iterator[tuple[str, str]]:
    for statement in statements_of_undoing(step):
        if table := _TABLE.match(statement):
            yield "table", table[1]
        elif altered := _ALTERED.match(statement):
            for column in _COLUMN.findall(statement):
                yield "column", f"{altered[1]}.{column}"
        elif changed := _CHANGED.match(statement):
            yield "rows", changed[1]


async def _count(store_url: str, found: Sequence[tuple[str, str, str]]) -> list[int | None]:
    connection = await store_address.connect(store_url)
    try:
        return [await _rows(connection, name) for _, _, name in found]
    finally:
        connection.terminate()


async def _rows(connection: asyncpg.Connection, name: str) -> int | None:
    table, _, column = name.partition(".")
    try:
        count: int = await connection.fetchval(f"SELECT count({column or '*'}) FROM {table}")
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        return None
    return count
