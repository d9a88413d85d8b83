"""Figures: percentiles of many numbers, rounded to what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Figures = dict[str, float]


def percentiles(values: npt.ArrayLike, *points: float, digits: int = 1) -> Figures:
    """Percentiles by name, ``p50`` and so on; 100 is ``max``. Of nothing, all are 0."""
    array = np.asarray(values, dtype=np.float64)
    found = np.percentile(array, points) if array.size else np.zeros(len(points))
    return {_name(point): round(float(value), digits) for point, value in zip(points, found, strict=True)}


def histogram_percentiles(
    counts: npt.NDArray[np.int64], bin_width: float, *points: float, digits: int = 1
) -> Figures:
    """The same of a histogram whose bin i holds what lies in [i, i + 1) · ``bin_width``: the upper edge of the bin."""
    total = int(counts.sum())
    if not total:
        return {_name(point): 0.0 for point in points}
    reached = np.cumsum(counts)
    bins = np.searchsorted(reached, [max(1.0, total * point / 100.0) for point in points])
    return {
        _name(point): round(float((at + 1) * bin_width), digits)
        for point, at in zip(points, bins, strict=True)
    }


def fitted_exponent(sizes: npt.ArrayLike, costs: npt.ArrayLike) -> float:
    """The k for which cost ∝ size^k fits best: the slope of the least-squares line through the logarithms."""
    slope, _offset = np.polyfit(
        np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(costs, dtype=float)), 1
    )
    return round(float(slope), 3)


def flatten(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, the keys joined by spaces, for tables."""
    rows: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            rows |= flatten(value, name)
        else:
            rows[name] = value
    return rows


def _name(point: float) -> str:
    return "max" if point == 100 else f"p{point:g}"
