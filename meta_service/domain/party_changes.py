"""Parties that changed after they had queued, for the matchmaker: what was agreed no longer holds.

The script that changes a party writes it to a stream of the cache, in the same step. Whoever follows it asks
for what came after the last entry read; entries are kept for an hour, longer than a ticket waits.
"""

from __future__ import annotations

from uuid import UUID

from redis.asyncio import Redis

from meta_service.cache import keys
from meta_service.domain.followed import entries_after
from meta_service.messages.social import PartyChange, PartyChanges


class ChangedParties:
    """Reads the stream of a region's cache. Errors are redis-py's."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def after(self, cursor: str) -> PartyChanges:
        """The changes after a cursor, the oldest first, at most a page; after ``0-0``: all that are kept."""
        entries, behind = await entries_after(self._redis, [keys.PARTY_CHANGES], cursor)
        return PartyChanges(
            [PartyChange(UUID(of["claim"]), of["why"], int(of["at"]) / 1000) for _, of in entries],
            behind,
        )
