"""Two runs side by side: their figures with the difference, in the terminal and as one page.

A run is the JSON that ``launchday flood`` and ``simulate`` write; beside a report, the file of the same name.
"""

from __future__ import annotations

import html
import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.errors import LoadTestError

# Lists of a run are of this run alone: its servers, its matches. What is left are figures.
MAX_BYTES = 200_000_000
RUN_SPECIFIC = ("seed", "run_id", "started_at")
TOLERANCE = 0.02  # a smaller difference is not marked

# Figures of which more is worse, by the last words of their names; of the others nothing is said but the difference.
WORSE_WHEN_MORE = (
    "players_lost",
    "missed_tick_share",
    "abandoned",
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
        """By which share the second is more than the first."""
        a, b = self.first, self.second
        if self.name in RUN_SPECIFIC:
            return None
        if isinstance(a, str) or isinstance(b, str) or a is None or b is None or a == b:
            return None
        return math.inf if a == 0 else (b - a) / abs(a)

    @property
    def judgement(self) -> int:
        """−1 where the second run is worse, 1 where it is better, 0 where it is neither or nobody can tell."""
        change = self.change
        if change is None or abs(change) < TOLERANCE:
            return 0
        parts = self.name.split(".")
        if parts[-1] in WORSE_WHEN_MORE or parts[0] in WORSE_WHEN_MORE_IN:
            return -1 if change > 0 else 1
        return 0


def read_run(path: Path) -> dict[str, Any]:
    """The figures of a run, from its JSON or the JSON beside its report. Raises LoadTestError."""
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
    """Every figure that either run has, in the order of the first."""
    a, b = _flat(first), _flat(second)
    names = list(dict.fromkeys([*a, *b]))
    return [Row(name, a.get(name), b.get(name)) for name in names]


def _flat(content: Any, prefix: str = "") -> dict[str, float | str | None]:
    found: dict[str, float | str | None] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        elif key == "objectives" and isinstance(value, list):
            for objective in value:
                if isinstance(objective, dict):
                    found[f"objectives.{objective.get('name')}"] = objective.get("measured")
        elif isinstance(value, bool):
            found[name] = "yes" if value else "no"
        elif isinstance(value, str | int | float) or value is None:
            found[name] = value
    return found


def print_comparison(first: Path, second: Path, table: list[Row], console: Console) -> None:
    """Print the figures side by side."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("figure", overflow="fold")
    for name in (first, second):
        shown.add_column(escape(str(name)), justify="right", overflow="fold")
    shown.add_column("change", justify="right")
    for row in table:
        if row.first == row.second:
            continue
        colour = {-1: "red", 1: "green", 0: "default"}[row.judgement]
        shown.add_row(
            escape(row.name),
            escape(_said(row.first, row.name)),
            escape(_said(row.second, row.name)),
            f"[{colour}]{_change(row)}[/]",
        )
    alike = sum(row.first == row.second for row in table)
    console.print(shown if shown.row_count else "no figure differs")
    console.print(f"{alike:,} figures are alike", style="dim", highlight=False)


def render_comparison(first: Path, second: Path, table: list[Row]) -> str:
    """The figures side by side as one HTML page."""
    differing = [row for row in table if row.first != row.second]
    alike = [row for row in table if row.first == row.second]
    head = "<tr><th>figure</th>" + "".join(
        f"<th class=number>{html.escape(path.stem)}</th>" for path in (first, second)
    )
    return (
        PAGE.replace("$first", html.escape(str(first)))
        .replace("$second", html.escape(str(second)))
        .replace("$count", f"{len(alike):,}")
        .replace("$differing", f"{head}<th class=number>change</th></tr>" + "".join(map(_line, differing)))
        .replace("$alike", "".join(map(_line, alike)))
    )


def _line(row: Row) -> str:
    name = html.escape(row.name).replace("_", "_<wbr>").replace(".", ".<wbr>")
    cells = "".join(
        f"<td class={'text' if len(_said(value, row.name)) > 16 else 'number'}>{html.escape(_said(value, row.name))}</td>"
        for value in (row.first, row.second)
    )
    if row.first == row.second:
        return f"<tr class=alike><td>{name}</td>{cells}</tr>"
    judged = ("", "better", "worse")[row.judgement]
    return f'<tr><td>{name}</td>{cells}<td class="number {judged}">{_change(row)}</td></tr>'


def _said(value: float | str | None, name: str = "") -> str:
    if value is None:
        return "–"
    if name == "started_at" and isinstance(value, int | float):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(value))
    if name in RUN_SPECIFIC:
        return str(value)
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:79]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _change(row: Row) -> str:
    change = row.change
    if change is None:
        return ""
    return "new" if math.isinf(change) else f"{change:+.1%}"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><title>Two runs · launchday</title>
<style>
:root { --page: #f5f6f8; --card: #fff; --text: #1b1f27; --quiet: #5c6573; --line: #dfe3ea; --good: #00744f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --card: #1a1f27; --text: #e7eaf0; --quiet: #9aa4b2; --line: #2c333f;
  --good: #4fd1a5; --bad: #ff8a80; } }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 24px 16px 56px; } h1 { font-size: 22px; margin: 0 0 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:last-child, th:last-child { padding-right: 0; } tr:last-child td { border-bottom: 0; }
th { color: var(--quiet); font-weight: 500; } .number { text-align: right; white-space: nowrap; } td.text { min-width: 84px; text-align: right; } tr.alike { color: var(--quiet); }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
p { margin: 0 0 12px; color: var(--quiet); overflow-wrap: anywhere; } details { margin-top: 16px; } summary { cursor: pointer; }
@media (max-width: 600px) { body { font-size: 13px; } th, td { padding-right: 8px; } .card { padding: 8px 12px; } }
</style></head><body><main><h1>Two runs side by side</h1><p>$first and $second: what differs, and by how much the second is more than the first.</p>
<div class="card"><table>$differing</table></div>
<details class="card"><summary>$count figures are alike</summary><table>$alike</table></details></main></body></html>
"""
