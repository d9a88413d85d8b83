from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.settings import Settings
from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.cache.fill import CacheFiller
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store
from tests.meta_service.conftest import Clock, drain, running
from tests.meta_service.domain.test_accounts import NOBODY


class CountingStore(Store):
    """A store that counts what it is asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SystemClock())
        self.asked: list[int] = []
        self.queries = 0

    async def load(self, player_ids: Sequence[int]) -> list[str]:
        self.asked += player_ids
        self.queries += 1
        return await super().load(player_ids)


async def test_a_thousand_requests_after_a_loss_load_each_player_once(
    settings: Settings, clock: Clock, redis: Redis
) -> None:
    """Two API processes' worth of loaders over one cache that has lost everything."""
    async with running(settings.model_copy(update={"requests_per_player_s": 0.0}), clock) as backend:
        logins = await backend.logins(5)
        await drain(backend)
    await redis.flushall()
    stores = [CountingStore(settings.store_url) for _ in range(2)]
    loaders = [CacheFiller(Cache(redis), store, SystemClock()) for store in stores]
    ids = [login.player_id for login in logins]
    await asyncio.gather(
        *(loaders[number % 2].load([ids[number % 5]], clock.now()) for number in range(1000))
    )
    assert sorted(stores[0].asked + stores[1].asked) == sorted(ids)
    for player_id in ids:
        assert (await Cache(redis).player(player_id)) is not None
        assert not await redis.exists(keys.fill_lock(player_id))
    for store in stores:
        await store.close()


async def test_a_whole_match_is_loaded_in_one_query(settings: Settings, redis: Redis, clock: Clock) -> None:
    store = CountingStore(settings.store_url)
    await CacheFiller(Cache(redis), store, SystemClock()).load(list(range(1, 101)), clock.now())
    assert store.queries == 1
    await store.close()


async def test_a_mark_that_a_dead_process_left_holds_nobody_up_for_long(
    settings: Settings, redis: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.cache.fill.MAX_WAIT_S", 0.05)
    await redis.set(keys.fill_lock(7), "1", px=60_000)
    store = CountingStore(settings.store_url)
    await CacheFiller(Cache(redis), store, SystemClock()).load([7], clock.now())
    assert store.asked == [7]
    await store.close()


async def test_who_waits_for_a_load_that_fails_is_told_so_and_the_next_one_tries_again(
    settings: Settings, redis: Redis, clock: Clock
) -> None:
    loader = CacheFiller(Cache(redis), Store(NOBODY, clock), clock)
    answers = await asyncio.gather(*(loader.load([7], clock.now()) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    assert not await redis.exists(keys.fill_lock(7))


async def test_who_waits_for_a_load_that_is_cancelled_loads_themselves(
    settings: Settings, redis: Redis, clock: Clock
) -> None:
    store = CountingStore(settings.store_url)
    loader = CacheFiller(Cache(redis), store, SystemClock())
    first = asyncio.create_task(loader.load([7], clock.now()))
    await asyncio.sleep(0)
    second = asyncio.create_task(loader.load([7], clock.now()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert await redis.hexists(keys.player(7), "loaded")
    await store.close()
