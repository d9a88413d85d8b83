"""The meta service's keys as they lie in a cache, on one node or several: found by looking.

Players are divided into partitions, each with a hash tag that begins with ``meta``. How, is the service's own
matter: a checker that shares no code with it looks at all keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from launchday.resilience.cache_client import each_primary

PAGE = 1000  # keys a step of a scan


async def matching(cache: Redis, pattern: str) -> AsyncIterator[str]:
    """The keys that fit a pattern, on every node. Answers of ``cache`` are text."""
    for node in await each_primary(cache):
        async for key in node.scan_iter(match=pattern, count=PAGE):
            yield key


async def parts(cache: Redis, name: str) -> list[str]:
    """The keys of this name, one of each partition that has it."""
    return [key async for key in matching(cache, f"{{meta*}}:{name}")]


async def player_keys(cache: Redis) -> dict[int, str]:
    """The key of each player's hash."""
    return {int(key.rpartition(":")[2]): key async for key in matching(cache, "{meta*}:player:*")}
