"""What the cache's players need by and by, store or no store: leases end, clean hashes begin to expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.uncut import take_turns
from meta_service.cache import packed, scripts
from meta_service.cache.cache import Cache
from meta_service.cache.leases import Leases

INTERVAL_S = 1.0
# A change counts as stored once every older one is. Entries have the cache's time and changes the API's, so
# this bounds how far the two may differ.
SETTLED_AFTER_S = 60.0
MAX_SETTLED = 500  # players a round trip: a few milliseconds of the cache's time, in pieces

log = structlog.get_logger()


class PlayerExpiry:
    """Ends leases whose time is over, and lets players expire of whom the store has everything."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._leases = Leases(cache)
        self._settle = scripts.PlayerScript(
            cache.redis, cache.keys, "settle", lambda partition: (partition.unsettled,)
        )

    async def run(self) -> None:
        """Do both once a second, for ever; cancel it to stop. An outage of the cache is waited out."""
        await take_turns(
            *(self._turn, INTERVAL_S, self._clock),
            what="ends of leases",
            away=(RedisError, OSError),
            tell=log.warning,
        )

    async def _turn(self) -> None:
        await self._leases.expire(self._clock.now())
        await self.settle()

    async def settle(self) -> int:
        """Let players expire whose last change is in the store for sure; return how many."""
        total: int = 0
        partitions, redis = self._cache.keys.partitions, self._cache.redis
        most = -(-MAX_SETTLED // len(partitions))
        while True:
            oldest = await packed.ask(
                redis,
                [
                    packed.command(each.stream, "XRANGE", each.stream, "-", "+", "COUNT", 1)
                    for each in partitions
                ],
            )
            now_ms = int(self._clock.now() * 1000)
            stored_ms = [_stored_ms(found, now_ms) for found in oldest]
            pages = await packed.ask(
                redis,
                [
                    packed.command(
                        *(each.unsettled, "ZRANGEBYSCORE", each.unsettled, "-inf", until_ms),
                        *("LIMIT", 0, most),
                    )
                    for each, until_ms in zip(partitions, stored_ms, strict=True)
                ],
            )
            total += sum(
                await self._settle.run(
                    (int(id_), (id_, until_ms, self._cache.player_ttl_s))
                    for ids, until_ms in zip(pages, stored_ms, strict=True)
                    for id_ in ids
                )
            )
            if all(len(ids) < most for ids in pages):
                return total


def _stored_ms(oldest: Sequence[Any], now_ms: int) -> int:
    """Until when all of a partition's changes are stored, by the oldest one that waits if there is any."""
    waiting_ms = int(oldest[0][0].partition("-")[0]) if oldest else now_ms
    return min(waiting_ms, now_ms) - int(SETTLED_AFTER_S * 1000)
