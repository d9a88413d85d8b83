"""Kicks: players whom an operator puts out of the match that they are in.

A kick is of one match. Its server reads it within seconds, tells the player, and lets them in no more; their
result counts. The player may queue again as soon as it is committed. A ban does the same, and keeps them out.
"""

from __future__ import annotations

from meta_service.cache.cache import Cache
from meta_service.domain.audit import Audit
from meta_service.errors import NotInMatchError
from meta_service.messages.operators import Kicked

KICKED = "kicked"


class MatchKicks:
    """What operators do with players who are in a match.

    Args:
        cache: of the players' region.
        audit: notes it.
    """

    def __init__(self, cache: Cache, audit: Audit) -> None:
        self._cache, self._audit = cache, audit

    async def kick(self, player_id: int, reason: str, operator: str, now: float) -> Kicked:
        """Have a player leave their match. Repeating it tells their server once more, which changes nothing.

        Raises NotInMatchError; StoreUnavailableError, and nobody was kicked; and redis-py's errors.
        """
        await self._audit.note(operator, "kick", player_id, reason, {}, now)
        found = await self._cache.kick(player_id, KICKED, now)
        if found is None:
            raise NotInMatchError("the player is in no match: nothing was done")
        match_id, server = found
        return Kicked(match_id, server)
