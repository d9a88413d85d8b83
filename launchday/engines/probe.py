"""Does an engine of the user's answer, and what does it call itself? Asked before anything is started, and by ``launchday doctor``."""

from __future__ import annotations

import asyncio

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

PROBE_S = 3.0


async def probe(role: str, address: str) -> tuple[str, str]:
    """Ask a server for its version; returns the version and, where it does not answer, why in one line."""
    try:
        async with asyncio.timeout(PROBE_S):
            match role:
                case "cache":
                    return await _cache_version(address), ""
                case "store":
                    return await _store_version(address), ""
                case _:
                    await _reach_a_broker(address)
                    return "answers", ""  # Kafka's protocol does not tell the broker's version
    except (OSError, TimeoutError, ValueError, RedisError, asyncpg.PostgresError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return "", f"the {role} at {address} cannot be reached: {said}"


async def _cache_version(address: str) -> str:
    async with Redis.from_url(address) as cache:
        server = await cache.info("server")
    return str(server.get("valkey_version") or server.get("redis_version", "unknown"))


async def _store_version(address: str) -> str:
    store = await asyncpg.connect(address)
    try:
        return str(await store.fetchval("SHOW server_version"))
    finally:
        await store.close()


async def _reach_a_broker(bootstrap: str) -> None:
    """Connect to one of the addresses, as a client would: any of them will do."""
    failure: Exception = ValueError("no address is given")
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError) as error:
            failure = error
            continue
        writer.close()
        return
    raise failure
