"""Experience, levels, ratings and what was given in the regional cache, where rewards publishes them."""

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


class GivenCache:
    """What players have of what progress gave them, in the regional cache: balances and items."""

    def __init__(self, redis: Redis) -> None:
        self._wallet = scripts.PlayerScript(redis, "wallet")
        self._items = scripts.PlayerScript(redis, "items")

    async def publish(
        self, balances: Sequence[tuple[int, str, int, int]], items: Sequence[tuple[int, str, int, int]]
    ) -> None:
        """Show (player id, currency, balance, version) and (player id, item, pieces, version).

        Of each the newest version stays, so publishing may be repeated and reordered; a player who is not in
        the cache is left out. Raises redis-py's errors.
        """
        await self._wallet.run(
            (_keys(player_id), (currency, balance, version, FOR_LOAD_S))
            for player_id, currency, balance, version in balances
        )
        await self._items.run(
            (_keys(player_id), (f"{item},{pieces},{version}", FOR_LOAD_S))
            for player_id, item, pieces, version in items
        )


def _keys(player_id: int) -> tuple[str, str]:
    return keys.fill_lock(player_id), keys.player(player_id)
