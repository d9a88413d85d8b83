"""A stream of the cache as others follow it, page by page, each by a cursor of their own."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis

BEGINNING = "0-0"
MAX_PAGE = 1_000  # entries an answer: 1 ms of the cache

Entry = tuple[str, dict[str, str]]


async def entries_after(redis: Redis, stream: str, cursor: str) -> tuple[list[Entry], str]:
    """The entries after a cursor, the oldest first, at most MAX_PAGE; after BEGINNING: all that are kept. And
    the cursor behind them.

    A cursor that is ahead of the stream is of a stream that the cache has lost: then it begins anew. Errors
    are redis-py's.
    """
    cache: Any = redis
    entries = await cache.xrange(stream, f"({cursor}", count=MAX_PAGE)
    if not entries and cursor != BEGINNING:
        newest = await cache.xrevrange(stream, count=1)
        if newest and place(newest[0][0]) < place(cursor):
            entries = await cache.xrange(stream, count=MAX_PAGE)
    return cast("list[Entry]", entries), entries[-1][0] if entries else cursor


def place(entry_id: str) -> tuple[int, int]:
    """An entry's place in its stream, to be compared."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
