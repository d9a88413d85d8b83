"""The mean of a figure over several seeds, and the 95 % interval around it (Student's t)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtest.simulate.theory import student_t

DIGITS = 6  # decimal places of what is kept


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean over the seeds and half the width of its 95 % interval.

    ``mean`` is None where a run had nothing to measure; ``half_width`` is 0 with a single seed.
    """

    mean: float | None
    half_width: float

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        return None if self.mean is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        return None if self.mean is None else self.mean + self.half_width

    def as_json(self) -> dict[str, float | None]:
        """Return the estimate as JSON."""
        return {"mean": self.mean, "half_width": self.half_width}


def estimate(values: Sequence[float | None]) -> Estimate:
    """Return the estimate of a figure from its value with each seed; None: there was nothing to measure."""
    if not values or None in values:
        return Estimate(None, 0.0)
    array = np.array(values, np.float64)
    mean = round(float(array.mean()), DIGITS)
    if len(array) == 1:
        return Estimate(mean, 0.0)
    half_width = student_t(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Estimate(mean, round(half_width, DIGITS))


def figure_of(figures: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """Return one figure of a run, by its keys from the top; None where there was nothing to measure."""
    found: Any = figures
    for key in path:
        found = found[key]
    return None if found is None else float(found)


def format_estimate(found: Estimate) -> str:
    """Write an estimate for people: as many digits as its interval is worth.

    Where all seeds gave the same, four significant digits: a cost of some thousandths is not shown as 0.0.
    """
    if found.mean is None:
        return "–"
    if found.half_width <= 0.0:
        return format_figure(found.mean)
    places = min(DIGITS, max(0, 1 - math.floor(math.log10(found.half_width))))
    return f"{found.mean:,.{places}f} ± {found.half_width:,.{places}f}"


def format_figure(value: float | None) -> str:
    """Write a figure for people: four significant digits, never as a power of ten."""
    if value is None:
        return "–"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = min(DIGITS, max(0, 3 - math.floor(math.log10(abs(value)))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_share(value: float | None) -> str:
    """Write a share of the players as per cent: one in a million is 0.0001 %, and no power of ten."""
    return "–" if value is None else f"{format_figure(value * 100)} %"
