"""What the cache's players need by and by, store or no store: leases end, clean hashes begin to expire."""

from __future__ import annotations

from typing import Any, cast

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.uncut import uncut
from meta_service.cache import keys, scripts
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
        self._settle = scripts.PlayerScript(cache.redis, "settle", (keys.UNSETTLED,))

    async def run(self) -> None:
        """Do both once a second, for ever; cancel it to stop. An outage of the cache is waited out."""
        while True:
            try:
                await uncut(self._turn())
            except (RedisError, OSError) as error:
                log.warning("leases wait for the cache", reason=repr(error))
            except Exception:  # one failed turn must not end the others
                log.exception("leases not ended")
            await self._clock.sleep(INTERVAL_S)

    async def _turn(self) -> None:
        await self._leases.expire(self._clock.now())
        await self.settle()

    async def settle(self) -> int:
        """Let players expire whose last change is in the store for sure; return how many."""
        total: int = 0
        while True:
            oldest = await cast(Any, self._cache.redis.xrange(keys.STREAM, count=1))
            now_ms = int(self._clock.now() * 1000)
            waiting_ms = int(oldest[0][0].partition("-")[0]) if oldest else now_ms
            stored_ms = min(waiting_ms, now_ms) - int(SETTLED_AFTER_S * 1000)
            ids = await cast(
                Any,
                self._cache.redis.zrangebyscore(keys.UNSETTLED, "-inf", stored_ms, start=0, num=MAX_SETTLED),
            )
            total += sum(
                await self._settle.run(
                    (keys.PLAYER_PREFIX + id_, (id_, stored_ms, self._cache.player_ttl_s)) for id_ in ids
                )
            )
            if len(ids) < MAX_SETTLED:
                return total
