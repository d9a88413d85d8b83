"""Queries: SQL over the Parquet files with DuckDB; each kind of event is a view of its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rewards.analytics import columns, lake
from rewards.errors import QueryError
from rewards.lake_manifest import MANIFEST


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The columns' names, and the rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


@contextlib.contextmanager
def connect(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect, with a view for each kind of event; the view of a kind that never happened is empty.

    Times are in UTC, wherever the machine is.

    Raises:
        QueryError: there is no folder of events, or what is done with the connection cannot be.
    """
    if not (folder / MANIFEST).exists():
        raise QueryError(
            f"there are no events in {folder}: start the backend and let it play, or give --folder"
        )
    with _plainly_named(folder) as named, duckdb.connect() as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")  # else days and hours are those of the machine's zone
            for kind in columns.KINDS:
                _make_view(connection, kind, folder, named)
            yield connection
        except duckdb.Error as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = "; ".join(lines).replace(named, str(folder))
            raise QueryError(said or "the query cannot be answered") from error


def run(folder: Path, sql: str) -> QueryResult:
    """Run one query over the lake in ``folder``. Raises QueryError."""
    with connect(folder) as connection:
        found = connection.execute(sql)
        return QueryResult([column[0] for column in found.description or ()], found.fetchall())


def _make_view(connection: duckdb.DuckDBPyConnection, kind: str, folder: Path, named: str) -> None:
    if any(lake.files(folder, kind)):
        connection.execute(
            f"CREATE VIEW {kind} AS SELECT * EXCLUDE kind FROM "
            f"read_parquet('{named}/day=*/kind={kind}/*.parquet', "
            "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true)"
        )
    else:
        connection.register(f"no_{kind}", columns.schema(kind).empty_table())
        connection.execute(f"CREATE VIEW {kind} AS SELECT *, NULL::DATE AS day FROM no_{kind}")


@contextlib.contextmanager
def _plainly_named(folder: Path) -> Iterator[str]:
    """Give the folder a name in which DuckDB finds no pattern, no column and no letter that is none.

    It takes ``[old]`` for a pattern and ``day=7`` for a column, and refuses bytes that are no text.
    """
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        named = f"/proc/self/fd/{opened}"
        if not os.path.isdir(named):  # no /proc is mounted
            named = "".join(f"[{one}]" if one in "[*?" else one for one in str(folder)).replace("'", "''")
        yield named
    finally:
        os.close(opened)
