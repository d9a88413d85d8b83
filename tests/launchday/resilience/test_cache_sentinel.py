"""The client of what Sentinels watch: it follows the primary, and leaves the one that was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from launchday.resilience.sockets import redis_client
from loadtest.bench.engines.valkey_nodes import Node, Watched, running, wait_for


def _stop(watched: Watched) -> Node:
    """Stop the primary, and wait until another one is it."""
    former = watched.primary()
    former.pause()
    wait_for(lambda: watched.primary() is not former, "another primary")
    return former


async def test_the_primary_is_followed_and_the_former_one_left(tmp_path: Path) -> None:
    with running(Watched(tmp_path, down_after_ms=500)) as watched:
        client: Any = redis_client(watched.address, decode_responses=True, connections=4, answer_s=2.0)
        assert await client.set("a", "kept")
        waiting = asyncio.create_task(client.xread({"stream": "$"}, block=1900))
        stopping = asyncio.create_task(asyncio.to_thread(_stop, watched))
        with pytest.raises(RedisError):
            await waiting
        former = await stopping
        assert await client.get("a") == "kept"
        assert (await client.info("replication"))["role"] == "master"
        former.resume()
        await client.aclose()
