"""The number of partitions is agreed once, and kept; each partition has a life of its own."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from meta_service.cache import keys, scripts
from meta_service.cache.cache import Cache
from meta_service.cache.epoch import EpochWatch
from meta_service.cache.keys import ONE, Keys
from meta_service.cache.partitions import PartitionsError, agree, in_use, recorded
from meta_service.start_checks import check_partitions
from meta_service.store.store import Store
from tests.meta_service.conftest import Clock


async def test_the_first_start_writes_the_number_down_and_another_one_is_refused(redis: Redis) -> None:
    assert await recorded(redis) is None
    assert len(await in_use(redis)) == 1
    assert len(await agree(redis, 8)) == 8
    assert len(await agree(redis, 0)) == 8
    assert len(await in_use(redis)) == 8
    with pytest.raises(PartitionsError, match="export LAUNCHDAY_CACHE_PARTITIONS=8"):
        await agree(redis, 64)


async def test_a_cache_of_an_earlier_release_has_one_partition(redis: Redis) -> None:
    await redis.incr(ONE.home.beat)
    with pytest.raises(PartitionsError, match="export LAUNCHDAY_CACHE_PARTITIONS=1"):
        await agree(redis, 64)
    assert len(await agree(redis, 0)) == 1


def test_a_service_with_another_number_does_not_start(cache_url: str) -> None:
    check_partitions(cache_url, 8)
    with pytest.raises(SystemExit, match="error: the cache was begun with 8 partitions"):
        check_partitions(cache_url, 9)
    check_partitions("redis://127.0.0.1:1", 9)  # away: nobody is refused


async def test_the_partition_that_went_back_has_another_epoch_and_the_others_go_on(
    settings: Any, redis: Redis, store: asyncpg.Connection, clock: Clock
) -> None:
    own = Store(settings.store_url, clock)
    cache = Cache(redis, "west", keys=Keys(8))
    watch = EpochWatch(cache, own, clock)
    await watch.look()
    assert cache.epochs == [1] * 8
    three = cache.keys.partitions[3]
    await redis.set(three.beat, 0)
    await watch.look()
    assert cache.epochs == [2 if number == 3 else 1 for number in range(8)]
    player = next(id_ for id_ in range(1, 1000) if cache.keys.of(id_) is three)
    other = next(id_ for id_ in range(1, 1000) if cache.keys.of(id_) is cache.keys.home)
    assert not cache.is_fresh(player, "1")
    assert cache.is_fresh(other, "1")
    regions = await store.fetch("SELECT region, epoch FROM cache_epochs ORDER BY epoch, region")
    assert [row["region"] for row in regions] == [
        "west",
        *(f"west#{n}" for n in (1, 2, 4, 5, 6, 7)),
        "west#3",
    ]
    await own.close()


async def test_a_cache_that_comes_back_with_another_number_ends_the_process(
    settings: Any, redis: Redis, clock: Clock
) -> None:
    own = Store(settings.store_url, clock)
    watch = EpochWatch(Cache(redis, keys=Keys(8)), own, clock)
    await watch.look()
    await redis.flushall()
    await watch.look()  # the number was lost with the rest, and is written down again
    assert await redis.get(keys.PARTITIONS) == "8"
    await redis.set(keys.PARTITIONS, 64)
    with pytest.raises(PartitionsError):
        await watch.look()
    await own.close()


async def test_counters_are_the_sums_over_all_partitions(redis: Redis) -> None:
    cache = Cache(redis, keys=Keys(8))
    for number, partition in enumerate(cache.keys.partitions):
        await redis.hset(partition.counters, mapping={"checkouts": number, "writebehind_lag_ms": 10 - number})
        await redis.zadd(partition.leases, {str(number): 1})
        await redis.xadd(partition.stream, {"loadout": "{}"}, id=f"{1000 + number}-1")
    counters = await cache.counters(2.0)
    assert (counters.checkouts, counters.open, counters.writebehind_depth) == (28, 8, 8)
    assert (counters.writebehind_age_ms, counters.writebehind_lag_ms) == (1000, 10)


async def test_a_script_that_touches_a_key_that_nobody_named_is_noticed(redis: Redis) -> None:
    text = scripts.source("settle").replace("'ZREM', KEYS[1]", "'ZREM', KEYS[1] .. 'x'")
    await redis.zadd(ONE.home.unsettled, {"7": 1})
    with pytest.raises(ResponseError, match="not named"):
        await redis.eval(text, 2, ONE.home.unsettled, ONE.player(7), "7", "5", "60")
