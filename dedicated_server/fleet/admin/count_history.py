"""Servers by state over time, one sample a second, for operators' charts."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from dedicated_server.fleet.pool.region import Region
from dedicated_server.fleet.pool.states import STARTING_STATES, State

SAMPLE_PERIOD_S = 1.0
MAX_SAMPLES = 900  # a quarter of an hour; 150 KB a region


class CountHistory:
    """Samples of every region, the oldest first."""

    def __init__(self) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=MAX_SAMPLES)
        self._due = 0.0

    def sample(self, regions: Mapping[str, Region], at: float, now: float) -> None:
        """Add a sample where one is due; ``at`` is Unix seconds, ``now`` monotonic seconds."""
        if now < self._due:
            return
        self._due = now + SAMPLE_PERIOD_S
        self._samples.append(
            {
                "at": round(at, 2),
                "regions": {
                    name: {
                        "ready": len(region.in_state[State.READY]),
                        "allocated": len(region.in_state[State.ALLOCATED]),
                        "starting": sum(len(region.in_state[state]) for state in STARTING_STATES),
                        "wanted": region.idle_wanted,
                    }
                    for name, region in regions.items()
                },
            }
        )

    def since(self, at: float) -> list[dict[str, Any]]:
        """Return the samples after a moment (Unix seconds)."""
        return [sample for sample in self._samples if sample["at"] > at]
