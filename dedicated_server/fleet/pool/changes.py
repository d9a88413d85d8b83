"""The change log of a fleet, for its followers: operators' pages, and directors that requeue lost matches.

Each change has a number. A follower names the last one that it has seen and gets the rest. One that was away
for too long, or that meets a restarted fleet (another ``epoch``), is told that changes are lost and has to
read everything anew.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

MAX_CHANGES = 20_000  # a fleet of a hundred servers playing one-minute matches makes ten a second


class Changes:
    """The newest changes, numbered from 1.

    Args:
        epoch: names this process of the fleet.
        kept: how many changes are kept.
    """

    def __init__(self, epoch: str, kept: int = MAX_CHANGES) -> None:
        self.epoch = epoch
        self._ring: deque[dict[str, Any]] = deque(maxlen=kept)
        self._last = 0
        self._published = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the newest change; 0 when there was none."""
        return self._last

    def publish(self, kind: str, at: float, **fields: Any) -> None:
        """Append a change that happened at ``at`` (Unix seconds), and wake those who wait."""
        self._last += 1
        self._ring.append({"seq": self._last, "kind": kind, "at": at, **fields})
        if not self._published.is_set():
            self._published.set()

    def since(self, seq: int, limit: int = 1000) -> tuple[list[dict[str, Any]], bool]:
        """Return changes after number ``seq``, the oldest first, and whether some between are lost."""
        first = self._last - len(self._ring) + 1
        if seq > self._last:
            return [], True
        lost = seq + 1 < first
        start = 0 if lost else seq + 1 - first
        return list(itertools.islice(self._ring, start, start + limit)), lost

    async def wait(self, seq: int, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` for a change after number ``seq``; return whether there is one."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._last <= seq:
                    self._published.clear()
                    await self._published.wait()
        except TimeoutError:
            return False
        return True
