"""Tickets of players who are no longer logged in end: the ends of sessions are followed in the meta service.

A log-out, a revocation or a copied refresh token leaves a player without a session, and their ticket would
be matched for nobody. Each API process asks the meta service twice a second which sessions have ended, and
cancels the tickets; how far was followed is in the cache, so an outage of any part delays it and loses
nothing, and whatever is told twice changes nothing (``end_sessions.lua``). Players' requests pay nothing.

A ticket is its player's, not a device's. So a login elsewhere, which ends the session there was, leaves it in
the queue: the player is logged in, finds it where they are, and may cancel it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import structlog
from redis.asyncio import Redis

from launchday.clock import Clock
from matchmaker.api.following import BEGINNING, follow_on
from matchmaker.api.revocations import RevocationFollower
from matchmaker.queue.scripts import KEYS, Scripts
from meta_service.client import SessionEnd, SessionEnds

# What ended is looked at once more after this: a ticket may have been on its way to the queue, see PATIENCE_S
# of the writer.
AGAIN_S = 6.0

_REASONS = {"logged-out": "the player, or one of the party, has logged out"}
_BANNED = "the player, or one of the party, was banned"
_ENDED = "the session of the player, or of one of the party, was ended"

log = structlog.get_logger()


class SessionEndSource(Protocol):
    """The meta service, as a follower needs it."""

    async def session_ends(self, after: str = BEGINNING) -> SessionEnds:
        """Return what ended after a cursor. Raises MetaClientError."""


class SessionEndFollower:
    """Follows the ends of sessions for one API process.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        source: whom to follow.
        clock: paces the questions.
        revocations: say who was banned, so that the players of such a ticket read why it ended: a ban is in
            both streams, and this one may be read first. None: nobody says.
    """

    def __init__(
        self,
        cache: Redis,
        scripts: Scripts,
        source: SessionEndSource,
        clock: Clock,
        revocations: RevocationFollower | None = None,
    ) -> None:
        self._revocations = revocations
        self._cache = cache
        self._scripts = scripts
        self._source = source
        self._clock = clock
        self._again: deque[tuple[float, str]] = deque()  # monotonic seconds, the cursor before

    async def run(self) -> None:
        """Follow, until cancelled."""
        await follow_on(self.follow, "the ends of sessions", self._clock)

    async def follow(self) -> None:
        """Apply what has ended since the last time. Raises MetaClientError, the cache's errors."""
        stored: Any = await self._cache.get(KEYS["session_cursor"])
        cursor = BEGINNING if stored is None else stored.decode()
        while (page := await self._source.session_ends(cursor)).ends:
            await self._apply(page.ends)
            self._again.append((self._clock.monotonic() + AGAIN_S, cursor))
            cursor = page.cursor
            await self._cache.set(KEYS["session_cursor"], cursor)
        while self._again and self._again[0][0] <= self._clock.monotonic():
            # Asked anew: who has logged in again since keeps the ticket made since.
            await self._apply((await self._source.session_ends(self._again[0][1])).ends)
            self._again.popleft()

    async def _apply(self, ends: Sequence[SessionEnd]) -> None:
        if self._revocations is not None and any(end.why == "revoked" for end in ends):
            await self._revocations.follow()
        rows = [
            (
                str(end.player_id),
                repr(end.ended_at),
                "1" if end.live else "",
                self._reason(end),
            )
            for end in ends
        ]
        ended = int(
            await self._scripts.end_sessions([msgspec.msgpack.encode(rows)], players=[row[0] for row in rows])
        )
        if ended:
            log.info("tickets of ended sessions cancelled", tickets=ended)

    def _reason(self, end: SessionEnd) -> str:
        if self._revocations is not None and self._revocations.revoked.is_banned(end.player_id):
            return _BANNED
        return _REASONS.get(end.why, _ENDED)
