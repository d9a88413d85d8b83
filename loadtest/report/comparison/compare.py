"""Two runs side by side: their figures with the difference, in the terminal and as an HTML page.

A run is the JSON file that ``launchday flood`` and ``simulate`` write beside their report, under the same
name.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from launchday.terminal import Terminal
from launchday.terminal import table as terminal_table
from loadtest.errors import LoadTestError
from loadtest.report.html import render_template

MAX_BYTES = 200_000_000
RUN_SPECIFIC = ("seed", "run_id", "started_at")
TOLERANCE = 0.02  # a smaller difference is neither better nor worse

# Figures of which more is worse, by the last part of their name and by the first; the others are not judged.
WORSE_WHEN_MORE = (
    "players_lost",
    "missed_tick_share",
    "abandoned",
    "abandoned_share",
    "gave_up",
    "no_match",
    "lost",
    "cut_off",
    "never_queued",
    "cancelled",
    "unmatched",
    "cost",
    "generator_saturated",
    "given_up",
    "retries",
    "requeues",
    "off",
)
WORSE_WHEN_MORE_IN = ("wait_s", "tick_us", "rtt_ms", "requests", "cpu_cores", "generator", "kbit_per_client")


class Row(NamedTuple):
    """One figure of both runs; None where a run has none."""

    name: str
    first: float | str | None
    second: float | str | None

    @property
    def change(self) -> float | None:
        """By which share the second is larger than the first; None where that makes no sense."""
        a, b = self.first, self.second
        if self.name in RUN_SPECIFIC:
            return None
        if isinstance(a, str) or isinstance(b, str) or a is None or b is None or a == b:
            return None
        return math.inf if a == 0 else (b - a) / abs(a)

    @property
    def judgement(self) -> int:
        """−1: the second run is worse; 1: it is better; 0: neither, or not known."""
        change = self.change
        if change is None or abs(change) < TOLERANCE:
            return 0
        parts = self.name.split(".")
        if parts[-1] in WORSE_WHEN_MORE or parts[0] in WORSE_WHEN_MORE_IN:
            return -1 if change > 0 else 1
        return 0


def read_run(path: Path) -> dict[str, Any]:
    """Read the figures of a run from its JSON, or from the JSON beside its report. Raises LoadTestError."""
    source = path.with_suffix(".json") if path.suffix == ".html" else path
    try:
        if source.stat().st_size > MAX_BYTES:
            raise LoadTestError(f"{source} is longer than {MAX_BYTES:,} bytes: not the figures of a run")
        content = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadTestError(
            f"{source} cannot be read: {error.strerror or error}; give a report, or its JSON"
        ) from error
    except (ValueError, RecursionError) as error:
        raise LoadTestError(f"{source} is not JSON: {str(error)[:100]}") from error
    if not isinstance(content, dict) or "scenario" not in content:
        raise LoadTestError(f"{source} is not the figures of a run: it names no scenario")
    return content


def compare_runs(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    """Every figure that at least one run has, in the order of the first."""
    a, b = flat_figures(first), flat_figures(second)
    names = list(dict.fromkeys([*a, *b]))
    return [Row(name, a.get(name), b.get(name)) for name in names]


def flat_figures(content: Mapping[str, Any], prefix: str = "") -> dict[str, float | str | None]:
    """The figures of a run by their dotted names, such as ``wait_s.p95``; objectives by what was measured.

    Lists are left out: their places mean nothing from one run to another.
    """
    found: dict[str, float | str | None] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= flat_figures(value, f"{name}.")
        elif key == "objectives" and isinstance(value, list):
            for objective in value:
                if isinstance(objective, dict):
                    found[f"objectives.{objective.get('name')}"] = objective.get("measured")
        elif isinstance(value, bool):
            found[name] = "yes" if value else "no"
        elif isinstance(value, str | int | float) or value is None:
            found[name] = value
    return found


def print_comparison(first: Path, second: Path, table: list[Row], console: Terminal) -> None:
    """Print the figures that differ, side by side."""
    shown = terminal_table("figure", boxed=False)
    for heading in (str(first), str(second), "change"):
        shown.add_column(heading, justify="right", overflow="fold")
    for row in table:
        if row.first == row.second:
            continue
        colour = {-1: "red", 1: "green", 0: "default"}[row.judgement]
        shown.add_row(
            row.name,
            _format_value(row.first, row.name),
            _format_value(row.second, row.name),
            Text(_format_change(row), colour),
        )
    equal = sum(row.first == row.second for row in table)
    console.print(shown if shown.row_count else "no figure differs")
    console.print(f"{equal:,} figures are equal", style="dim")


def render_comparison(first: Path, second: Path, table: list[Row]) -> str:
    """The figures of two runs side by side, as one HTML page.

    Args:
        first, second: the files, whose names head the columns.
        table: of :func:`compare_runs`.
    """

    def shown(row: Row) -> dict[str, str]:
        return {
            "name": row.name,
            "first": _format_value(row.first, row.name),
            "second": _format_value(row.second, row.name),
            "change": _format_change(row),
            "judgement": ("", "better", "worse")[row.judgement],
        }

    return render_template(
        "comparison.html",
        title="Two runs · launchday",
        heading="Two runs side by side",
        subheading=f"{first} and {second}: what differs, and how much larger the second is than the first.",
        first=first.stem,
        second=second.stem,
        differing=[shown(row) for row in table if row.first != row.second],
        equal=[shown(row) for row in table if row.first == row.second],
    )


def _format_value(value: float | str | None, name: str = "") -> str:
    if value is None:
        return "–"
    if name == "started_at" and isinstance(value, int | float):
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(value))
    if name in RUN_SPECIFIC:
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:79]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _format_change(row: Row) -> str:
    change = row.change
    if change is None:
        return ""
    return "new" if math.isinf(change) else f"{change:+.1%}"
