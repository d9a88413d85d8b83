"""Sessions that were ended lately, for the matchmaker: a player who logged out is not to be matched.

The scripts that end a session write its end to a stream of the cache, in the same step. Whoever follows it
asks for what came after the last entry read, so an outage of either side delays an end and loses none;
entries are kept for an hour, longer than a ticket waits. A login elsewhere ends a session too, but leaves
its player logged in, so it is no entry; a ban is one. What ended in another region is told by its rows in
the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from meta_service.cache.cache import Cache
from meta_service.cache.kept_ban import is_banned
from meta_service.domain.followed import entries_after
from meta_service.messages.base import PlayerId
from meta_service.messages.sessions import SessionEnd, SessionEnds

MAX_KEPT = 1_000_000  # of other regions, where nobody of this one trims by time


class EndedSessions:
    """Reads the stream of a region's cache. Errors are redis-py's."""

    def __init__(self, cache: Cache) -> None:
        self._redis: Any = cache.redis
        self._keys = cache.keys
        self._parts = [each.session_ends for each in cache.keys.partitions]

    async def after(self, cursor: str, now: float) -> SessionEnds:
        """The ends after a cursor, the oldest first, at most a page; after ``0-0``: all that are kept."""
        entries, behind = await entries_after(self._redis, self._parts, cursor)
        if not entries:
            return SessionEnds([], behind)
        pipeline = self._redis.pipeline(transaction=False)
        for _, fields in entries:
            pipeline.hmget(self._keys.player(int(fields["player"])), ["session_state", "ban"])
        states = await pipeline.execute()
        return SessionEnds(
            [
                # The stamp is rounded down to a millisecond: what happened in it was before the end.
                SessionEnd(
                    PlayerId(int(of["player"])),
                    (int(of["at"]) + 1) / 1000,
                    cast(Any, of["why"]),
                    state == "live" and not is_banned(ban, now),
                )
                for (_, of), (state, ban) in zip(entries, states, strict=True)
            ],
            behind,
        )


async def tell_ends(cache: Cache, ends: Iterable[tuple[int, int]]) -> None:
    """Tell of sessions (player id, Unix milliseconds) that were ended in another region."""
    pipeline: Any = cache.redis.pipeline(transaction=False)
    for player_id, at_ms in ends:
        fields = {"player": player_id, "at": at_ms, "why": "revoked"}
        pipeline.xadd(cache.keys.of(player_id).session_ends, fields, maxlen=MAX_KEPT, approximate=True)
    await pipeline.execute()
