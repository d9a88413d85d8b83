"""Asks an engine of the user's for its version, before anything is started and for ``launchday doctor``."""

from __future__ import annotations

import asyncio

# The clients are imported inside the functions: together they cost 0.2 s, and most commands ask no engine.

PROBE_S = 3.0


async def probe(role: str, address: str) -> tuple[str, str]:
    """Ask a server for its version.

    Args:
        role: "cache", "store" or "bus".
        address: as in the setting of that role.

    Returns:
        The version, and an empty string; where the server does not answer within 3 s, an empty string and the
        reason in one line.
    """
    import asyncpg
    from redis.exceptions import RedisError

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


async def unfit(role: str, address: str) -> str | None:
    """Say why services would refuse a server that answers, with the line to type; None where they would not.

    Args:
        role, address: as of `probe`. Only a cache can be unfit: a store's schema is brought up to date.
    """
    if role != "cache":
        return None
    from redis.exceptions import RedisError

    from launchday.resilience import cache_checks, sockets

    try:
        async with sockets.redis_client(address, connections=1, answer_s=PROBE_S) as cache:
            await cache_checks.require(cache)
    except cache_checks.UnfitCacheError as error:
        return str(error)
    except (RedisError, OSError):
        return None
    return None


async def _cache_version(address: str) -> str:
    from launchday.resilience import sockets

    async with sockets.redis_client(address, connections=1, answer_s=PROBE_S) as cache:
        server = await cache.info("server")
    return str(server.get("valkey_version") or server.get("redis_version", "unknown"))


async def _store_version(address: str) -> str:
    from launchday.resilience import store_address

    store = await store_address.connect(address, timeout_s=PROBE_S)
    try:
        return str(await store.fetchval("SHOW server_version", timeout=PROBE_S))
    finally:
        store.terminate()  # to close it in good order would be to wait for a store that may not answer


async def _reach_a_broker(bootstrap: str) -> None:
    """Connect to the first of the addresses that answers, as a client would; raises the last one's error."""
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
