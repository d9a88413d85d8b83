"""What a service asks before it starts: whether the cache keeps what it accepts."""

from __future__ import annotations

import asyncio

import structlog

from launchday.resilience.cache_checks import faults_at
from launchday.resilience.requirements import enforce

PATIENCE_S = 2.0

log = structlog.get_logger()


def check_cache(cache_url: str) -> None:
    """Warn of a cache that may lose changes, and end this process with a line for each thing with
    which it must not start.

    Call it in ``__main__``, before the service's event loop. A cache that is away refuses nothing: the
    service starts, and its ``/readyz`` says so.

    Args:
        cache_url: see `launchday.cache_address`.

    Raises:
        SystemExit: with the lines to type.
    """
    from redis.exceptions import RedisError

    try:
        faults = asyncio.run(faults_at(cache_url, PATIENCE_S))
    except (RedisError, OSError, ValueError) as away:  # ValueError: no address at all
        log.warning("the cache does not answer yet: whether it keeps changes is not known", reason=str(away))
        return
    enforce(faults)
