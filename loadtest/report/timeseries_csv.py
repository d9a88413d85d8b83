"""The time series of a run as CSV, one row per sample, about one a second."""

from __future__ import annotations

import csv
import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from launchday.outputs import write_whole
from loadtest.flood.metrics.history import MetricsHistory
from loadtest.flood.watching.timeline import Timeline

FIRST_COLUMN = "at_s"
NEAR_S = 1.0  # a sample of metrics farther away than this belongs to another row


def write_timeseries(timeline: Timeline, path: Path, metrics: Sequence[MetricsHistory] = ()) -> None:
    """Write a row for each sample: seconds since the start, players by state, queues, servers by state,
    ticks, events, and what the target's processes told of themselves at that time. Raises OutputError.
    """
    write_whole(path, _rendered(timeline, metrics))


def _rendered(timeline: Timeline, metrics: Sequence[MetricsHistory]) -> str:
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(
        [
            FIRST_COLUMN,
            *(f"players {state.name.lower()}" for state in timeline.players),
            *timeline.queue,
            *(f"servers {state}" for state in timeline.fleet),
            "tick p50 us, median server",
            "tick p99 us, slowest server",
            "events",
            *(
                f"{history.address} {series.label}"
                for history in metrics
                for series in history.series.values()
            ),
        ]
    )
    nearest = [_nearest(history, timeline.at_s) for history in metrics]
    for index, at_s in enumerate(timeline.at_s):
        until_s = timeline.at_s[index + 1] if index + 1 < len(timeline.at_s) else float("inf")
        playing = list(_told_between(timeline, at_s, until_s))
        p50s = sorted(curve["p50"][place] for curve, place in playing)
        events = [text for when_s, text in timeline.marks + timeline.faults if at_s <= when_s < until_s]
        rows.writerow(
            [
                at_s,
                *(counts[index] for counts in timeline.players.values()),
                *("" if values[index] is None else values[index] for values in timeline.queue.values()),
                *(counts[index] for counts in timeline.fleet.values()),
                p50s[len(p50s) // 2] if p50s else "",
                max((curve["p99"][place] for curve, place in playing), default=""),
                "; ".join(events),
                *(
                    _cell(series.values, places[index])
                    for history, places in zip(metrics, nearest, strict=True)
                    for series in history.series.values()
                ),
            ]
        )
    return file.getvalue()


def _told_between(
    timeline: Timeline, from_s: float, until_s: float
) -> Iterator[tuple[dict[str, list[float]], int]]:
    """The curves of the game servers that told something in that time, each with the place of it."""
    for curve in timeline.servers.values():
        place = bisect_left(curve["at_s"], until_s) - 1
        if place >= 0 and curve["at_s"][place] >= from_s:
            yield curve, place


def _nearest(history: MetricsHistory, at_s: Sequence[float]) -> list[int | None]:
    """For each row the sample that was taken next to it; None where none is near."""
    times_s = np.array(history.at_s)
    found: list[int | None] = []
    for when_s in at_s:
        apart_s = np.abs(times_s - when_s)
        place = int(apart_s.argmin()) if len(times_s) else -1
        found.append(place if place >= 0 and apart_s[place] <= NEAR_S else None)
    return found


def _cell(values: Sequence[float | None], place: int | None) -> float | str:
    value = None if place is None else values[place]
    return "" if value is None else round(value, 6)
