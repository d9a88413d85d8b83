"""Overload: when ticks run late, snapshots are sent less often before anything else suffers.

The simulation keeps its 60 ticks a second, and inputs are still read in every tick. Snapshots become rarer,
because they are what costs. Every step down is a factor of two, as clients take turns. The way back waits
until the load has been low for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Of the tick's period. The 99th percentile of a tick is 1.5 times its median, and has to fit as well.
BUSY_SHARE: Final = 0.65
CALM_SHARE: Final = 0.3  # at twice the rate the tick would still stay below BUSY_SHARE
PATIENCE_TICKS: Final = 15  # a quarter of a second of smoothed load before a step down
CALM_TICKS: Final = 180  # three quiet seconds before a step up
MAX_SNAPSHOT_EVERY: Final = (
    4  # 15 snapshots a second; rarer is unplayable, and then a bigger machine is the answer
)
SMOOTHING: Final = 0.1


@dataclass
class Overload:
    """Decides how often a client gets a snapshot: in every tick, in every second, in every fourth."""

    period_s: float
    snapshot_every: int = 1
    lowered: int = 0  # how often the rate was lowered
    load: float = 0.0  # smoothed share of the period that ticks take
    _busy_ticks: int = 0
    _calm_ticks: int = 0

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
        elif self._calm_ticks >= CALM_TICKS and self.snapshot_every > 1:
            self.snapshot_every //= 2
            self._calm_ticks = 0
