"""Percentiles: exact ones of an array, of a histogram with equal bins, and of a histogram whose bins grow.

- ``percentiles`` sorts the values it is given: exact, and its memory grows with the number of values.
- ``at_least`` says which of them are lower limits, where some values are: a wait that was given up.
- ``histogram_percentiles`` reads counts of equal bins: right to one bin, whatever the number of values.
- ``log_buckets`` and ``log_bucket_percentile`` keep counts in bins that grow by two per cent: right to one
  per cent over any range, and small enough to be kept in a cache hash.

All of them name their results alike: ``{"p50": …, "p99.5": …, "max": …}``, where the point 100 is ``max``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

BUCKET_GROWTH = 1.02  # a value is at most one per cent away from the middle of its bucket
MIN_VALUE = (
    1e-3  # values below it share the first bucket: a millisecond of seconds, a microsecond of milliseconds
)


@overload
def percentiles(values: ArrayLike, *points: float, digits: int = 3) -> dict[str, float | None]: ...


@overload
def percentiles(values: ArrayLike, *points: float, digits: int = 3, empty: float) -> dict[str, float]: ...


def percentiles(
    values: ArrayLike, *points: float, digits: int = 3, empty: float | None = None
) -> dict[str, float | None] | dict[str, float]:
    """Return percentiles of numbers by name, interpolated linearly between neighbours.

    Args:
        values: numbers of any shape and unit. NaN and infinite ones are left out.
        points: percentiles from 0 to 100; 100 is named ``max``.
        digits: decimal places of the results.
        empty: the result of each point where no number is left.
    """
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    if not finite.size:
        return {percentile_name(point): empty for point in points}
    found = np.percentile(finite, points).tolist()
    return {percentile_name(point): round(value, digits) for point, value in zip(points, found, strict=True)}


def at_least(values: ArrayLike, censored: ArrayLike, *points: float) -> list[str]:
    """Return the names of the percentiles that fall on a value of which only a lower limit is known.

    They are shown with ``≥``. A percentile between two values falls on both.

    Args:
        values: numbers, as for ``percentiles``.
        censored: of each value, whether it is a lower limit, such as a wait that was given up.
        points: percentiles from 0 to 100; 100 is named ``max``.
    """
    array, limits = np.asarray(values, np.float64), np.asarray(censored, np.bool_)
    finite = np.isfinite(array)
    array, limits = array[finite], limits[finite]
    if not limits.any():
        return []
    on_limits = np.zeros(len(points), np.bool_)
    for method in ("lower", "higher"):
        on_limits |= np.isin(np.percentile(array, points, method=method), array[limits])
    return [percentile_name(point) for point, known in zip(points, on_limits, strict=True) if known]


@overload
def histogram_percentiles(
    counts: NDArray[np.int64], bin_width: float, *points: float, digits: int = 1
) -> dict[str, float | None]: ...


@overload
def histogram_percentiles(
    counts: NDArray[np.int64], bin_width: float, *points: float, digits: int = 1, empty: float
) -> dict[str, float]: ...


def histogram_percentiles(
    counts: NDArray[np.int64], bin_width: float, *points: float, digits: int = 1, empty: float | None = None
) -> dict[str, float | None] | dict[str, float]:
    """Return percentiles of a histogram with equal bins: the upper edge of the bin that holds each.

    Args:
        counts: int64[B]; bin ``i`` counts the values in ``[i, i + 1) * bin_width``.
        bin_width: in the unit of the values.
        points: percentiles from 0 to 100; 100 is named ``max``.
        digits: decimal places of the results.
        empty: the result of each point where nothing was counted.
    """
    total = int(counts.sum())
    if not total:
        return {percentile_name(point): empty for point in points}
    ranks = [max(1.0, total * point / 100.0) for point in points]
    bins = np.searchsorted(np.cumsum(counts), ranks).tolist()
    return {
        percentile_name(point): round((place + 1) * bin_width, digits)
        for point, place in zip(points, bins, strict=True)
    }


def percentile_name(point: float) -> str:
    """Return the name of a percentile: ``p50``, ``p99.5``, and ``max`` for 100."""
    return "max" if point == 100 else f"p{point:g}"


def log_buckets(values: ArrayLike) -> dict[str, int]:
    """Count values by bucket, for a histogram that is summed up elsewhere, such as in a hash of the cache.

    Args:
        values: numbers of any unit; those below ``MIN_VALUE`` are counted in the first bucket.

    Returns:
        How many values each bucket got, by the bucket's number in decimal.
    """
    clipped = np.maximum(np.asarray(values, np.float64), MIN_VALUE)
    index = np.ceil(np.log(clipped / MIN_VALUE) / math.log(BUCKET_GROWTH)).astype(np.int64)
    bucket, count = np.unique(index, return_counts=True)
    return dict(zip(map(str, bucket.tolist()), count.tolist(), strict=True))


def log_bucket_percentile(buckets: Mapping[int, int], share: float) -> float:
    """Return the value that a share of the counted ones do not exceed, right to one per cent.

    Args:
        buckets: how many values each bucket got, by its number, as ``log_buckets`` numbers them.
        share: from 0 to 1.

    Returns:
        The middle of the bucket, in the unit of the values; 0 where nothing was counted.
    """
    wanted = share * sum(buckets.values())
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return float(MIN_VALUE * BUCKET_GROWTH ** (bucket - 0.5))
    return 0.0
