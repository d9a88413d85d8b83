"""Figures as small tables, for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.bench.harness.statistics import flatten


def show(found: dict[str, Any], console: Console) -> None:
    """Print one benchmark's figures: a row a name; of a benchmark with points, a table with a column each before it."""
    points = [flatten(point) for point in found.get("points", [])]
    title = f"bench {found['bench']}"
    rest = flatten({name: value for name, value in found.items() if name not in ("bench", "points")})
    if points:
        console.print(
            _table(title, [[name, *(point.get(name, "") for point in points)] for name in points[0]])
        )
        title = ""
    console.print(_table(title, [[name, value] for name, value in rest.items()]))


def _table(title: str, rows: list[list[Any]]) -> Table:
    table = Table(title=title or None, show_header=False, title_justify="left")
    for name, *values in rows:
        table.add_row(name.replace("_", " "), *(_text(value) for value in values))
    return table


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
