"""A replica of the store, asked for what cannot change any more, as long as it is known to be near.

How far it is behind is measured and not believed: each look notes how far the primary has written, and what
the replica has replayed of that says of which moment it is. A replica that is cut off from its primary, or a
primary that is away, is seen by that, too: then nothing new is noted, and the moment grows old.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import structlog
from prometheus_client import Gauge

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from launchday.resilience.store_connections import Connections
from meta_service.store.errors import SERIALIZATION_ERRORS, UNAVAILABLE_ERRORS

LOOK_S = 1.0
LOOK_ANSWER_S = 2.0
MAX_MARKS = 600  # ten minutes: a replica that is further behind is of no use
BEHIND_S = 5.0  # see the setting store_replica_behind_s

_WRITTEN = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
_REPLAYED = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
    " - '0/0')::bigint"
)

BEHIND = Gauge("meta_store_replica_behind_seconds", "How old what the store's replica shows may be at most.")

log = structlog.get_logger()


class Replica:
    """Reads from a replica of the store.

    Args:
        url: its address.
        primary: connections to the primary, which is asked how far it has written.
        clock: bounds every wait, and times the looks.
        size: most connections at the same time.
        max_behind_s: how far behind it may be.
    """

    def __init__(
        self, url: str, primary: Connections, clock: Clock, size: int, max_behind_s: float = BEHIND_S
    ) -> None:
        self._connections = Connections(_of_any_kind(url), clock, size)
        self._primary = primary
        self._clock = clock
        self._max_behind_s = max_behind_s
        self._marks: deque[tuple[float, int]] = deque(maxlen=MAX_MARKS)
        self._is_of = -float("inf")  # the moment up to which it has everything, monotonic
        self._looked_at = -float("inf")
        self._looking: asyncio.Task[None] | None = None
        self._said_near: bool | None = None

    def is_near(self) -> bool:
        """Whether it has everything up to ``max_behind_s`` ago; looks again, in the background, if due."""
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_S and (self._looking is None or self._looking.done()):
            self._looked_at = now
            with deadline.serving(None):  # it looks for everybody, not for the request that asks
                self._looking = asyncio.get_running_loop().create_task(
                    self.look(), name="look at the replica"
                )
        return now - self._is_of <= self._max_behind_s

    async def read(self, patience_s: float, statement: str, *arguments: Any) -> Sequence[Any] | None:
        """Rows of a statement; None where it does not answer, and then it is away until the next look."""
        try:
            async with self._connections.lend(patience_s) as connection:
                return list(await connection.fetch(statement, *arguments))
        except SERIALIZATION_ERRORS:  # what it replays has taken the rows away: it is well
            return None
        except UNAVAILABLE_ERRORS as error:
            self._is_of = -float("inf")
            self._tell(near=False, reason=store_address.explained(error))
            return None

    async def look(self) -> None:
        """Measure how far it is behind."""
        began = self._clock.monotonic()
        try:
            written = await self._position(self._primary, _WRITTEN)
            self._marks.append((began, written))
            replayed = await self._position(self._connections, _REPLAYED)
        except UNAVAILABLE_ERRORS as error:
            self._tell(near=False, reason=store_address.explained(error))
            return
        while self._marks and self._marks[0][1] <= replayed:
            self._is_of = self._marks.popleft()[0]
        behind_s = self._clock.monotonic() - self._is_of
        BEHIND.set(behind_s)
        self._tell(near=behind_s <= self._max_behind_s, reason=f"it is {behind_s:.1f} s behind")

    async def close(self) -> None:
        """Stop looking, and close every connection at once."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._connections.terminate()

    async def _position(self, connections: Connections, statement: str) -> int:
        async with connections.lend(LOOK_ANSWER_S) as connection:
            return int(await connection.fetchval(statement))

    def _tell(self, *, near: bool, reason: str) -> None:
        if near is not self._said_near:
            self._said_near = near
            if near:
                log.info("the store's replica is asked")
            else:
                log.warning("the store's replica is not asked", reason=reason)


def _of_any_kind(url: str) -> str:
    """The address, by which any of several hosts will do: a replica takes no writes."""
    parts = urlsplit(url)
    if "target_session_attrs=" in parts.query:
        return url
    return urlunsplit(parts._replace(query=f"{parts.query}&target_session_attrs=any".lstrip("&")))
