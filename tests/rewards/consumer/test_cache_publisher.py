from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from launchday.clock import SystemClock
from meta_service.cache.keys import ONE
from meta_service.client import ProgressCache
from rewards.consumer import cache_publisher
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.store import PlayerProgress


class FailingSink:
    """A cache that fails the first calls."""

    def __init__(self, failures: Sequence[Exception]) -> None:
        self.failures = list(failures)
        self.calls: list[list[PlayerProgress]] = []

    async def publish(self, progress: list[PlayerProgress]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(progress)


async def test_an_outage_of_the_cache_delays_the_newest_progress_and_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_publisher, "RETRY_S", 0.0)
    sink = FailingSink([RedisConnectionError("away"), TimeoutError(), ValueError("a fault of ours")])
    publisher = CachePublisher(sink, SystemClock())
    publisher.enqueue([(1, 100, 1), (2, 50, 1)])
    publisher.enqueue([(1, 300, 2)])
    task = asyncio.create_task(publisher.run())

    assert await publisher.flush(10)
    assert sink.calls == [[(1, 300, 2), (2, 50, 1)]]
    task.cancel()


async def test_a_flush_ends_when_its_time_is_over() -> None:
    publisher = CachePublisher(FailingSink([]), SystemClock())
    publisher.enqueue([(1, 100, 1)])
    assert not await publisher.flush(0)


async def test_more_players_than_fit_one_call_are_published_in_several() -> None:
    sink = FailingSink([])
    publisher = CachePublisher(sink, SystemClock())
    publisher.enqueue((player, 1, 1) for player in range(1, 2 * cache_publisher.MAX_PLAYERS_PER_CALL + 2))
    task = asyncio.create_task(publisher.run())

    assert await publisher.flush(10)
    assert [len(call) for call in sink.calls] == [
        cache_publisher.MAX_PLAYERS_PER_CALL,
        cache_publisher.MAX_PLAYERS_PER_CALL,
        1,
    ]
    task.cancel()


async def test_in_the_real_cache_progress_only_grows(cache_url: str) -> None:
    redis = Redis.from_url(cache_url, decode_responses=True)
    await redis.hset(ONE.player(1), "skin", "recruit")
    publisher = CachePublisher(ProgressCache(redis), SystemClock())
    task = asyncio.create_task(publisher.run())

    for progress in [(1, 600, 2), (1, 100, 1)]:
        publisher.enqueue([progress])
        assert await publisher.flush(10)

    assert await redis.hmget(ONE.player(1), ["xp", "level"]) == ["600", "2"]
    task.cancel()
    await redis.aclose()
