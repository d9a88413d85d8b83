"""A cache that would lose what it accepts is refused, or warned of, with the line to type."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from launchday.resilience import cache_checks
from launchday.resilience.cache_checks import UnfitCacheError, cache_faults, fit
from launchday.resilience.sockets import redis_client


@pytest.fixture
async def cache(cache_url: str) -> AsyncIterator[Redis]:
    client = redis_client(cache_url)
    before = await client.config_get("maxmemory-policy", "appendonly", "appendfsync")
    yield client
    for name, value in before.items():
        await client.config_set(str(name), str(value))
    await client.aclose()


async def test_the_embedded_cache_has_no_faults(cache: Redis) -> None:
    assert fit(await cache_faults(cache)) == []


async def test_a_cache_that_evicts_is_refused(cache: Redis) -> None:
    await cache.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnfitCacheError, match="CONFIG SET maxmemory-policy noeviction"):
        fit(await cache_faults(cache))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("appendonly", "no", "CONFIG SET appendonly yes"), ("appendfsync", "everysec", "a power cut loses")],
)
async def test_a_cache_that_may_lose_changes_with_its_process_is_warned_of(
    cache: Redis, name: str, value: str, says: str
) -> None:
    await cache.config_set(name, value)
    [fault] = fit(await cache_faults(cache))
    assert not fault.refuse
    assert says in str(fault)


async def test_where_config_is_forbidden_info_tells_as_much(cache: Redis) -> None:
    run: Any = cache.execute_command
    await cache.config_set("maxmemory-policy", "volatile-ttl")
    await run("ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all", "-config")
    await run("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-config", "-info")
    address = cache.connection_pool.connection_kwargs
    url = f"redis://{{}}:x@{address['host']}:{address['port']}/0"
    async with redis_client(url.format("app")) as app, redis_client(url.format("blind")) as blind:
        assert [fault.refuse for fault in await cache_faults(app)] == [True]
        [fault] = await cache_faults(blind)
        assert not fault.refuse
        assert cache_checks.SAFE_POLICY in fault.remedy
    await run("ACL", "DELUSER", "app", "blind")
