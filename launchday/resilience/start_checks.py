"""What a service asks before it starts: whether the cache keeps what it accepts."""

from __future__ import annotations

import asyncio
import sys

import structlog

from launchday.resilience.cache_checks import UnfitCacheError, require_at

PATIENCE_S = 2.0

log = structlog.get_logger()


def check_cache(cache_url: str) -> None:
    """Warn of a cache that may lose changes, and end this process with one line where it evicts any.

    Call it in ``__main__``, before the service's event loop. A cache that is away refuses nothing: the
    service starts, and its ``/readyz`` says so.

    Args:
        cache_url: see `launchday.cache_address`.

    Raises:
        SystemExit: with the line to type.
    """
    from redis.exceptions import RedisError

    try:
        faults = asyncio.run(require_at(cache_url, PATIENCE_S))
    except UnfitCacheError as unfit:
        sys.exit(f"error: {unfit}")
    except (RedisError, OSError, ValueError) as away:  # ValueError: no address at all
        log.warning("the cache does not answer yet: whether it keeps changes is not known", reason=str(away))
        return
    for fault in faults:
        log.warning(fault.text, remedy=fault.remedy)
