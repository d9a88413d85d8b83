"""Experience, levels and ratings in the regional cache, where rewards publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from meta_service.cache import keys, scripts


class ProgressCache:
    """Players' experience and level in the regional cache, for the one service that owns them: rewards."""

    def __init__(self, redis: Redis) -> None:
        self._progress = redis.register_script(scripts.source("progress"))

    async def publish(self, progress: Sequence[tuple[int, int, int]]) -> int:
        """Publish (player id, xp, level) of many players in one round trip; return how many moved.

        Experience only grows, so publishing may be repeated and reordered. Raises redis-py's errors.
        """
        if not progress:
            return 0
        moved = await cast(
            Any,
            self._progress(
                keys=[keys.player(player_id) for player_id, _, _ in progress],
                args=[value for _, xp, level in progress for value in (xp, level)],
            ),
        )
        return int(moved)


class RatingCache:
    """Players' ratings in the regional cache, for the one service that owns them: rewards."""

    def __init__(self, redis: Redis) -> None:
        self._ratings = redis.register_script(scripts.source("ratings"))

    async def publish(self, ratings: Sequence[tuple[int, str, float, float, int]]) -> int:
        """Publish (player id, mode, mu, sigma, matches) in one round trip; return how many moved.

        A rating that rests on more matches is newer, so publishing may be repeated and reordered.
        Raises redis-py's errors.
        """
        if not ratings:
            return 0
        moved = await cast(
            Any,
            self._ratings(
                keys=[keys.player(player_id) for player_id, *_ in ratings],
                args=[
                    value
                    for _, mode, mu, sigma, matches in ratings
                    for value in (mode, f"{mu},{sigma}", matches)
                ],
            ),
        )
        return int(moved)
