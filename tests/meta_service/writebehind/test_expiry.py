"""What the cache gives back: players of whom the store has everything, and nobody else."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from meta_service.cache.cache import PLAYER_TTL_S, Cache
from meta_service.cache.keys import ONE, Keys
from meta_service.writebehind.expiry import SETTLED_AFTER_S, PlayerExpiry
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result


@pytest.fixture
async def expiry(redis: Redis, clock: Clock, partitions: int) -> PlayerExpiry:
    return PlayerExpiry(Cache(redis, keys=Keys(partitions)), clock)


async def ttl_s(redis: Redis, player_id: int) -> int:
    """Seconds left of a player's hash; -1: it does not expire, -2: there is none."""
    (key,) = await redis.keys(f"{{meta*}}:player:{player_id}") or [ONE.player(player_id)]
    return int(await redis.ttl(key))


async def settled(backend: Backend, expiry: PlayerExpiry) -> int:
    backend.clock.advance(SETTLED_AFTER_S + 1)
    return await expiry.settle()


async def test_a_player_expires_once_the_store_has_everything_and_not_before(
    backend: Backend, redis: Redis, expiry: PlayerExpiry
) -> None:
    login = await backend.login()
    assert await settled(backend, expiry) == 0  # the account waits for the store
    assert await ttl_s(redis, login.player_id) == -1
    await drain(backend)
    assert await settled(backend, expiry) == 1
    assert 0 < await ttl_s(redis, login.player_id) <= PLAYER_TTL_S
    await backend.client.set_loadout(login.session_token, "scout")
    assert await ttl_s(redis, login.player_id) == -1
    await drain(backend)
    assert await settled(backend, expiry) == 1
    assert not await redis.keys("*:unsettled")


async def test_who_is_checked_out_does_not_expire_until_the_end_of_their_match_is_stored(
    backend: Backend, redis: Redis, expiry: PlayerExpiry
) -> None:
    login = await backend.login()
    await drain(backend)
    assert await settled(backend, expiry) == 1
    match = new_match()
    out = await backend.client.check_out(match, "s", "east-us", 600, [login.player_id])
    assert await ttl_s(redis, login.player_id) == -1
    await drain(backend)
    assert await settled(backend, expiry) == 0
    assert await ttl_s(redis, login.player_id) == -1
    await backend.client.commit(match, [result(login.player_id, out.checked_out[0].fence)])
    await drain(backend)
    assert await settled(backend, expiry) == 1
    assert await ttl_s(redis, login.player_id) > 0


async def test_who_was_loaded_expires_and_one_who_is_checked_out_in_the_store_does_not(
    backend: Backend, redis: Redis
) -> None:
    idle, playing = await backend.logins(2)
    await backend.client.check_out(new_match(), "s", "east-us", 600, [playing.player_id])
    await drain(backend)
    await redis.flushall()
    for login in (idle, playing):
        await backend.client.profile(login.session_token)
    assert await ttl_s(redis, idle.player_id) > 0
    assert await ttl_s(redis, playing.player_id) == -1


async def test_nobody_expires_while_an_older_change_waits(
    backend: Backend, redis: Redis, expiry: PlayerExpiry
) -> None:
    first, second = await backend.logins(2)
    await drain(backend)
    await backend.client.set_loadout(second.session_token, "scout")
    assert await settled(backend, expiry) == 0
    await drain(backend)
    assert await settled(backend, expiry) == 2
    assert await ttl_s(redis, first.player_id) > 0
