"""Gauges of the cache, the write-behind and the store, which every API process keeps up to date."""

from __future__ import annotations

import structlog
from prometheus_client import Gauge
from redis.exceptions import RedisError

from launchday.clock import Clock
from meta_service.cache.cache import Cache
from meta_service.store.store import Store

COLLECT_INTERVAL_S = 1.0

CACHE_UP = Gauge("launchday_meta_cache_up", "1 while the regional cache answers, else 0.")
STORE_UP = Gauge("launchday_meta_store_up", "1 while the global store answers, else 0.")
DEPTH = Gauge("launchday_meta_writebehind_depth", "Changes accepted and not yet in the store.")
AGE = Gauge("launchday_meta_writebehind_age_seconds", "Age of the oldest change that is not in the store.")
LAG = Gauge(
    "launchday_meta_writebehind_lag_seconds",
    "From accepting to storing, the oldest change of the last batch.",
)
WRITTEN = Gauge("launchday_meta_writebehind_written", "Changes stored, over all workers.")
REFUSED = Gauge("launchday_meta_writebehind_refused", "Results refused by the store for a stale fence.")
REJECTED = Gauge("launchday_meta_writebehind_rejected", "Changes that the store cannot take.")
OPEN_LEASES = Gauge("launchday_meta_leases_open", "Players who are checked out.")

log = structlog.get_logger()


class MetricsCollector:
    """Reads the state of the cache and the store once a second."""

    def __init__(self, cache: Cache, store: Store, clock: Clock) -> None:
        self._cache = cache
        self._store = store
        self._clock = clock
        self._stopped = False

    def stop(self) -> None:
        """End ``run`` after the present reading; cancel its task besides, so that it ends at once.

        The cancellation alone is not enough: one that comes while asyncpg connects may end up as the error
        that means "the store does not answer".
        """
        self._stopped = True

    async def run(self) -> None:
        """Collect until stopped."""
        while not self._stopped:
            try:
                await self.collect()
            except Exception:  # one failed reading must not end the metrics for good
                log.exception("metrics not collected")
            if not self._stopped:
                await self._clock.sleep(COLLECT_INTERVAL_S)

    async def collect(self) -> None:
        """Set every gauge to its present value."""
        STORE_UP.set(await self._store.is_up())
        try:
            counters = await self._cache.counters(self._clock.now())
        except RedisError:
            CACHE_UP.set(0)
            return
        CACHE_UP.set(1)
        DEPTH.set(counters.writebehind_depth)
        AGE.set(counters.writebehind_age_ms / 1000)
        LAG.set(counters.writebehind_lag_ms / 1000)
        WRITTEN.set(counters.writebehind_written)
        REFUSED.set(counters.writebehind_refused)
        REJECTED.set(counters.writebehind_rejected)
        OPEN_LEASES.set(counters.open)
