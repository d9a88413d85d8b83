from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.resilience import deadline
from launchday.settings import Settings
from meta_service.cache.cache import Cache
from meta_service.cache.fill import CacheFiller
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store
from tests.meta_service.conftest import Clock, drain, new_match, result, running
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
        assert not await redis.exists(ONE.fill_lock(player_id))
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
    await redis.set(ONE.fill_lock(7), "1", px=60_000)
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
    assert not await redis.exists(ONE.fill_lock(7))


async def test_a_load_goes_on_for_who_waits_although_who_asked_first_has_gone(
    settings: Settings, redis: Redis, clock: Clock
) -> None:
    store = CountingStore(settings.store_url)
    loader = CacheFiller(Cache(redis), store, SystemClock())
    await redis.hset(ONE.player(7), "skin", "recruit")  # known, but not loaded
    first = asyncio.create_task(loader.load([7], clock.now()))
    await asyncio.sleep(0)
    second = asyncio.create_task(loader.load([7], clock.now()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert store.asked == [7]
    assert await redis.hexists(ONE.player(7), "loaded")
    await store.close()


async def test_who_waits_for_anothers_load_waits_no_longer_than_they_can(redis: Redis, clock: Clock) -> None:
    answers = asyncio.Event()

    class Silent(Store):
        async def load(self, player_ids: Sequence[int]) -> list[str]:
            await answers.wait()
            return ["{}" for _ in player_ids]

    loader = CacheFiller(Cache(redis), Silent(NOBODY, clock), clock)
    first = asyncio.create_task(loader.load([7], clock.now()))
    await asyncio.sleep(0)
    with deadline.serving(clock.monotonic() + 0.05), pytest.raises(StoreUnavailableError):
        await loader.load([7], clock.now())
    assert not first.done()
    answers.set()
    await first


async def test_who_asks_for_numbers_that_nobody_has_leaves_no_key_behind(
    settings: Settings, clock: Clock, redis: Redis
) -> None:
    async with running(settings.model_copy(update={"requests_per_player_s": 0.0}), clock) as backend:
        login = await backend.login()
        before = await redis.dbsize()
        for number in range(1, 41):
            with pytest.raises(MetaRefusedError, match="unknown-player"):
                await backend.client.request_friendship(login.session_token, 10**15 + number)
        strangers = list(range(10**16, 10**16 + 40))
        match = new_match()
        answer = await backend.client.check_out(match, "s", "east-us", 60, strangers)
        assert {refusal.reason for refusal in answer.refused} == {"unknown-player"}
        told = [result(player, 1000) for player in strangers]
        refused = (await backend.client.commit(match, told)).refused
        assert {refusal.reason for refusal in refused} == {"not-checked-out"}
        with contextlib.suppress(MetaRefusedError):
            await backend.client.grant("to-nobody", 10**16, "coins", 5, "a typo")
        kept = {key async for key in redis.scan_iter(match=f"{ONE.player(0)[:-1]}*")}
        assert kept == {ONE.player(login.player_id)}
        assert await redis.dbsize() <= before + 1  # the key of the match, which expires
