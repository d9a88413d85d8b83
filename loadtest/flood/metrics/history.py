"""What one process told during a run: a bounded number of curves, chosen by what moved.

A counter becomes its rate, a gauge stays as it is, a histogram or summary becomes the rate of what it counted
and the mean of what it summed up. Whatever never moved is worth no curve; ``process_…`` always has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from launchday.percentiles import percentiles
from loadtest.flood.metrics.exposition import Reading

MAX_SERIES = 60
RESERVED = 16  # of them for what is looked for when something breaks: the process itself, and errors
MAX_KNOWN = 10_000  # names whose last value is kept; labels may bring new ones without end
MAX_ERRORS = 100  # names of errors that are followed
PROCESS = "process_"
START_TIME = "process_start_time_seconds"
START_TOLERANCE_S = 1.0
ERROR_WORDS = re.compile(
    r"(^|_)(err|error|errors|fail|failed|failure|failures|exception|exceptions|panic|panics|crash|crashes|"
    r"timeout|timeouts|rejected|refused|dropped|aborted)(_|$|\{)|"
    r'(status|code|status_code)="5[0-9x]{2}"|(outcome|result|status)="(error|failed|failure|timeout)"',
    re.IGNORECASE,
)

Kind = Literal["rate", "gauge", "mean"]


@dataclass(slots=True)
class Series:
    """One curve.

    Attributes:
        name: of the sample, with its labels; a mean has the name of its histogram.
        kind: "rate": of a counter, a second; "gauge": as it was; "mean": of what came since the last sample.
        values: one a sample of the history; None where the process did not answer, or did not tell it.
    """

    name: str
    kind: Kind
    values: list[float | None] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name, and what it is a second or in the mean, for columns and legends."""
        return {"rate": f"{self.name} per s", "gauge": self.name, "mean": f"mean {self.name}"}[self.kind]

    def as_json(self) -> dict[str, Any]:
        """Its kind and figures, as the run's JSON shows them."""
        known = [value for value in self.values if value is not None]
        return {
            "kind": self.kind,
            "mean": round(float(np.mean(known)), 6) if known else None,
            **percentiles(known, 50, 95, 100, digits=6),
            "last": round(known[-1], 6) if known else None,
        }


@dataclass(slots=True)
class ErrorGrowth:
    """A counter of errors that grew.

    Attributes:
        since_s: when it was first seen to have grown, in seconds of the run.
        count: what it grew by in all.
    """

    since_s: float
    count: float


