from __future__ import annotations

from redis.asyncio import Redis

from meta_service.client import ProgressCache
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


async def test_progress_that_precedes_the_login_is_kept(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.client.login_device("early-device")).player_id
    await redis.flushall()
    await ProgressCache(redis).publish([(player_id, 700, 3)])
    login = await backend.client.login_device("early-device")
    assert login.created  # the store has not heard of the account, and the cache had progress alone
    assert (await backend.client.profile(login.session_token)).xp == 700


async def test_publishing_nothing_is_no_call(redis: Redis) -> None:
    assert await ProgressCache(redis).publish([]) == 0
