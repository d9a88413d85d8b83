"""The section of a scenario about arrivals: an open model; players arrive whatever the backend does.

One curve is for all players; a mapping of locations gives each location a curve of its own.
"""

from __future__ import annotations

import csv
import math
from datetime import tzinfo
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from launchday import local_time
from loadtest.scenario.regions import regions
from loadtest.scenario.sections import (
    Region,
    Section,
    acts,
    file_beside,
)

DAY_S = 86_400.0
MAX_ROWS = 5_000_000  # of a recorded curve


class _Curve(Section):
    over_s: float = Field(
        ge=0,
        le=400 * DAY_S,
        description="Seconds from the first possible arrival to the last.",
        json_schema_extra=acts(),
    )


class Constant(_Curve):
    """A steady stream of independent arrivals."""

    curve: Literal["constant"] = Field("constant", json_schema_extra=acts())


class Ramp(_Curve):
    """A rate that grows linearly from zero."""

    curve: Literal["ramp"] = Field(json_schema_extra=acts())


class LaunchSpike(_Curve):
    """A launch: the rate rises steeply and then falls, in proportion to t · exp(−t / peak_s)."""

    curve: Literal["launch_spike"] = Field(json_schema_extra=acts())
    peak_s: float = Field(
        gt=0,
        le=DAY_S,
        description="Seconds from the start to the highest rate.",
        json_schema_extra=acts(),
    )


class Daily(_Curve):
    """The daily cycle: a cosine with a period of 24 hours."""

    curve: Literal["daily"] = Field(json_schema_extra=acts())
    peak_s: float = Field(
        20 * 3_600.0,
        ge=0,
        le=DAY_S,
        description="Seconds from the start to the first evening's peak.",
        json_schema_extra=acts(),
    )
    swing: float = Field(
        0.6,
        ge=0,
        le=1,
        description="The highest rate is (1 + this) times the mean, the lowest (1 − this).",
        json_schema_extra=acts(),
    )
    day_s: float = Field(
        DAY_S,
        gt=0,
        le=DAY_S,
        description="Seconds that a day takes: less compresses the day.",
        json_schema_extra=acts(),
    )


class Recorded(_Curve):
    """A recorded curve, such as a Steam or WoWAH trace: over_s sets its length, players.count its height."""

    curve: Literal["recorded"] = Field(json_schema_extra=acts())
    file: str = Field(
        description="A CSV file beside the scenario, with a header; the column time holds seconds, or ISO "
        "dates, in order.",
        json_schema_extra=acts(),
    )
    zone: str = Field(
        "UTC",
        description="Of times in the file that have no offset: a name of the IANA's, such as Europe/Berlin. "
        "Of the hour that its clocks show twice in autumn, rows tell the two apart by their order.",
        json_schema_extra=acts(),
    )
    column: str = Field(
        "arrivals",
        description="The column with the figures.",
        json_schema_extra=acts(),
    )
    meaning: Literal["arrivals", "online"] = Field(
        "arrivals",
        description="arrivals: players who arrived since the row before; online: players who are online, of "
        "whom 1 / session_s "
        "leave each second.",
        json_schema_extra=acts(),
    )
    session_s: float = Field(
        3_600.0,
        gt=0,
        description="Mean session in seconds of the trace, where it counts players online.",
        json_schema_extra=acts(),
    )

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        local_time.zone(name)
        return name

    @field_validator("file")
    @classmethod
    def _there(cls, name: str, info: ValidationInfo) -> str:
        return str(file_beside(name, info.context))


CURVES: dict[str, type[Section]] = {
    "constant": Constant,
    "ramp": Ramp,
    "launch_spike": LaunchSpike,
    "daily": Daily,
    "recorded": Recorded,
}


# The two forms of arrivals: one curve for all players, or one for each location.
ONE_CURVE, BY_LOCATION = "one_curve", "by_location"


def _curve(value: Any) -> Any:
    return value.get("curve", "constant") if isinstance(value, dict) else getattr(value, "curve", None)


def is_by_location(value: Any) -> bool:
    """Whether the content of ``arrivals`` is meant as a mapping of locations, right or wrong.

    A curve has no key that is a region, and none with a section below it.
    """
    if not isinstance(value, dict) or "curve" in value:
        return False
    return any(isinstance(below, dict) or name in regions().names for name, below in value.items())


def _form(value: Any) -> Any:
    return BY_LOCATION if is_by_location(value) else ONE_CURVE


Curve = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Ramp, Tag("ramp")]
    | Annotated[LaunchSpike, Tag("launch_spike")]
    | Annotated[Daily, Tag("daily")]
    | Annotated[Recorded, Tag("recorded")],
    Discriminator(_curve),
]
Arrivals = Annotated[
    Annotated[Curve, Tag(ONE_CURVE)] | Annotated[dict[Region, Curve], Tag(BY_LOCATION)],
    Discriminator(_form),
]


def curves_of(arrivals: Arrivals) -> dict[str, Curve]:
    """The curves by location; one for all players has the key ""."""
    return arrivals if isinstance(arrivals, dict) else {"": arrivals}


def longest_s(arrivals: Arrivals) -> float:
    """Seconds from the first possible arrival to the last."""
    return max(curve.over_s for curve in curves_of(arrivals).values())


def rescaled(arrivals: Arrivals, factor: float) -> Arrivals:
    """The same curves in ``factor`` times the time."""
    if isinstance(arrivals, dict):
        return {location: _rescaled(curve, factor) for location, curve in arrivals.items()}
    return _rescaled(arrivals, factor)


def _rescaled(curve: Curve, factor: float) -> Curve:
    seconds = {key: getattr(curve, key) * factor for key in ("over_s", "peak_s") if hasattr(curve, key)}
    return curve.model_copy(update=seconds)


def trace_mistakes(curve: Curve) -> list[str]:
    """The mistake in the file of a recorded curve, if there is one."""
    if not isinstance(curve, Recorded):
        return []
    try:
        read_trace(curve.file, curve.column, curve.meaning, curve.session_s, curve.zone)
    except ValueError as error:
        return [str(error)]
    return []


class Trace(NamedTuple):
    """A recorded curve: which share of the players has arrived by when.

    Attributes:
        at_s: float64[n], seconds since the first row.
        share: float64[n], share of all arrivals by then, from 0 to 1.
    """

    at_s: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]


def read_trace(file: str, column: str, meaning: str, session_s: float, zone: str = "UTC") -> Trace:
    """Read a trace.

    Args:
        column: the column with the figures.
        file: a CSV file with a header and a column ``time``.
        meaning: "arrivals": players who arrived since the row before; "online": players who are online.
        session_s: mean session, for "online": arrivals are then the difference and those who left meanwhile.
        zone: of times without an offset. The zone of the machine decides nothing.

    Raises:
        ValueError: with the line, for a file that is not such a table.
    """
    local = local_time.zone(zone)
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
                times.append(_seconds(row["time"], where, local, times[-1] if times else None))
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


def _seconds(text: str | None, where: str, local: tzinfo, before_s: float | None) -> float:
    try:
        seconds = float(text or "")
    except ValueError:
        pass
    else:
        if math.isfinite(seconds):
            return seconds
    try:
        return local_time.moment(text or "", local, before_s)
    except local_time.UnreadableTimeError as error:
        raise ValueError(f"{where}: time is neither seconds nor an ISO date: {text!r}") from error
    except local_time.LocalTimeError as error:
        raise ValueError(f"{where}: {error}") from error


def _figure(text: str | None, column: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise ValueError(f"{where}: {column} is not a number: {text!r}") from error
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: {column} is not a count: {text!r}")
    return value
