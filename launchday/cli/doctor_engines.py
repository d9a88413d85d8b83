"""What ``launchday doctor`` says of an engine of yours that answers, but does not fit."""

from __future__ import annotations

import asyncio

from launchday.resilience.cache_checks import Fault, cache_faults
from launchday.resilience.sockets import redis_client
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import schema_fault


def engine_faults(role: str, address: str) -> list[Fault]:
    """Ask an engine whether it fits.

    Args:
        role: "cache": whether it keeps what it accepts; "store": whether its schema is new enough; of others
            nothing is asked.
        address: as in the setting of that role.

    Returns:
        What is wrong; empty where nothing is, or where it does not answer any more.
    """
    return asyncio.run(_ask(role, address))


async def _ask(role: str, address: str) -> list[Fault]:
    from redis.exceptions import RedisError

    if role == "cache":
        try:
            async with redis_client(address, connections=1) as cache:
                return await cache_faults(cache)
        except (RedisError, OSError):
            return []
    if role == "store":
        try:
            said = await schema_fault(address)
        except UNAVAILABLE_ERRORS:
            return []
        if said is not None:
            text, _, remedy = said.rpartition(": ")
            return [Fault(True, text, remedy)]
    return []
