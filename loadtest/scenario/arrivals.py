"""The section of a scenario about when players come. They arrive when they mean to, whatever the backend does (an open model)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from loadtest.arrival_trace import read_trace
from loadtest.scenario.sections import Section
from loadtest.scenario_files import beside

DAY_S = 86_400.0


class _Curve(Section):
    over_s: float = Field(
        ge=0, le=400 * DAY_S, description="Seconds from the first possible arrival to the last."
    )


class Constant(_Curve):
    """A steady stream of independent arrivals."""

    curve: Literal["constant"] = "constant"


class Ramp(_Curve):
    """A stream that grows evenly from nothing."""

    curve: Literal["ramp"]


class LaunchSpike(_Curve):
    """A stream that shoots up when the doors open, and ebbs: the rate is in proportion to t · exp(−t / peak_s)."""

    curve: Literal["launch_spike"]
    peak_s: float = Field(gt=0, le=DAY_S, description="Seconds from the start to the highest rate.")


class Daily(_Curve):
    """The tide of a day: a cosine with a period of 24 hours."""

    curve: Literal["daily"]
    peak_s: float = Field(
        20 * 3_600.0, ge=0, le=DAY_S, description="Seconds from the start to the first evening's peak."
    )
    swing: float = Field(
        0.6, ge=0, le=1, description="The highest rate is (1 + this) times the mean, the lowest (1 − this)."
    )
    day_s: float = Field(
        DAY_S, gt=0, le=DAY_S, description="Seconds a day is played in: less squeezes the day into less time."
    )


class Recorded(_Curve):
    """A curve that was recorded, such as a Steam or WoWAH trace: its shape is stretched over over_s, its height by players.count."""

    curve: Literal["recorded"]
    file: str = Field(
        description="A CSV file beside the scenario, with a header; the column time holds seconds, or ISO dates, in order."
    )
    column: str = Field("arrivals", description="The column with the figures.")
    meaning: Literal["arrivals", "online"] = Field(
        "arrivals",
        description="arrivals: players who came since the row before; online: players who are there, of whom 1 / session_s leave "
        "each second.",
    )
    session_s: float = Field(
        3_600.0, gt=0, description="Mean session in the trace's own time, where it counts those online."
    )

    @field_validator("file")
    @classmethod
    def _there(cls, name: str, info: ValidationInfo) -> str:
        return str(beside(name, info.context))


CURVES: dict[str, type[Section]] = {
    "constant": Constant,
    "ramp": Ramp,
    "launch_spike": LaunchSpike,
    "daily": Daily,
    "recorded": Recorded,
}


def _curve(value: Any) -> Any:
    return value.get("curve", "constant") if isinstance(value, dict) else getattr(value, "curve", None)


Arrivals = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Ramp, Tag("ramp")]
    | Annotated[LaunchSpike, Tag("launch_spike")]
    | Annotated[Daily, Tag("daily")]
    | Annotated[Recorded, Tag("recorded")],
    Discriminator(_curve),
]


def trace_mistakes(arrivals: Arrivals) -> list[str]:
    """What is wrong in the file of a recorded curve."""
    if not isinstance(arrivals, Recorded):
        return []
    try:
        read_trace(arrivals.file, arrivals.column, arrivals.meaning, arrivals.session_s)
    except ValueError as error:
        return [str(error)]
    return []
