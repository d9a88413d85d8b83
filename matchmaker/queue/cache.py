"""The connection to the cache, set up alike for the API and for directors."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from launchday.resilience import sockets

# Placements and their writes, the API's batches, polls that look for themselves; more would only queue up in
# the cache, which answers one after the other.
CONNECTIONS = 64


def open_cache(url: str) -> Redis:
    """Return a client that connects lazily to ``url`` (redis://…).

    The client retries nothing: a script that was sent may have run, and only its caller knows whether to
    repeat it. Whoever finds all connections taken waits for one, for as long as for an answer.
    """
    return sockets.redis_client(url, connections=CONNECTIONS)


def asked_to_stop() -> bool:
    """Whether this task has been cancelled; loops around the cache ask before each turn.

    Before Python 3.12 ``asyncio.wait_for``, which redis-py writes every command with, drops a cancellation
    that comes in the moment the write completes; and before 3.13 a task group drops one that comes as it
    fails. Without this a busy director now and then did not hear that it should stop.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
