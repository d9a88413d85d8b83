"""``compare --fail-above``: by how much a figure of the second run may be worse than that of the first.

A threshold is ``NAME=10%``, relative to the first run, or ``NAME=0.02``, a difference in the figure's own
unit. A figure that one of the runs has not measured fails it, and so does one of which the second run knows
only that it is *at least* so much, where the first run knows it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.errors import ThresholdError
from loadtest.report.comparison.compare import flat_figures

# Short name → the figure's dotted name in the JSON of a flood and of a simulation.
SHORT_NAMES = {
    **{f"wait_{point}": f"wait_s.{point}" for point in ("p50", "p95", "p99", "max", "mean")},
    **{f"tick_{point}": f"tick_us.{point}" for point in ("p50", "p99", "max")},
    **{f"rtt_{point}": f"rtt_ms.{point}" for point in ("p50", "p95", "p99")},
    **{f"login_{point}": f"requests.log in.ms.{point}" for point in ("p50", "p95", "p99", "max")},
    **{f"purchase_{point}": f"requests.purchase.ms.{point}" for point in ("p50", "p95", "p99", "max")},
    "missed_ticks": "missed_tick_share",
    "gave_up": "abandoned_share",
}
KNOWN = ("abandoned_share", "cost", "missed_tick_share", "players_lost", "server_hours")

# Figures of which less is worse, by their whole name; of all others more is.
WORSE_WHEN_LESS = (
    "players_by_state.done",
    "waits.matched",
    "matched",
    "matches",
    "match_counts.formed",
    "match_counts.ended",
    "rate.reached_per_s",
    "rate.arrived",
)
ROUNDING = 1e-9  # of a sum in binary: 0.30 − 0.28 is no more than 0.02


@dataclass(frozen=True, slots=True)
class Threshold:
    """By how much one figure may be worse.

    Attributes:
        name: as it was given.
        figure: its dotted name in the JSON.
        limit: the largest difference, as a share of the first run's figure or in the figure's unit.
        relative: whether it is a share.
    """

    name: str
    figure: str
    limit: float
    relative: bool

    @property
    def allowed(self) -> str:
        """The limit as it is shown, with the sign of what is worse."""
        sign = "-" if self.figure in WORSE_WHEN_LESS else "+"
        return f"{sign}{self.limit:.4g}" if not self.relative else f"{sign}{self.limit * 100:.4g} %"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one threshold.

    Attributes:
        passed: whether the second run is no worse than that.
        sentence: the figure in both runs, by how much it differs, and what is allowed.
    """

    passed: bool
    sentence: str


def parse_threshold(text: str) -> Threshold:
    """Read a threshold, such as ``wait_p95=10%`` or ``abandoned_share=0.02``.

    Raises ThresholdError where it is none; whether a run has the figure is not looked at.
    """
    name, equals, given = text.rpartition("=")
    name, given = name.strip(), given.strip()
    relative = given.endswith("%")
    try:
        limit = float(given.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        limit = math.nan
    if not equals or not name or not math.isfinite(limit) or limit < 0:
        raise ThresholdError(
            f"--fail-above {text}: give NAME=PERCENT% or NAME=NUMBER, such as wait_p95=10% or "
            "abandoned_share=0.02"
        )
    return Threshold(name, SHORT_NAMES.get(name, name), limit, relative)


def check_thresholds(
    thresholds: Sequence[Threshold], first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[Finding]:
    """Hold the second run against the first.

    Args:
        thresholds: of :func:`parse_threshold`.
        first, second: the JSON of two runs.

    Raises:
        ThresholdError: no run can have such a figure, or it is not a number.
    """
    a, b = flat_figures(first), flat_figures(second)
    return [
        _finding(each, _value(each, a, b), _value(each, b, a), _bounds(each, first), _bounds(each, second))
        for each in thresholds
    ]


def _value(
    threshold: Threshold, figures: Mapping[str, float | str | None], others: Mapping[str, float | str | None]
) -> float | None:
    """The figure of one run; None where it has not measured it. Raises ThresholdError."""
    name = threshold.figure
    if name not in figures and name not in others:
        if threshold.name in SHORT_NAMES or name in KNOWN:
            return None
        near = difflib.get_close_matches(threshold.name, [*SHORT_NAMES, *KNOWN, *figures, *others], 3)
        meant = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "no run has such a figure"
        raise ThresholdError(f"--fail-above {threshold.name}: {meant}")
    value = figures.get(name)
    if isinstance(value, str):
        raise ThresholdError(f"--fail-above {threshold.name}: {name} is not a number, but {value[:40]!r}")
    return value if value is not None and math.isfinite(value) else None


def _bounds(threshold: Threshold, run: Mapping[str, Any]) -> bool:
    """Whether a run knows only that the figure is at least so much."""
    prefix, _, point = threshold.figure.partition(".")
    bounds = run.get("wait_at_least")
    return prefix == "wait_s" and isinstance(bounds, list) and point in bounds


def _finding(
    threshold: Threshold, a: float | None, b: float | None, a_bounds: bool, b_bounds: bool
) -> Finding:
    name = threshold.figure
    if a is None or b is None:
        if a is None and b is None:
            return Finding(False, f"{name}: neither run has it")
        return Finding(False, f"{name}: the {'first' if a is None else 'second'} run does not have it")
    worse = (a - b) if name in WORSE_WHEN_LESS else (b - a)
    allowed = threshold.limit * abs(a) if threshold.relative else threshold.limit
    passed = worse <= allowed + ROUNDING * max(abs(a), abs(b))
    values = f"{name}: {_shown(a, a_bounds)} → {_shown(b, b_bounds)}"
    sentence = f"{values} ({_change(threshold, a, b)}, allowed {threshold.allowed})"
    if passed and b_bounds and not a_bounds:
        return Finding(False, f"{sentence}: the second is a lower limit, players gave up before it was known")
    return Finding(passed, sentence)


def _shown(value: float, bound: bool) -> str:
    return f"{'≥ ' if bound else ''}{value:,.4g}"


def _change(threshold: Threshold, a: float, b: float) -> str:
    if not threshold.relative:
        return f"{b - a:+.4g}"
    return f"{(b - a) / abs(a) * 100:+.4g} %" if a else ("equal" if a == b else "from nothing")
