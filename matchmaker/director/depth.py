"""How long a queue is, and what became of its matches: for whoever scales the fleet, and for operators."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from launchday.clock import Clock
from matchmaker.director import metrics
from matchmaker.director.region_waits import RegionWaits
from matchmaker.matching.pool import Pool
from matchmaker.messages import QueueDepth
from matchmaker.queue.queue import Queue

DEPTH_PERIOD_S = 1.0  # between two reports


class DepthReport:
    """Publishes a queue's depth once a second.

    Args:
        queue: where it is published.
        mode, regions: the queue's.
        waits: the regions without a server.
        clock: paces the reports.

    Attributes:
        given_up: matches that were given up since this director leads, by reason.
        placing: matches whose server is being asked for.
        cut: tickets that the last cycle had no work left for.
    """

    def __init__(
        self, queue: Queue, mode: str, regions: Sequence[str], waits: RegionWaits, clock: Clock
    ) -> None:
        self._queue = queue
        self._mode = mode
        self._regions = regions
        self._waits = waits
        self._clock = clock
        self._due = -math.inf  # monotonic seconds
        self.given_up: Counter[str] = Counter()
        self.placing = 0
        self.cut = 0

    async def publish(self, pool: Pool, now: float, without_server: int) -> None:
        """Publish the depth at ``now`` (Unix seconds), unless that was done a moment ago.

        Raises the cache's errors.
        """
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + DEPTH_PERIOD_S
        rows = pool.searching(now)
        players = np.zeros(len(self._regions), np.int64)
        if len(rows) and len(self._regions):
            nearest = np.where(np.isnan(pool.latency_ms[rows]), np.inf, pool.latency_ms[rows])
            players = np.bincount(nearest.argmin(axis=1), minlength=len(self._regions))
        oldest_s = max(0.0, now - float(pool.enqueued_at[rows].min())) if len(rows) else 0.0
        searching = dict(zip(self._regions, players.tolist(), strict=True))
        for region, waiting in searching.items():
            metrics.players_waiting.labels(self._mode, region).set(waiting)
        metrics.oldest_ticket.labels(self._mode).set(oldest_s)
        metrics.matches_without_server.labels(self._mode).set(without_server)
        metrics.matches_placing.labels(self._mode).set(self.placing)
        metrics.tickets_cut.labels(self._mode).set(self.cut)
        await self._queue.publish_depth(
            QueueDepth(
                now,
                searching,
                without_server,
                round(oldest_s, 3),
                placing=self.placing,
                given_up=dict(self.given_up),
                regions_waiting=self._waits.told(),
                cut=self.cut,
            )
        )
