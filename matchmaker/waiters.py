"""Telling: players who wait for their ticket's end hear of it the moment it is written.

The scripts that end tickets write their final views to one stream, an entry a match; each API process reads it and wakes its
own waiters. A ticket can end before its waiter has registered: so register first, then look, then wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from matchmaker.cache import asked_to_stop
from matchmaker.scripts import KEYS

BLOCK_MS = 1_000
RETRY_S = 0.2
READ_AT_MOST = 64  # entries
MOST_MADE = 200_000  # tickets remembered: about 100 MB with the views of those that ended

News = tuple[bytes, bytes]  # a view, and the id of the stream's entry that told it
WAKE_AT_ONCE = (
    50  # then the loop gets its turn: thousands in one go would delay the last, and every new request
)

log = structlog.get_logger()


class Waiters:
    """The waiters of one API process.

    Args:
        cache: a client whose reads may block for BLOCK_MS.
    """

    def __init__(self, cache: Redis) -> None:
        self._cache = cache
        self._waiting: dict[str, set[asyncio.Future[bytes | None]]] = {}
        self._made: dict[str, tuple[int, News | None]] = {}

    def __len__(self) -> int:
        return sum(len(futures) for futures in self._waiting.values())

    def remember(self, ticket_id: str, player_id: int) -> None:
        """A ticket is about to be made here: whatever is told of it from now on is known here, without a look at the cache."""
        if len(self._made) >= MOST_MADE:
            for oldest in list(islice(self._made, MOST_MADE // 10)):
                del self._made[oldest]
        self._made[ticket_id] = (player_id, None)

    def made_here(self, ticket_id: str, player_id: int) -> bool:
        """Whether the ticket is this player's and all that was told of it is known here."""
        made = self._made.get(ticket_id)
        return made is not None and made[0] == player_id

    def remembers(self, ticket_id: str) -> bool:
        """Whether all that was told of a ticket is known here."""
        return ticket_id in self._made

    def news(self, ticket_id: str) -> News | None:
        """What was told of a ticket last; None where nothing was."""
        made = self._made.get(ticket_id)
        return None if made is None else made[1]

    @contextmanager
    def waiting_for(self, ticket_id: str) -> Iterator[asyncio.Future[bytes | None]]:
        """Register; the future gets the final view, or None when the waiter should look at the ticket itself."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ticket_id, set()).add(future)
        try:
            yield future
        finally:
            future.cancel()
            if (futures := self._waiting.get(ticket_id)) is not None:
                futures.discard(future)
                if not futures:
                    del self._waiting[ticket_id]

    async def run(self) -> None:
        """Read the stream and wake waiters, until cancelled. After an outage of the cache all of them look for themselves."""
        last: bytes | None = None
        while not asked_to_stop():
            try:
                if last is None:
                    last = await self._newest()
                    await self.wake_all()
                told: Any = await self._cache.xread({KEYS["told"]: last}, count=READ_AT_MOST, block=BLOCK_MS)
            except RedisError as error:
                log.warning("cannot hear of tickets' ends, trying again", error=str(error))
                last = None
                await asyncio.sleep(RETRY_S)
                continue
            for _, entries in told:
                for entry_id, views in entries:
                    last = entry_id
                    await self.wake(views, entry_id)

    async def wake(self, views: Mapping[bytes, bytes], entry_id: bytes = b"") -> None:
        """Give those who wait for these tickets (id → view) what they wait for."""
        woken = 0
        for id_, view in views.items():
            ticket_id = id_.decode()
            if (made := self._made.get(ticket_id)) is not None:
                self._made[ticket_id] = (made[0], (view, entry_id))
            for future in self._waiting.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(view)
                    woken += 1
                    if woken % WAKE_AT_ONCE == 0:
                        await asyncio.sleep(0)

    async def wake_all(self) -> None:
        """Have every waiter look at its ticket, for something may have been told that was not heard."""
        self._made.clear()
        for count, ticket_id in enumerate(list(self._waiting)):
            for future in self._waiting.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(None)
            if count % WAKE_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _newest(self) -> bytes:
        newest: Any = await self._cache.xrevrange(KEYS["told"], count=1)
        return bytes(newest[0][0]) if newest else b"0-0"
