"""What came to a region's players elsewhere: in another region, or by an API that died before it showed it.

With one region the worker looks between two batches. With several it has a connection of its own for that: a
look is some round trips, and where the store is far away what was accepted would wait for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from launchday.resilience.clocks.store_time import StoreTime
from launchday.resilience.uncut import take_turns
from launchday.seasons import Seasons
from meta_service.cache.cache import Cache
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.writebehind.bans import BanReplicator
from meta_service.writebehind.items import ItemReplicator
from meta_service.writebehind.older_boards import OlderBoards
from meta_service.writebehind.regions import RegionReplicator
from meta_service.writebehind.shown_values import ShownValues

LOOK_S = 4.0  # for one look, the connection included
RETRY_S = 1.0


class Elsewhere:
    """Brings bans, items, and what other regions changed into one region's cache.

    Args:
        redis: a client of the region's cache.
        cache: the region's.
        seasons: the table by which boards order players; may be replaced.
        leaves: told of players who were logged out elsewhere: see `RegionReplicator`.
        clock: times the looks.
    """

    def __init__(
        self,
        redis: Redis,
        cache: Cache,
        seasons: Seasons,
        leaves: Callable[[int, float], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._region = cache.region
        self._clock = clock
        self._store_time = StoreTime(clock)
        self._bans = BanReplicator(cache)
        self._items = ItemReplicator(cache)
        self._replicator = RegionReplicator(cache, seasons, leaves)
        self._values = ShownValues(cache)
        self._older = OlderBoards(redis)
        self._connection: asyncpg.Connection | None = None

    def go_by(self, seasons: Seasons) -> None:
        """Order boards by another table."""
        self._replicator.seasons = seasons

    async def look(self, connection: asyncpg.Connection) -> None:
        """Bring what has changed since the last look. Raises asyncpg's and redis-py's errors."""
        async with deadline.within(self._clock, LOOK_S):
            await self._bans.replicate(connection, self._clock.now())
            await self._items.replicate(connection, self._clock.now())
        if self._region:
            async with deadline.within(self._clock, LOOK_S):
                await self._replicator.replicate(connection, await self._store_time.now(connection))
            async with deadline.within(self._clock, LOOK_S):
                await self._values.replicate(connection, self._clock.now())
        elif await self._older.are_kept(self._replicator.seasons, self._clock.wall()):
            async with deadline.within(self._clock, LOOK_S):
                await self._replicator.show_records(connection, self._clock.wall())

    async def run(self, store_url: str, every_s: float) -> None:
        """Look again and again over a connection of its own, for ever; cancel it to stop.

        Outages of the cache and of the store are waited out.
        """
        away = (RedisError, *UNAVAILABLE_ERRORS)
        try:
            await take_turns(
                lambda: self._look_at(store_url),
                every_s,
                self._clock,
                what="looks at other regions",
                away=away,
            )
        finally:
            self._disconnect()

    async def _look_at(self, store_url: str) -> None:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await store_address.connect(store_url)
            await self.look(self._connection)
        except Exception:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
