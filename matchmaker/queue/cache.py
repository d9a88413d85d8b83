"""The connection to the cache, set up alike for the API and for directors."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SOCKET_TIMEOUT_S = 5.0  # longer than any read of ours blocks; a cache silent for that long is away


def open_cache(url: str) -> Redis:
    """Return a client that connects lazily to ``url`` (redis://…).

    The client retries nothing: a script that was sent may have run, and only its caller knows whether to
    repeat it.
    """
    client: Redis = Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def asked_to_stop() -> bool:
    """Whether this task has been cancelled; loops around the cache ask before each turn.

    Before Python 3.12 ``asyncio.wait_for``, which redis-py writes every command with, drops a cancellation
    that comes in the moment the write completes; and before 3.13 a task group drops one that comes as it
    fails. Without this a busy director now and then did not hear that it should stop.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
