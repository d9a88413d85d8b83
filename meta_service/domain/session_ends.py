"""Sessions that were ended lately, for the matchmaker: a player who logged out is not to be matched.

The scripts that end a session write its end to a stream of the cache, in the same step. Whoever follows it
asks for what came after the last entry read, so an outage of either side delays an end and loses none;
entries are kept for an hour, longer than a ticket waits. A login elsewhere ends a session too, but leaves its
player logged in, so it is no entry. What ended in another region is told by its rows in the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from redis.asyncio import Redis

from meta_service.cache import keys
from meta_service.messages.base import PlayerId
from meta_service.messages.sessions import SessionEnd, SessionEnds

MAX_ENDS = 1_000  # an answer: 1 ms of the cache
MAX_KEPT = 1_000_000  # of other regions, where nobody of this one trims by time


class EndedSessions:
    """Reads the stream of a region's cache. Errors are redis-py's."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def after(self, cursor: str) -> SessionEnds:
        """The ends after a cursor, the oldest first, at most MAX_ENDS; after ``0-0``: all that are kept."""
        entries = await self._redis.xrange(keys.SESSION_ENDS, f"({cursor}", count=MAX_ENDS)
        if not entries and await self._began_anew(cursor):
            entries = await self._redis.xrange(keys.SESSION_ENDS, count=MAX_ENDS)
        if not entries:
            return SessionEnds([], cursor)
        pipeline = self._redis.pipeline(transaction=False)
        for _, fields in entries:
            pipeline.hget(keys.player(int(fields["player"])), "session_state")
        states = await pipeline.execute()
        return SessionEnds(
            [
                # The stamp is rounded down to a millisecond: what happened in it was before the end.
                SessionEnd(
                    PlayerId(int(of["player"])), (int(of["at"]) + 1) / 1000, of["why"], state == "live"
                )
                for (_, of), state in zip(entries, states, strict=True)
            ],
            cast(str, entries[-1][0]),
        )

    async def _began_anew(self, cursor: str) -> bool:
        """Whether the cache lost the stream, and its clock went back, so that newer entries look older."""
        newest = await self._redis.xrevrange(keys.SESSION_ENDS, count=1)
        return bool(newest) and _place(newest[0][0]) < _place(cursor)


async def tell_ends(redis: Redis, ends: Iterable[tuple[int, int]]) -> None:
    """Tell of sessions (player id, Unix milliseconds) that were ended in another region."""
    pipeline: Any = redis.pipeline(transaction=False)
    for player_id, at_ms in ends:
        fields = {"player": player_id, "at": at_ms, "why": "revoked"}
        pipeline.xadd(keys.SESSION_ENDS, fields, maxlen=MAX_KEPT, approximate=True)
    await pipeline.execute()


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
