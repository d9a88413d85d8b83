"""Experience, levels and ratings in the regional cache, where rewards publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from meta_service.cache import keys, scripts
from meta_service.cache.cache import FOR_LOAD_S


class ProgressCache:
    """Players' experience and level in the regional cache, for the one service that owns them: rewards."""

    def __init__(self, redis: Redis) -> None:
        self._progress = scripts.PlayerScript(redis, "progress")

    async def publish(self, progress: Sequence[tuple[int, int, int]]) -> int:
        """Publish (player id, xp, level) of many players in one round trip; return how many moved.

        A player who is not in the cache is left out: their load brings what the store has. Experience only
        grows, so publishing may be repeated and reordered. Raises redis-py's errors.
        """
        return sum(
            await self._progress.run(
                (_keys(player_id), (xp, level, FOR_LOAD_S)) for player_id, xp, level in progress
            )
        )


class RatingCache:
    """Players' ratings in the regional cache, for the one service that owns them: rewards."""

    def __init__(self, redis: Redis) -> None:
        self._ratings = scripts.PlayerScript(redis, "ratings")

    async def publish(self, ratings: Sequence[tuple[int, str, float, float, int]]) -> int:
        """Publish (player id, mode, mu, sigma, matches) in one round trip; return how many moved.

        A rating that rests on more matches is newer, so publishing may be repeated and reordered.
        Raises redis-py's errors.
        """
        return sum(
            await self._ratings.run(
                (_keys(player_id), (mode, f"{mu},{sigma}", matches, FOR_LOAD_S))
                for player_id, mode, mu, sigma, matches in ratings
            )
        )


def _keys(player_id: int) -> tuple[str, str]:
    return keys.fill_lock(player_id), keys.player(player_id)
