"""The epoch of the regional cache: a number for each life of it, so that a cache that comes back older heals.

A cache may be replaced by older data: a replica that was behind is promoted, a copy is put back, a power cut
takes the last second of the append-only file. The flags that say "the store has been asked" come back with
it. So they hold the number of the epoch in which that was, and in another epoch the store is asked again,
player by player at their next touch, board by board; of each field the newest stays.

Once a second each API process looks, in one round trip, at two things. Who is it: Valkey's ``run_id`` is
another after each start, its ``master_replid`` after each promotion. Did it go back: every look counts up a
beat, which older data takes back even where the process is the same, as after a virtual machine was restored.
When either changed, the store gives the next number; it gives one number for one change, whoever asks first.

Limits: for up to `LOOK_S` after the change the older data is served; what is written meanwhile is newer than
what the store has, field by field, and a session that was ended stays so. While the store is away the old
epoch goes on. What only the cache had (parties, presence, changes that were not stored yet) is lost.
"""

from __future__ import annotations

from typing import Any

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.uncut import uncut
from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store

LOOK_S = 1.0

# One number for one mark, whoever comes first.
_NEXT_EPOCH = """
INSERT INTO cache_epochs AS kept (region, epoch, mark, noticed_at) VALUES ($1, 1, $2, to_timestamp($3))
ON CONFLICT (region) DO UPDATE
    SET epoch = kept.epoch + CASE WHEN kept.mark = excluded.mark THEN 0 ELSE 1 END,
        noticed_at = CASE WHEN kept.mark = excluded.mark THEN kept.noticed_at ELSE excluded.noticed_at END,
        mark = excluded.mark
RETURNING epoch
"""

log = structlog.get_logger()


class EpochWatch:
    """Keeps ``cache.epoch`` right.

    Args:
        cache: whose epoch it is.
        store: gives the numbers.
        clock: times the looks, and names a change that the cache's identity does not show.
    """

    def __init__(self, cache: Cache, store: Store, clock: Clock) -> None:
        self._cache = cache
        self._store = store
        self._clock = clock
        self._beat = 0

    async def run(self) -> None:
        """Look once a second, for ever; cancel it to stop."""
        while True:
            try:
                await uncut(self.look())
            except (RedisError, OSError, StoreUnavailableError) as error:
                log.debug("epoch not known", reason=repr(error))
            except Exception:  # one failed look must not end the others
                log.exception("epoch not known")
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """See whether the cache is still the same. Raises redis-py's errors or StoreUnavailableError."""
        pipeline = self._cache.redis.pipeline(transaction=False)
        pipeline.info("server")
        pipeline.info("replication")
        pipeline.get(keys.EPOCH)
        pipeline.incr(keys.BEAT)
        server, replication, recorded, beat = await pipeline.execute(raise_on_error=False)
        for answer in (recorded, beat):
            if isinstance(answer, Exception):
                raise answer
        identity = f"{_field(server, 'run_id')}.{_field(replication, 'master_replid')}"
        number, mark = _parse(recorded)
        went_back, self._beat = int(beat) <= self._beat, int(beat)
        if went_back:
            mark = f"{identity}#{self._clock.uuid()}"
        elif mark.partition("#")[0] == identity:
            self._cache.epoch = max(self._cache.epoch, number)
            return
        else:
            mark = identity
        rows = await self._store.change(_NEXT_EPOCH, self._cache.region, mark, self._clock.now())
        epoch = int(rows[0][0])
        await self._cache.redis.set(keys.EPOCH, f"{epoch} {mark}")
        if epoch != self._cache.epoch:
            log.info("cache epoch", epoch=epoch, before=self._cache.epoch, went_back=went_back)
        self._cache.epoch = max(self._cache.epoch, epoch)


def _field(answer: Any, name: str) -> str:
    """A field of INFO; empty where the cache does not tell."""
    return str(answer.get(name, "")) if isinstance(answer, dict) else ""


def _parse(recorded: str | None) -> tuple[int, str]:
    number, _, mark = (recorded or "0 ").partition(" ")
    return int(number), mark
