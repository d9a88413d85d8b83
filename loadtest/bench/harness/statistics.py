"""Figures of a benchmark: percentiles rounded to what they are worth, growth, ratios, and tables for a
terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from launchday import percentiles as shared
from launchday.terminal import Terminal, table


def percentiles(values: npt.ArrayLike, *points: float, digits: int = 1) -> dict[str, float]:
    """Return percentiles by name, ``p50`` and ``max``; of nothing all are 0, as a figure here is always a
    number.
    """
    return shared.percentiles(values, *points, digits=digits, empty=0.0)


def histogram_percentiles(
    counts: npt.NDArray[np.int64], bin_width: float, *points: float, digits: int = 1
) -> dict[str, float]:
    """Return the percentiles of a histogram; see ``launchday.percentiles.histogram_percentiles``."""
    return shared.histogram_percentiles(counts, bin_width, *points, digits=digits, empty=0.0)


def ratio(part: float, whole: float, digits: int = 3) -> float:
    """Return ``part`` ÷ ``whole``, or 0 where ``whole`` is 0."""
    return round(part / whole, digits) if whole else 0.0


def fitted_exponent(sizes: npt.ArrayLike, costs: npt.ArrayLike) -> float:
    """Return the k for which cost ∝ size^k fits best: the slope of the least-squares line through the
    logarithms.
    """
    slope, _offset = np.polyfit(
        np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(costs, dtype=float)), 1
    )
    return round(float(slope), 3)


def flatten(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one whose keys are joined by spaces, for tables."""
    rows: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            rows |= flatten(value, name)
        else:
            rows[name] = value
    return rows


def print_figures(found: dict[str, Any], console: Terminal) -> None:
    """Print the figures of one benchmark as a table with a row for each name.

    A benchmark with points has a table of its points before that, with a column for each.
    """
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
    shown = table(title=title, header=False)
    for name, *values in rows:
        shown.add_row(name.replace("_", " "), *(_text(value) for value in values))
    for column in shown.columns:
        column.overflow = "fold"
    return shown


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
