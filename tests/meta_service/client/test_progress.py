from __future__ import annotations

import json

import asyncpg
from redis.asyncio import Redis

from meta_service.cache.cache import FOR_LOAD_S, Cache
from meta_service.client import ProgressCache, RatingCache
from tests.meta_service.conftest import Backend


async def test_published_progress_is_in_the_profile_at_once(backend: Backend, redis: Redis) -> None:
    login = await backend.login()
    assert await ProgressCache(redis).publish([(login.player_id, 700, 3)]) == 1
    profile = await backend.client.profile(login.session_token)
    assert (profile.xp, profile.level) == (700, 3)


async def test_progress_never_goes_back(backend: Backend, redis: Redis) -> None:
    login = await backend.login()
    progress = ProgressCache(redis)
    assert await progress.publish([(login.player_id, 700, 3)]) == 1
    assert await progress.publish([(login.player_id, 700, 3), (login.player_id, 100, 1)]) == 0
    profile = await backend.client.profile(login.session_token)
    assert (profile.xp, profile.level) == (700, 3)


async def test_progress_that_precedes_the_login_comes_from_the_store(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    player_id = (await backend.client.login_device("early-device")).player_id
    await redis.flushall()
    await store.execute("INSERT INTO progression (player_id, xp, level) VALUES ($1, 700, 3)", player_id)
    assert await ProgressCache(redis).publish([(player_id, 700, 3)]) == 0
    assert not await redis.exists(
        backend.keys.player(player_id)
    )  # nobody may fill the cache with players of the past
    login = await backend.client.login_device("early-device")
    assert login.created  # the store has not heard of the account, and knew progress alone
    assert (await backend.client.profile(login.session_token)).xp == 700


async def test_what_is_published_while_a_player_is_being_loaded_is_kept_for_the_load(
    backend: Backend, redis: Redis
) -> None:
    """The load has read the store before, and must not bring back less."""
    await redis.set(backend.keys.fill_lock(7), "1", px=60_000)
    assert await ProgressCache(redis).publish([(7, 700, 3)]) == 1
    assert await RatingCache(redis).publish([(7, "duel", 30.0, 4.0, 9)]) == 1
    await Cache(redis).publish_balance(7, "coins", 50, 2)
    assert 0 < await redis.ttl(backend.keys.player(7)) <= FOR_LOAD_S
    older = {"xp": "600", "level": "2", "ratings": {"duel": "25,8,8"}, "wallets": {"coins": "9,1"}}
    await Cache(redis).load([json.dumps(older)], [7], backend.clock.now())
    kept = await redis.hmget(backend.keys.player(7), ["xp", "level", "rating:duel", "wallet:coins"])
    assert kept == ["700", "3", "30.0,4.0", "50,2"]


async def test_publishing_nothing_is_no_call(redis: Redis) -> None:
    assert await ProgressCache(redis).publish([]) == 0
