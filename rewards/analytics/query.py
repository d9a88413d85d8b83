"""Queries: SQL over the Parquet files with DuckDB; each kind of event is a view of its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rewards.analytics import columns, lake
from rewards.errors import QueryError


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The columns' names, and the rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Connect, with a view for each kind of event; the view of a kind that never happened is empty.

    Times are in UTC, wherever the machine is. What is kept for a program that knows more is ``newer``.

    Raises QueryError when there is no folder of events.
    """
    if not (folder / lake.MANIFEST).exists():
        raise QueryError(
            f"there are no events in {folder}: start the backend and let it play, or give --folder"
        )
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")  # else days and hours are those of the machine's zone
    for kind in (*columns.KINDS, columns.NEWER):
        if any(lake.files(folder, kind)):
            pattern = str(folder / "day=*" / f"kind={kind}" / "*.parquet").replace("'", "''")
            connection.execute(
                f"CREATE VIEW {kind} AS SELECT * EXCLUDE kind FROM read_parquet('{pattern}', "
                "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true)"
            )
        else:
            connection.register(f"no_{kind}", columns.schema(kind).empty_table())
            connection.execute(f"CREATE VIEW {kind} AS SELECT *, NULL::DATE AS day FROM no_{kind}")
    return connection


def run(folder: Path, sql: str) -> QueryResult:
    """Run one query over the lake in ``folder``. Raises QueryError."""
    with connect(folder) as connection:
        try:
            found = connection.execute(sql)
            return QueryResult([column[0] for column in found.description or ()], found.fetchall())
        except duckdb.Error as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise QueryError("; ".join(lines) or "the query cannot be answered") from error
