"""What every follower of the meta service does: ask again and again, and go on while a part is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from matchmaker.queue.cache import asked_to_stop
from meta_service.client import MetaClientError

PERIOD_S = 0.5
AWAY_S = 2.0  # between two attempts while a part is away
BEGINNING = "0-0"

log = structlog.get_logger()


async def follow_on(follow: Callable[[], Awaitable[None]], what: str, clock: Clock) -> None:
    """Take in what is new, every `PERIOD_S`, until cancelled.

    Args:
        follow: takes in what came since the last time.
        what: is followed, for the log.
        clock: paces the questions.
    """
    away = False
    while not asked_to_stop():
        try:
            await follow()
            away = False
        except (MetaClientError, RedisError, msgspec.DecodeError) as error:
            if not away:
                log.warning(f"cannot follow {what}, trying again", error=str(error))
            away = True
        await clock.sleep(AWAY_S if away else PERIOD_S)
