"""A lake's positions, as `rewards.consumer.offsets` asks for them; what blocks on the disk has a thread."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence

from launchday.clock import Clock
from rewards.analytics.lake import Lake
from rewards.events.logs.gaps import Gap
from rewards.events.logs.verdict import Position
from rewards.records import Partition


class LakePositions:
    """How far the writer of an open lake has read.

    Args:
        lake: which keeps it in its manifest.
        clock: runs threads.
    """

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake = lake
        self._clock = clock

    async def positions(self) -> dict[Partition, Position]:
        """Return how far each partition was read."""
        return self._lake.positions()

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids that are the last of a partition."""
        return self._lake.known(ids)

    async def move(self, positions: Mapping[Partition, Position], gaps: Sequence[Gap], now_s: float) -> None:
        """Remember other positions, and the gaps that they leap over."""
        await self._clock.run_in_thread(self._lake.move, positions, gaps, now_s)
