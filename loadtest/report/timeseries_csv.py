"""The time series of a run as CSV, one row per sample, about one a second."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from launchday.outputs import write_whole
from loadtest.flood.timeline import Timeline

FIRST_COLUMN = "at_s"


def write_timeseries(timeline: Timeline, path: Path) -> None:
    """Write a row for each sample: seconds since the start, players by state, queues, servers by state,
    ticks, events. Raises OutputError.
    """
    write_whole(path, _rendered(timeline))


def _rendered(timeline: Timeline) -> str:
    file = io.StringIO(newline="")
    servers = timeline.servers
    at = {name: {at_s: index for index, at_s in enumerate(curve["at_s"])} for name, curve in servers.items()}
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
        ]
    )
    for index, at_s in enumerate(timeline.at_s):
        playing = [(servers[name], found[at_s]) for name, found in at.items() if at_s in found]
        p50s = sorted(curve["p50"][place] for curve, place in playing)
        until_s = timeline.at_s[index + 1] if index + 1 < len(timeline.at_s) else float("inf")
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
            ]
        )
    return file.getvalue()
