"""How many partitions a cache has: agreed at the first start, and kept in the cache.

A player's keys have the tag of their partition (`meta_service.cache.keys`), so with another number of them
nobody would find what is there. The first process that starts writes the number down, and whoever comes with
another one is refused. A cache of an earlier release has one partition and no word of it: it is known by the
beat that its API counts up. Processes that only read go by what is written.
"""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis

from launchday.errors import LaunchdayError
from launchday.resilience.cache_client import is_cluster
from launchday.settings import env_name
from meta_service.cache import keys
from meta_service.cache.keys import ONE, Keys

ON_A_CLUSTER = 64  # by default: five to ten on each node of a cluster that is worth it


class PartitionsError(LaunchdayError):
    """Raised where the cache has another number of partitions than is set; the message says what to type."""


async def agree(redis: Redis, wanted: int) -> Keys:
    """The cache's keys; write down how many partitions it has where nobody has yet.

    Args:
        redis: a client of the cache.
        wanted: how many there are to be; 0: as many as there are, or of a new cache 1 on one node and
            ON_A_CLUSTER on a cluster.

    Raises PartitionsError, and redis-py's errors.
    """
    recorded = await _recorded(redis)
    if recorded is None:
        await redis.set(keys.PARTITIONS, wanted or default(redis), nx=True)
        recorded = await _recorded(redis)
    if recorded is None:  # emptied since
        return Keys(wanted or default(redis))
    check(recorded, wanted)
    return Keys(recorded)


async def recorded(redis: Redis) -> Keys | None:
    """The keys of a cache, for who only reads it; None: nobody has begun it yet. Raises redis-py's errors."""
    count = await _recorded(redis)
    return None if count is None else Keys(count)


async def in_use(redis: Redis) -> Keys:
    """As `recorded`, but of a cache that nobody has begun the names of one partition."""
    return await recorded(redis) or ONE


def check(recorded: int, wanted: int) -> None:
    """Raise PartitionsError where another number is wanted (not 0) than is recorded."""
    if wanted not in (0, recorded):
        name = env_name("cache_partitions")
        raise PartitionsError(
            f"the cache was begun with {recorded} partitions and {name} is {wanted}, so no player would be "
            f"found in it: export {name}={recorded}"
        )


def default(redis: Redis) -> int:
    """How many partitions a new cache has where nobody says."""
    return ON_A_CLUSTER if is_cluster(redis) else 1


async def _recorded(redis: Redis) -> int | None:
    pipeline = redis.pipeline(transaction=True)  # both of one moment: looks write the number before the beat
    pipeline.get(keys.PARTITIONS)
    pipeline.exists(ONE.home.beat, keys.OLD_COUNTERS)
    count, begun = await cast(Any, pipeline.execute())
    if count is not None:
        return int(count)
    if not begun:
        return None
    await redis.set(keys.PARTITIONS, 1, nx=True)
    return int(await redis.get(keys.PARTITIONS) or 1)
