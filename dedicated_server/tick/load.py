"""How long ticks take, and what gives way when they take too long.

`StageTimer` keeps the time of each stage of each tick for about the last minute, without allocating.

`Overload` makes snapshots rarer when ticks run late, before anything else suffers. The simulation keeps its
60 ticks a second, and inputs are still read in every tick. Snapshots become rarer, because they are what
costs. Every step down is a factor of two, as clients take turns. The way back waits until the load has been
low for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dedicated_server.tick.stage_times import FIRST_STAGE, LATE, MICROSECOND, TICK, StageTimes

KEPT_TICKS: Final = 4_096  # 68 seconds at 60 Hz: percentiles are of these
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

    def times(self) -> StageTimes:
        """Return what the last minute's ticks took. Other threads may call it while ticks are timed.

        A tick that ends meanwhile may have replaced the oldest in some stages alone: one of 4,096.
        """
        kept = min(self._count, KEPT_TICKS)
        took_ns = np.empty((FIRST_STAGE + len(self.stages), kept), dtype=np.int64)
        took_ns[TICK] = self._ticks_ns[:kept]
        took_ns[LATE] = self._late_ns[:kept]
        took_ns[FIRST_STAGE:] = self._laps_ns[:kept].T
        return StageTimes(self.stages, took_ns, self._longest_ns)

    def histograms(self) -> dict[str, list[int]]:
        """How long ticks and stages of the whole match took: counts in bins of half a doubling, from 1 µs on.

        Adds what was timed since the last call; ticks that were overwritten meanwhile are missing. One thread
        at a time may call it, also while ticks are timed.
        """
        count = self._count
        fresh = np.arange(max(self._binned, count - KEPT_TICKS), count) % KEPT_TICKS
        self._binned = count
        took_us = np.column_stack([self._ticks_ns[fresh], self._laps_ns[fresh]]) / MICROSECOND
        bins = np.clip(2 * np.log2(np.maximum(took_us, 1.0)), 0, BINS - 1).astype(np.int64)
        for row, column in zip(self._bins, bins.T, strict=True):
            row += np.bincount(column, minlength=BINS)
        return dict(zip(("tick", *self.stages), self._bins.tolist(), strict=True))


# Of the tick's period. The 99th percentile of a tick is 1.5 times its median, and has to fit as well.
BUSY_SHARE: Final = 0.65
CALM_SHARE: Final = 0.3  # at twice the rate the tick would still stay below BUSY_SHARE
PATIENCE_TICKS: Final = 15  # a quarter of a second of smoothed load before a step down
CALM_TICKS: Final = 180  # three quiet seconds before a step up
MAX_SNAPSHOT_EVERY: Final = 4  # 15 a second: rarer is unplayable, and a bigger machine is the answer
SMOOTHING: Final = 0.1


@dataclass
class Overload:
    """Decides how often a client gets a snapshot: in every tick, in every second, in every fourth.

    ``fastest_every``: what it begins with and returns to, a power of two; 1 is a snapshot in every tick.
    """

    period_s: float
    fastest_every: int = 1
    snapshot_every: int = field(init=False)
    lowered: int = 0  # how often the rate was lowered
    load: float = 0.0  # smoothed share of the period that ticks take
    _busy_ticks: int = 0
    _calm_ticks: int = 0

    def __post_init__(self) -> None:
        self.snapshot_every = self.fastest_every

    def note(self, tick_s: float, missed_ticks: int) -> None:
        """Account for a tick that took ``tick_s`` seconds, after ``missed_ticks`` that were skipped."""
        self.load += SMOOTHING * (tick_s / self.period_s - self.load)
        busy = self.load > BUSY_SHARE or missed_ticks > 0
        self._busy_ticks = self._busy_ticks + 1 if busy else 0
        self._calm_ticks = self._calm_ticks + 1 if self.load < CALM_SHARE and not missed_ticks else 0
        if self._busy_ticks >= PATIENCE_TICKS and self.snapshot_every < MAX_SNAPSHOT_EVERY:
            self.snapshot_every *= 2
            self.lowered += 1
            self._busy_ticks = 0
        elif self._calm_ticks >= CALM_TICKS and self.snapshot_every > self.fastest_every:
            self.snapshot_every //= 2
            self._calm_ticks = 0
