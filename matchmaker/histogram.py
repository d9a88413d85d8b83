"""Durable percentiles: counts in buckets that grow by two per cent, so a percentile is right to one per cent."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

GROWTH = 1.02
SMALLEST = 1e-3  # below a millisecond of waiting, or a microsecond of round trip, nobody asks how much


def buckets_of(values: ArrayLike) -> dict[str, int]:
    """Count values (any unit) by bucket, as the books keep them."""
    clipped = np.maximum(np.asarray(values, np.float64), SMALLEST)
    index = np.ceil(np.log(clipped / SMALLEST) / math.log(GROWTH)).astype(np.int64)
    bucket, count = np.unique(index, return_counts=True)
    return dict(zip(map(str, bucket.tolist()), count.tolist(), strict=True))


def percentile(buckets: Mapping[int, int], share: float) -> float:
    """The value that ``share`` (0 to 1) of the counted ones do not exceed, in their unit; 0 when none was counted."""
    wanted = share * sum(buckets.values())
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return float(SMALLEST * GROWTH ** (bucket - 0.5))
    return 0.0
