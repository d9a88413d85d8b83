"""The store's clock, for what several regions compare: each has a time of its own, the store is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launchday.clock import Clock
from launchday.resilience.clocks.skew import PEERS

if TYPE_CHECKING:
    import asyncpg

PERIOD_S = 5.0  # between two questions: clocks that NTP keeps drift by microseconds meanwhile
_ASK = "SELECT extract(epoch FROM clock_timestamp())::float8"


class StoreTime:
    """Tells the time of the store, asked now and then.

    Args:
        clock: `Clock.now` goes on from the store's last answer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = 0.0
        self._due = float("-inf")  # monotonic seconds

    async def now(self, connection: asyncpg.Connection) -> float:
        """Return the store's Unix time. Raises asyncpg's errors."""
        clock = self._clock
        if clock.monotonic() >= self._due:
            began, sent = clock.now(), clock.wall()
            theirs = float(await connection.fetchval(_ASK))
            PEERS.heard("store", str(theirs), sent, clock.wall())
            self._ahead_s = theirs - (began + clock.now()) / 2
            self._due = clock.monotonic() + PERIOD_S
        return clock.now() + self._ahead_s
