"""What no longer opens a door, for those who check tokens by themselves: ended sessions, and players' bans.

A token says for up to a quarter of an hour that its session is live. The scripts that end a session or bring
a ban write it to a stream of the cache, in the same step; the matchmaker follows that, and keeps what it has
read until no token of the session is good any more. A second stream names players who are to leave their
match: its game server follows it. Other than `session_ends`, which is about tickets, these streams tell of
logins elsewhere, too.
"""

from __future__ import annotations

from uuid import UUID

from meta_service.cache.cache import Cache
from meta_service.domain.followed import entries_after
from meta_service.messages.base import PlayerId
from meta_service.messages.operators import Kick, Kicks, Revocation, Revocations


class RevokedTokens:
    """Reads the streams of a region's cache. Errors are redis-py's."""

    def __init__(self, cache: Cache) -> None:
        self._redis = cache.redis
        self._parts = [each.revocations for each in cache.keys.partitions]
        self._kicks = [each.kicks for each in cache.keys.partitions]

    async def after(self, cursor: str) -> Revocations:
        """The revocations after a cursor, at most a page; after ``0-0``: all that are kept."""
        entries, behind = await entries_after(self._redis, self._parts, cursor)
        return Revocations(
            [
                Revocation(
                    PlayerId(int(of["player"])),
                    of["session"],
                    of["why"],
                    int(of["at"]) / 1000,
                    max(int(of["until"]), 0) / 1000,
                    of["reason"],
                )
                for _, of in entries
            ],
            behind,
        )

    async def kicks(self, match_id: UUID, cursor: str) -> Kicks:
        """The kicks of a match after a cursor, at most a page of all matches'."""
        entries, behind = await entries_after(self._redis, self._kicks, cursor)
        return Kicks(
            [
                Kick(PlayerId(int(of["player"])), of["why"])
                for _, of in entries
                if of["match"] == str(match_id)
            ],
            behind,
        )