@dataclass(slots=True)
class MetricsHistory:
    """The samples of one address.

    Attributes:
        address: as it is shown, without a password.
        at_s: when each sample was taken, in seconds of the run.
        answered: whether the process answered, a sample.
        series: the curves by name and kind.
        restarts_s: when the process was found to be another one.
        errors: counters of errors that grew, by name.
        left_out: names that moved and have no curve.
    """

    address: str
    at_s: list[float] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    series: dict[tuple[str, Kind], Series] = field(default_factory=dict)
    restarts_s: list[float] = field(default_factory=list)
    errors: dict[str, ErrorGrowth] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    _last: dict[str, Reading] = field(default_factory=dict)
    _since: dict[str, int] = field(default_factory=dict)
    _last_s: float = 0.0

    @property
    def gaps(self) -> int:
        """Samples in which the process did not answer."""
        return self.answered.count(False)

    def curve(self, name: str, kind: Kind) -> list[float | None]:
        """The values of one series; empty where there is none."""
        found = self.series.get((name, kind))
        return [] if found is None else found.values

    def add(self, at_s: float, readings: Mapping[str, Reading] | None) -> None:
        """Add a sample.

        Args:
            at_s: seconds of the run.
            readings: of :func:`read_exposition`; None where the process did not answer.
        """
        self.at_s.append(at_s)
        self.answered.append(readings is not None)
        if readings is not None:
            restarted = self._restarted(readings)
            if restarted:
                self.restarts_s.append(at_s)
            for point in self._points(at_s, readings, restarted):
                if (series := self._series_of(point)) is not None:
                    series.values.append(point.value)
            for name, reading in readings.items():
                if name in self._last or len(self._last) < MAX_KNOWN:
                    self._last[name] = reading
                    self._since.setdefault(name, len(self.at_s) - 1)
            self._last_s = at_s
        for series in self.series.values():  # what this sample did not tell
            series.values += [None] * (len(self.at_s) - len(series.values))

    def shifted(self, by_s: float) -> MetricsHistory:
        """The same on a clock that began ``by_s`` seconds earlier."""
        return replace(
            self,
            at_s=[at_s + by_s for at_s in self.at_s],
            restarts_s=[at_s + by_s for at_s in self.restarts_s],
            errors={
                name: ErrorGrowth(growth.since_s + by_s, growth.count) for name, growth in self.errors.items()
            },
        )

    def as_json(self) -> dict[str, Any]:
        """The figures of this address, as the run's JSON shows them."""
        return {
            "url": self.address,
            "samples": len(self.at_s),
            "gaps": self.gaps,
            "restarts": len(self.restarts_s),
            "left_out": len(self.left_out),
            "errors": {name: growth.count for name, growth in self.errors.items()},
            "series": {series.label: series.as_json() for series in self.series.values()},
        }

    def _restarted(self, readings: Mapping[str, Reading]) -> bool:
        """Whether it is another process: by its start or, where it tells none, by a counter that fell."""
        before, now = self._last.get(START_TIME), readings.get(START_TIME)
        if before is not None and now is not None:
            return abs(now.value - before.value) > START_TOLERANCE_S
        return any(
            reading.counts and name in self._last and reading.value < self._last[name].value
            for name, reading in readings.items()
        )

    def _points(self, at_s: float, readings: Mapping[str, Reading], restarted: bool) -> Iterator[_Point]:
        """What each number of a sample says beside the one before."""
        interval_s = at_s - self._last_s if self._last else 0.0
        for name, reading in readings.items():
            if not reading.counts:
                before = self._last.get(name)
                moved = before is not None and before.value != reading.value
                yield _Point(name, "gauge", reading.value, moved, None if before is None else before.value)
                continue
            grown = self._growth(name, reading, restarted)
            if grown > 0.0 and ERROR_WORDS.search(name):
                self._note_error(name, at_s, grown)
            base, summed, labels = name.partition("{")
            counted = f"{base.removesuffix('_sum')}_count{summed}{labels}"
            if base.endswith("_sum") and counted in readings:
                count = self._growth(counted, readings[counted], restarted)
                mean = grown / count if count > 0.0 else None
                yield _Point(f"{base.removesuffix('_sum')}{summed}{labels}", "mean", mean, count > 0.0, None)
            else:
                rate = grown / interval_s if interval_s > 0.0 else None
                yield _Point(name, "rate", rate, grown > 0.0, 0.0)

    def _growth(self, name: str, reading: Reading, restarted: bool) -> float:
        """What a counter grew by; one that fell, or is new, began at 0."""
        if not self._last:
            return 0.0
        before = self._last.get(name)
        if restarted or before is None or reading.value < before.value:
            return max(reading.value, 0.0)
        return reading.value - before.value

    def _note_error(self, name: str, at_s: float, grown: float) -> None:
        if name in self.errors:
            self.errors[name].count += grown
        elif len(self.errors) < MAX_ERRORS:
            self.errors[name] = ErrorGrowth(at_s, grown)

    def _series_of(self, point: _Point) -> Series | None:
        """The series of a point; one that begins to move gets one, with what it was until now."""
        key = point.name, point.kind
        if key in self.series:
            return self.series[key]
        wanted = point.name.startswith(PROCESS)
        if not (point.moved or wanted):
            return None
        wanted = wanted or ERROR_WORDS.search(point.name) is not None
        if len(self.series) >= (MAX_SERIES if wanted else MAX_SERIES - RESERVED):
            if len(self.left_out) < MAX_KNOWN:
                self.left_out.add(point.name)
            return None
        since = self._since.get(point.name, len(self.at_s) - 1)
        was = [
            point.idle if answered and since <= index and (index or point.kind == "gauge") else None
            for index, answered in enumerate(self.answered[:-1])
        ]
        self.series[key] = Series(point.name, point.kind, was)
        return self.series[key]


class _Point(NamedTuple):
    """One number of one sample.

    Attributes:
        moved: whether it is another one than in the sample before.
        idle: what it was in each sample before it moved.
    """

    name: str
    kind: Kind
    value: float | None
    moved: bool
    idle: float | None
