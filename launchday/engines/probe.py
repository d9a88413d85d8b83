"""Asks an engine of the user's for its version, before anything is started and for ``launchday doctor``."""

from __future__ import annotations

import asyncio

from launchday.resilience.bus import Bus

# The clients are imported inside the functions: together they cost 0.2 s, and most commands ask no engine.

PROBE_S = 3.0
SECURED_S = 25.0  # of a Kafka with security: the command that prints its token may take a while


async def probe(role: str, address: str, bus: Bus | None = None) -> tuple[str, str]:
    """Ask a server for its version.

    Args:
        role: "cache", "store" or "bus".
        address: as in the setting of that role.
        bus: of the role "bus": how to speak to it; None: in the clear, without a login.

    Returns:
        The version, and an empty string; where the server does not answer within 3 s (Kafka with security:
        25), an empty string and the reason in one line, without the address's passwords.
    """
    import asyncpg
    from redis.exceptions import RedisError

    from launchday.resilience import store_address, store_checks

    bound_s = PROBE_S if bus is None or bus.security == "plaintext" else SECURED_S
    try:
        async with asyncio.timeout(bound_s):
            match role:
                case "cache":
                    return await _cache_version(address), ""
                case "store":
                    return await _store_version(address), ""
                case _:
                    await _reach_a_broker(bus or Bus(address))
                    return "answers", ""  # Kafka's protocol does not tell the broker's version
    except (OSError, TimeoutError, ValueError, RedisError, asyncpg.PostgresError) as error:
        said = await _why_no_cache(address, error) if role == "cache" else ""
        if role == "store" and (fault := store_checks.refusal(error, address)) is not None:
            said = str(fault)
        said = said or " ".join(str(error).split())
        if not said:
            late = isinstance(error, TimeoutError)
            said = f"no answer within {bound_s:g} s" if late else type(error).__name__
        return "", f"the {role} at {store_address.without_secrets(address)} cannot be reached: {said}"


async def unfit(role: str, address: str) -> str | None:
    """Say why services would refuse a server that answers, with the line to type; None where they would not.

    Args:
        role, address: as of `probe`. Only a cache can be unfit: a store's schema is brought up to date.
    """
    if role != "cache":
        return None
    from redis.exceptions import RedisError

    from launchday.resilience import cache_checks

    try:
        cache_checks.fit(await cache_checks.faults_at(address, PROBE_S))
    except cache_checks.UnfitCacheError as error:
        return str(error)
    except (RedisError, OSError):
        return None
    return None


async def _why_no_cache(address: str, error: BaseException) -> str:
    """What has to be typed, where something answers at that address; empty otherwise."""
    from launchday.cache_address import CacheAddress
    from launchday.resilience.cache_diagnosis import why_not

    try:
        fault = await why_not(CacheAddress.of(address), error)
    except ValueError:
        return ""
    return str(fault) if fault else ""


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


async def _reach_a_broker(bus: Bus) -> None:
    """Connect and log in as a client does. Raises ConnectionError, whose text says what to set."""
    from launchday.resilience.bus_handshake import why_not

    if (reason := await why_not(bus)) is not None:
        raise ConnectionError(reason)
