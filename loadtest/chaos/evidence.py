"""What a rule of the chaos run's checker looks at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from loadtest.chaos.operation_log import Operation


@dataclass(frozen=True)
class Evidence:
    """What the checker reads: the operations, the store and the cache."""

    operations: list[Operation]
    store: asyncpg.Connection
    cache: Redis


Rule = Callable[[Evidence], Awaitable[list[str]]]
"""Returns what is wrong, a line each; empty where nothing is."""
