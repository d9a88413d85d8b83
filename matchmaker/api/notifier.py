"""Notifications: players who wait for a change of their ticket hear of it the moment it is written.

The scripts that change tickets write their views to one stream, an entry a match. Each API process reads the
stream and wakes its own subscribers. A ticket can end before its subscriber has registered: so register
first, then look, then wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.cache_client import drop_idle
from matchmaker.messages import ASSIGNED, FINAL_STATES, State
from matchmaker.queue.cache import asked_to_stop
from matchmaker.queue.scripts import KEYS

BLOCK_MS = 1_000
RETRY_S = 0.2
MAX_ENTRIES = 64  # of the stream, a read
MAX_TRACKED = 200_000  # tickets: about 100 MB with the views of those that ended
# Subscribers woken before the event loop gets its turn: thousands in one go would delay the last, and every
# new request.
MAX_WOKEN = 50

log = structlog.get_logger()


class Notification(NamedTuple):
    """What was said of a ticket.

    Attributes:
        view: the JSON that its player reads.
        final: whether the ticket has its end.
        entry_id: of the stream's entry; empty where it was read from the ticket itself.
    """

    view: bytes
    final: bool
    entry_id: bytes = b""

    @property
    def names_match(self) -> bool:
        """Whether its player is given a seat in a match."""
        return self.final and _decode_state(self.view).state == ASSIGNED


class _Stated(msgspec.Struct):
    """The one field of a view that decides whether it is final."""

    state: State


_decode_state = msgspec.json.Decoder(_Stated).decode


class Notifier:
    """The subscribers of one API process.

    Args:
        cache: a client whose reads may block for BLOCK_MS.
        clock: paces retries.
    """

    def __init__(self, cache: Redis, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._subscribers: dict[str, set[asyncio.Future[None]]] = {}
        self._tracked: dict[str, tuple[int, Notification | None]] = {}

    def __len__(self) -> int:
        return sum(len(futures) for futures in self._subscribers.values())

    def subscribed(self) -> list[str]:
        """The tickets whose players hold a stream or a poll open here."""
        return list(self._subscribers)

    def track(self, ticket_id: str, player_id: int) -> None:
        """Keep what is said of a ticket that is about to be made here, so that it need not be read from the
        cache.
        """
        if len(self._tracked) >= MAX_TRACKED:
            for oldest in list(islice(self._tracked, MAX_TRACKED // 10)):
                del self._tracked[oldest]
        self._tracked[ticket_id] = (player_id, None)

    def tracks_for(self, ticket_id: str, player_id: int) -> bool:
        """Whether a ticket is this player's, and everything that was said of it is known here."""
        tracked = self._tracked.get(ticket_id)
        return tracked is not None and tracked[0] == player_id

    def latest(self, ticket_id: str) -> Notification | None:
        """Return what was said of a tracked ticket last; None where nothing was."""
        tracked = self._tracked.get(ticket_id)
        return None if tracked is None else tracked[1]

    @contextmanager
    def subscription(self, ticket_id: str) -> Iterator[asyncio.Future[None]]:
        """Register; the future is done when the subscriber should look at the ticket."""
        future = self.subscribe(ticket_id)
        try:
            yield future
        finally:
            self.unsubscribe(ticket_id, future)

    def subscribe(self, ticket_id: str) -> asyncio.Future[None]:
        """Register, until the future is done or `unsubscribe` is called."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._subscribers.setdefault(ticket_id, set()).add(future)
        return future

    def unsubscribe(self, ticket_id: str, future: asyncio.Future[None]) -> None:
        """Register no more."""
        future.cancel()
        if (futures := self._subscribers.get(ticket_id)) is not None:
            futures.discard(future)
            if not futures:
                del self._subscribers[ticket_id]

    async def run(self) -> None:
        """Read the stream and wake subscribers, until cancelled. After an outage of the cache all of them
        look for themselves.
        """
        last: bytes | None = None
        while not asked_to_stop():
            try:
                if last is None:
                    last = await self._newest()
                    await self.wake_all()
                stream = KEYS["notifications"]
                read: Any = await self._cache.xread({stream: last}, count=MAX_ENTRIES, block=BLOCK_MS)
            except RedisError as error:
                log.warning("cannot read notifications, trying again", error=str(error))
                # Idle connections are as dead as this one: each would cost the next request a 503.
                with contextlib.suppress(RedisError):  # no node of a cluster answers: there is none to keep
                    await drop_idle(self._cache)
                last = None
                await self._clock.sleep(RETRY_S)
                continue
            for _, entries in read:
                for entry_id, views in entries:
                    last = entry_id
                    await self.wake(views, entry_id)

    async def wake(self, views: Mapping[bytes, bytes], entry_id: bytes = b"") -> None:
        """Wake those who wait for these tickets.

        Args:
            views: a view for each ticket id.
            entry_id: of the stream's entry that holds them.
        """
        woken = 0
        for id_, view in views.items():
            ticket_id = id_.decode()
            if (tracked := self._tracked.get(ticket_id)) is not None:
                final = _decode_state(view).state in FINAL_STATES
                self._tracked[ticket_id] = (tracked[0], Notification(view, final, entry_id))
            for future in self._subscribers.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(None)
                    woken += 1
                    if woken % MAX_WOKEN == 0:
                        await self._clock.sleep(0)

    async def wake_all(self) -> None:
        """Have every subscriber look at its ticket, and track none: notifications may have been missed."""
        self._tracked.clear()
        for count, ticket_id in enumerate(list(self._subscribers)):
            for future in self._subscribers.pop(ticket_id, ()):
                if not future.done():
                    future.set_result(None)
            if count % MAX_WOKEN == 0:
                await self._clock.sleep(0)

    async def _newest(self) -> bytes:
        newest: Any = await self._cache.xrevrange(KEYS["notifications"], count=1)
        return bytes(newest[0][0]) if newest else b"0-0"
