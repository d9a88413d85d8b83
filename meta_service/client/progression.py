"""Experience, levels, ratings and what was given in the regional cache, where rewards publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from meta_service.cache import partitions
from meta_service.cache.cache import FOR_LOAD_S
from meta_service.cache.keys import ONE, Keys
from meta_service.cache.scripts import PlayerScript, lock_and_hash


class _OfPlayers:
    """Scripts for players in a cache of which its own service, meta, says how many partitions it has."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: Keys | None = None

    async def _script(self, name: str) -> PlayerScript:
        """Raises redis-py's errors."""
        if self._known is None:  # until meta has begun the cache, nobody is in it
            self._known = await partitions.recorded(self._redis)
        return PlayerScript(self._redis, self._known or ONE, name, own=lock_and_hash)


class ProgressCache(_OfPlayers):
    """Players' experience and level in the regional cache, for the one service that owns them: rewards."""

    async def publish(self, progress: Sequence[tuple[int, int, int]]) -> int:
        """Publish (player id, xp, level) of many players in one round trip; return how many moved.

        A player who is not in the cache is left out: their load brings what the store has. Experience only
        grows, so publishing may be repeated and reordered. Raises redis-py's errors.
        """
        return sum(
            await (await self._script("progress")).run(
                (player_id, (xp, level, FOR_LOAD_S)) for player_id, xp, level in progress
            )
        )


class RatingCache(_OfPlayers):
    """Players' ratings in the regional cache, for the one service that owns them: rewards."""

    async def publish(self, ratings: Sequence[tuple[int, str, float, float, int]]) -> int:
        """Publish (player id, mode, mu, sigma, matches) in one round trip; return how many moved.

        A rating that rests on more matches is newer, so publishing may be repeated and reordered.
        Raises redis-py's errors.
        """
        return sum(
            await (await self._script("ratings")).run(
                (player_id, (mode, f"{mu},{sigma}", matches, FOR_LOAD_S))
                for player_id, mode, mu, sigma, matches in ratings
            )
        )


class GivenCache(_OfPlayers):
    """What players have of what progress gave them, in the regional cache: balances and items."""

    async def publish(
        self, balances: Sequence[tuple[int, str, int, int]], items: Sequence[tuple[int, str, int, int]]
    ) -> None:
        """Show (player id, currency, balance, version) and (player id, item, pieces, version).

        Of each the newest version stays, so publishing may be repeated and reordered; a player who is not in
        the cache is left out. Raises redis-py's errors.
        """
        await (await self._script("wallet")).run(
            (player_id, (currency, balance, version, FOR_LOAD_S))
            for player_id, currency, balance, version in balances
        )
        await (await self._script("items")).run(
            (player_id, (f"{item},{pieces},{version}", FOR_LOAD_S))
            for player_id, item, pieces, version in items
        )
