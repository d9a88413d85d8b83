"""The stage timer.

How long each stage of each tick took, kept for about the last minute, without allocating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

KEPT_TICKS: Final = 4_096  # 68 seconds at 60 Hz: percentiles are of these
MICROSECOND: Final = 1_000.0
BINS: Final = 32  # of the histograms: two to a doubling, from 1 µs to 46 ms


class StageTimer:
    """Times named stages. ``clock_ns`` gives nanoseconds since an arbitrary moment.

    Only differences are used.
    """

    def __init__(self, stages: Sequence[str], clock_ns: Callable[[], int]) -> None:
        self.stages = tuple(stages)
        self._clock_ns = clock_ns
        self._laps_ns = np.zeros((KEPT_TICKS, len(self.stages)), dtype=np.int64)
        self._ticks_ns = np.zeros(KEPT_TICKS, dtype=np.int64)
        self._late_ns = np.zeros(KEPT_TICKS, dtype=np.int64)
        self._longest_ns = 0
        self._count = 0
        self._row = self._laps_ns[0]
        self._begun_ns = self._lap_ns = 0
        self._binned = 0
        self._bins = np.zeros((1 + len(self.stages), BINS), dtype=np.int64)

    def start(self, late_s: float) -> None:
        """Begin a tick that was due ``late_s`` ago."""
        place = self._count % KEPT_TICKS
        self._row = self._laps_ns[place]
        self._late_ns[place] = late_s * 1e9
        self._begun_ns = self._lap_ns = self._clock_ns()

    def lap(self, stage: int) -> None:
        """The stage of this index has ended and the next begins."""
        now_ns = self._clock_ns()
        self._row[stage] = now_ns - self._lap_ns
        self._lap_ns = now_ns

    def stop(self) -> float:
        """End the tick with its last lap; return how long it took, in seconds."""
        took_ns = self._lap_ns - self._begun_ns
        self._ticks_ns[self._count % KEPT_TICKS] = took_ns
        self._longest_ns = max(self._longest_ns, took_ns)
        self._count += 1
        return took_ns * 1e-9

    def tick_us(self) -> dict[str, float]:
        """Whole ticks: median and 99th percentile of the last minute, the longest of all."""
        ticks = self._ticks_ns[: self._kept]
        return {**_percentiles(ticks), "max": round(self._longest_ns / MICROSECOND, 1)}

    def late_us(self) -> dict[str, float]:
        """How late ticks began: median and 99th percentile of the last minute."""
        return _percentiles(self._late_ns[: self._kept])

    def stages_us(self) -> dict[str, float]:
        """Median of each stage over the last minute."""
        if not self._kept:
            return dict.fromkeys(self.stages, 0.0)
        medians = np.median(self._laps_ns[: self._kept], axis=0) / MICROSECOND
        return dict(zip(self.stages, medians.round(1).tolist(), strict=True))

    def histogram(self, edges_us: Sequence[float]) -> list[int]:
        """Whole ticks of the last minute: how many took up to each edge, and how many more than the last."""
        bins = np.searchsorted(np.asarray(edges_us) * MICROSECOND, self._ticks_ns[: self._kept])
        counts: list[int] = np.bincount(bins, minlength=len(edges_us) + 1).tolist()
        return counts

    def histograms(self) -> dict[str, list[int]]:
        """How long ticks and stages of the whole match took: counts in bins of half a doubling, from 1 µs on.

        Adds what was timed since the last call; ticks that were overwritten meanwhile are missing.
        """
        fresh = np.arange(max(self._binned, self._count - KEPT_TICKS), self._count) % KEPT_TICKS
        self._binned = self._count
        took_us = np.column_stack([self._ticks_ns[fresh], self._laps_ns[fresh]]) / MICROSECOND
        bins = np.clip(2 * np.log2(np.maximum(took_us, 1.0)), 0, BINS - 1).astype(np.int64)
        for row, column in zip(self._bins, bins.T, strict=True):
            row += np.bincount(column, minlength=BINS)
        return dict(zip(("tick", *self.stages), self._bins.tolist(), strict=True))

    @property
    def _kept(self) -> int:
        return min(self._count, KEPT_TICKS)


def _percentiles(nanoseconds: np.typing.NDArray[np.int64]) -> dict[str, float]:
    if not len(nanoseconds):
        return {"p50": 0.0, "p99": 0.0}
    p50, p99 = np.percentile(nanoseconds, (50, 99)) / MICROSECOND
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}
