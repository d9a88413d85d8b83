"""A recorded curve of arrivals, from a CSV file that the user owns."""

from __future__ import annotations

import csv
import math
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_ROWS = 5_000_000


class Trace(NamedTuple):
    """How many players have come by when.

    Attributes:
        at_s: float64[n], seconds since the first row.
        share: float64[n], share of all arrivals by then, from 0 to 1.
    """

    at_s: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]


def read_trace(file: str, column: str, meaning: str, session_s: float) -> Trace:
    """Read a trace.

    Args:
        column: the column with the figures; ``time`` has the times.
        meaning: "arrivals": players who came since the row before; "online": players who are there.
        session_s: mean time that a player stays, for "online": those who came are the difference and those who left meanwhile.

    Raises:
        ValueError: with the line, for a file that is not such a table.
    """
    times: list[float] = []
    figures: list[float] = []
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            missing = {"time", column} - set(rows.fieldnames or ())
            if missing:
                raise ValueError(f"{file}:1: no column {', '.join(sorted(missing))}")
            for row in rows:
                if len(times) == MAX_ROWS:
                    raise ValueError(f"{file}:{rows.line_num}: more than {MAX_ROWS:,} rows")
                where = f"{file}:{rows.line_num}"
                times.append(_seconds(row["time"], where))
                figures.append(_figure(row[column], column, where))
                if len(times) > 1 and times[-1] <= times[-2]:
                    raise ValueError(f"{where}: the time is not after the row before")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: cannot be read: {error}") from error
    if len(times) < 2:
        raise ValueError(f"{file}: a curve has two rows at least")
    at_s = np.array(times) - times[0]
    counts = np.array(figures)
    if meaning == "online":
        stayed = np.diff(at_s) * (counts[1:] + counts[:-1]) / (2 * session_s)
        came = np.concatenate([[0.0], np.maximum(0.0, np.diff(counts) + stayed)])
    else:
        came = np.concatenate([[0.0], counts[1:]])
    total = came.sum()
    if not total > 0:
        raise ValueError(f"{file}: nobody arrives in it")
    return Trace(at_s=at_s, share=np.cumsum(came) / total)


def _seconds(text: str | None, where: str) -> float:
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError as error:
        raise ValueError(f"{where}: time is neither seconds nor an ISO date: {text!r}") from error


def _figure(text: str | None, column: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise ValueError(f"{where}: {column} is not a number: {text!r}") from error
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: {column} is not a count: {text!r}")
    return value
