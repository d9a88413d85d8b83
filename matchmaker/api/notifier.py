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

from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.scripts import KEYS

BLOCK_MS = 1_000
RETRY_S = 0.2
MAX_ENTRIES = 64  # entries
MAX_TRACKED = 200_000  # tickets remembered: about 100 MB with the views of those that ended

Notification = tuple[bytes, bytes]  # a view, and the id of the stream's entry that told it
MAX_WOKEN = 50  # then the loop gets its turn: thousands in one go would delay the last, and every new request

log = structlog.get_logger()


class Notifier:
    """The waiters of one API process.

    Args:
        cache: a client whose reads may block for BLOCK_MS.
    """

    def __init__(self, cache: Redis) -> None:
        self._cache = cache
        self._subscribers: dict[str, set[asyncio.Future[bytes | None]]] = {}
        self._tracked: dict[str, tuple[int, Notification | None]] = {}

    def __len__(self) -> int:
        return sum(len(futures) for futures in self._subscribers.values())

    def track(self, ticket_id: str, player_id: int) -> None:
        """A ticket is about to be made here: whatever is told of it from now on is known here, without a look at the cache."""
        if len(self._tracked) >= MAX_TRACKED:
            for oldest in list(islice(self._tracked, MAX_TRACKED // 10)):
                del self._tracked[oldest]
        self._tracked[ticket_id] = (player_id, None)

    def tracks_for(self, ticket_id: str, player_id: int) -> bool:
        """Whether the ticket is this player's and all that was told of it is known here."""
        made = self._tracked.get(ticket_id)
        return made is not None and made[0] == player_id

    def tracks(self, ticket_id: str) -> bool:
        """Whether all that was told of a ticket is known here."""
        return ticket_id in self._tracked

    def latest(self, ticket_id: str) -> Notification | None:
        """What was told of a ticket last; None where nothing was."""
        made = self._tracked.get(ticket_id)
        return None if made is None else made[1]

    @contextmanager
    def subscription(self, ticket_id: str) -> Iterator[asyncio.Future[bytes | None]]:
        """Register; the future gets the final view, or None when the waiter should look at the ticket itself."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._subscribers.setdefault(ticket_id, set()).add(future)
        try:
            yield future
        finally:
            future.cancel()
            if (futures := self._subscribers.get(ticket_id)) is not None:
                futures.discard(future)
                if not futures:
                    del self._subscribers[ticket_id]

    async def run(self) -> None:
        """Read the stream and wake waiters, until cancelled. After an outage of the cache all of them look for themselves."""
        last: bytes | None = None
        while not asked_to_stop():
            try:
                if last is None:
                    last = await self._newest()
                    await self.wake_all()
                told: Any = await self._cache.xread({KEYS["told"]: last}, count=MAX_ENTRIES, block=BLOCK_MS)
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
            if (made := self._tracked.get(ticket_id)) is not None:
                self._tracked[ticket_id] = (made[0], (view, entry_id))
            for future in self._subscribers.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(view)
                    woken += 1
                    if woken % MAX_WOKEN == 0:
                        await asyncio.sleep(0)

    async def wake_all(self) -> None:
        """Have every waiter look at its ticket, for something may have been told that was not heard."""
        self._tracked.clear()
        for count, ticket_id in enumerate(list(self._subscribers)):
            for future in self._subscribers.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(None)
            if count % MAX_WOKEN == 0:
                await asyncio.sleep(0)

    async def _newest(self) -> bytes:
        newest: Any = await self._cache.xrevrange(KEYS["told"], count=1)
        return bytes(newest[0][0]) if newest else b"0-0"
