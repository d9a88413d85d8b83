"""The client of what Sentinels watch: it follows the primary, and leaves the one that was."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from launchday.resilience.sockets import redis_client
from loadtest.bench.engines.valkey_nodes import SETTLE_S, Node, Watched, running, wait_for


def _stop(watched: Watched) -> Node:
    """Stop the primary, and wait until all Sentinels name another one."""
    former = watched.primary()
    former.pause()
    wait_for(lambda: all(watched.primary(each) is not former for each in watched.sentinels), "a promotion")
    return former


async def _read(client: Any, name: str) -> Any:
    """Read a key, as callers do: again where the cache is away for the moment."""
    until = time.monotonic() + SETTLE_S
    while True:
        try:
            return await client.get(name)
        except RedisError:
            if time.monotonic() > until:
                raise


async def test_the_primary_is_followed_and_the_former_one_left(tmp_path: Path) -> None:
    with running(Watched(tmp_path, down_after_ms=500)) as watched:
        client: Any = redis_client(watched.address, decode_responses=True, connections=4)
        assert await client.set("a", "kept")
        waiting = asyncio.create_task(client.xread({"stream": "$"}, block=0))
        former = await asyncio.to_thread(_stop, watched)
        with pytest.raises(RedisError):  # whatever it answers later counts for nobody
            await waiting
        assert await _read(client, "a") == "kept"
        former.resume()
        assert await _read(client, "a") == "kept"
        assert client.connection_pool.primary[1] != former.port
        await client.aclose()
