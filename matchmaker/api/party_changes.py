"""Tickets of parties that have changed are taken back: the changes are followed in the meta service.

Somebody who joins, leaves, is removed or logs out voids the claim with which the party queued. Each API
process asks the meta service twice a second which claims are void; how far was followed is in the cache. A
ticket that comes with a void claim afterwards is refused, so one that was on its way needs no second look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import structlog
from redis.asyncio import Redis

from launchday.clock import Clock
from matchmaker.api.following import BEGINNING, follow_on
from matchmaker.api.party_claims import CLAIM_PREFIX
from matchmaker.queue.scripts import KEYS, Scripts
from meta_service.client import PartyChange, PartyChanges

KEPT_S = 180  # a void claim is known for so long: claims are good for a minute

CHANGED = "the party changed: "
REASONS = {
    "joined": CHANGED + "a player has joined",
    "left": CHANGED + "a member has left",
    "kicked": CHANGED + "a member was removed",
    "not-ready": CHANGED + "a member is not ready any more",
    "logged-out": CHANGED + "a member has logged out",
    "withdrawn": "the party left the queue",
    "queued-anew": "the party was queued anew",
}
_OTHER = "the party changed"

log = structlog.get_logger()


class PartyChangeSource(Protocol):
    """The meta service, as a follower needs it."""

    async def party_changes(self, after: str = BEGINNING) -> PartyChanges:
        """Return what changed after a cursor. Raises MetaClientError."""


class PartyChangeFollower:
    """Follows the changes of parties for one API process.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        source: whom to follow.
        clock: paces the questions.
    """

    def __init__(self, cache: Redis, scripts: Scripts, source: PartyChangeSource, clock: Clock) -> None:
        self._cache = cache
        self._scripts = scripts
        self._source = source
        self._clock = clock

    async def run(self) -> None:
        """Follow, until cancelled."""
        await follow_on(self.follow, "the changes of parties", self._clock)

    async def follow(self) -> None:
        """Apply what has changed since the last time. Raises MetaClientError, the cache's errors."""
        stored: Any = await self._cache.get(KEYS["party_cursor"])
        cursor = BEGINNING if stored is None else stored.decode()
        while (page := await self._source.party_changes(cursor)).changes:
            await self._apply(page.changes)
            cursor = page.cursor
            await self._cache.set(KEYS["party_cursor"], cursor)

    async def _apply(self, changes: Sequence[PartyChange]) -> None:
        rows = [(f"{CLAIM_PREFIX}{each.claim_id}", REASONS.get(each.why, _OTHER)) for each in changes]
        keys = [KEYS["party"] + party for party, _ in rows]
        ended = int(await self._scripts.void_parties([KEPT_S, msgspec.msgpack.encode(rows)], keys=keys))
        if ended:
            log.info("tickets of changed parties taken back", tickets=ended)
