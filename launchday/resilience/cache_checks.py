"""Whether a cache keeps what it accepts: what a Valkey or Redis of the user's own is asked before it is used.

Accepted changes wait in the cache for the store. A cache that evicts keys when it is full drops them, the
stream of waiting changes included, without a word; one without an append-only file loses them when it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from launchday.errors import LaunchdayError
from launchday.resilience.requirements import Fault

if TYPE_CHECKING:
    from redis.asyncio import Redis

SAFE_POLICY = "noeviction"


class UnfitCacheError(LaunchdayError):
    """Raised at the start where the cache would lose what it accepts; the message says what to type."""


async def cache_faults(redis: Redis) -> list[Fault]:
    """Ask a cache how it is set up, and say what is wrong with that.

    Managed caches may forbid CONFIG; then INFO tells of eviction and of the append-only file.

    Raises redis-py's ConnectionError or TimeoutError when it does not answer.
    """
    config = await _ask_config(redis)
    info = await _ask_info(redis)
    policy = config.get("maxmemory-policy") or info.get("maxmemory_policy")
    append_only = config.get("appendonly") or {0: "no", 1: "yes"}.get(info.get("aof_enabled", -1))
    faults = []
    if policy is None:
        faults.append(
            Fault(
                False,
                "the cache does not tell what it does when it is full",
                f"see to it that its maxmemory-policy is {SAFE_POLICY}",
            )
        )
    elif policy != SAFE_POLICY:
        faults.append(
            Fault(
                True,
                f"the cache evicts keys when it is full (maxmemory-policy {policy}), accepted changes too",
                f"CONFIG SET maxmemory-policy {SAFE_POLICY}",
            )
        )
    if append_only == "no":
        faults.append(
            Fault(
                False,
                "the cache has no append-only file: what is not in the store yet is lost when it ends",
                "CONFIG SET appendonly yes",
            )
        )
    elif append_only == "yes" and config.get("appendfsync", "always") != "always":
        faults.append(
            Fault(
                False,
                f"the cache's file is synced {config['appendfsync']}: a power cut loses the last changes",
                "CONFIG SET appendfsync always",
            )
        )
    if info.get("role", "master") != "master":
        faults.append(
            Fault(True, "the cache is a replica, which takes no changes", "give its master's address instead")
        )
    return faults


async def require(redis: Redis) -> list[Fault]:
    """Return the faults of a cache with which a service may start.

    Raises:
        UnfitCacheError: it must not; and redis-py's errors when the cache does not answer.
    """
    faults = await cache_faults(redis)
    for fault in faults:
        if fault.refuse:
            raise UnfitCacheError(str(fault))
    return faults


async def _ask_config(redis: Redis) -> dict[str, str]:
    from redis.exceptions import ResponseError

    try:
        found = await cast(Any, redis.config_get("maxmemory-policy", "appendonly", "appendfsync"))
    except ResponseError:  # managed caches forbid it, and Redis before 7 takes one name
        return {}
    return {_text(name): _text(value) for name, value in found.items()}


async def _ask_info(redis: Redis) -> dict[str, Any]:
    from redis.exceptions import ResponseError

    found: dict[str, Any] = {}
    for section in ("memory", "persistence", "replication"):
        try:
            found |= await cast(Any, redis.info(section))
        except ResponseError:
            continue
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
