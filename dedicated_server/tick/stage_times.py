"""How long ticks and their stages took, sorted: percentiles are looked up.

Sorting is the most of what a report of a match costs, and numpy sorts without the interpreter's lock: a
thread that makes a report holds no tick up meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

MICROSECOND: Final = 1_000.0
TICK, LATE, FIRST_STAGE = range(3)  # rows


class StageTimes:
    """Times of ticks of about the last minute.

    Args:
        stages: names of a tick's stages.
        took_ns: int64[FIRST_STAGE + stages, T], the whole tick, how late it began and each stage; sorted in
            place.
        longest_ns: the longest tick of all.
    """

    def __init__(self, stages: Sequence[str], took_ns: npt.NDArray[np.int64], longest_ns: int) -> None:
        self._stages = stages
        self._longest_ns = longest_ns
        took_ns.sort(axis=1)
        self._sorted_ns = took_ns

    def tick_us(self) -> dict[str, float]:
        """Whole ticks: median and 99th percentile of the last minute, the longest of all."""
        return {**self._p50_p99_us(TICK), "max": round(self._longest_ns / MICROSECOND, 1)}

    def late_us(self) -> dict[str, float]:
        """How late ticks began: median and 99th percentile of the last minute."""
        return self._p50_p99_us(LATE)

    def stages_us(self) -> dict[str, float]:
        """Median of each stage over the last minute."""
        return {
            stage: self._percentile_us(FIRST_STAGE + place, 0.5) for place, stage in enumerate(self._stages)
        }

    def histogram(self, edges_us: Sequence[float]) -> list[int]:
        """Whole ticks of the last minute: how many took up to each edge, and how many more than the last."""
        ticks_ns = self._sorted_ns[TICK]
        up_to = np.searchsorted(ticks_ns, np.asarray(edges_us) * MICROSECOND, side="right")
        counts: list[int] = np.diff(up_to, prepend=0, append=len(ticks_ns)).tolist()
        return counts

    def _p50_p99_us(self, row: int) -> dict[str, float]:
        return {"p50": self._percentile_us(row, 0.5), "p99": self._percentile_us(row, 0.99)}

    def _percentile_us(self, row: int, share: float) -> float:
        """Return a percentile, interpolated linearly between neighbours; 0 where nothing was timed."""
        last = len(self._sorted_ns[row]) - 1
        if last < 0:
            return 0.0
        below = int(share * last)
        low, high = (int(self._sorted_ns[row, place]) for place in (below, min(below + 1, last)))
        return round((low + (share * last - below) * (high - low)) / MICROSECOND, 1)
