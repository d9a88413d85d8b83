"""Leaderboards beside an earlier release, which keeps them under other keys and in another form.

Its worker shows the results that it stores on its own boards alone. So while those are there, this release's
worker shows what others have stored as well. They end by themselves, after the upgrade.
"""

from __future__ import annotations

from redis.asyncio import Redis

from launchday.seasons import Seasons
from meta_service.cache import keys

KEPT_S = 3600  # from when they are first seen: an upgrade takes less


class OlderBoards:
    """Looks for an earlier release's boards of the present season."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def are_kept(self, seasons: Seasons, wall: float) -> bool:
        """Whether there are any; ``wall``: Unix seconds. Raises redis-py's errors."""
        season = seasons.newest(wall)
        if season is None:
            return False
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys.older_boards(season):
            pipeline.exists(key)
            pipeline.expire(key, KEPT_S, nx=True)
        return any((await pipeline.execute())[::2])
