"""Bans: players whom an operator keeps out, for a time or for good.

The store keeps each ban with who made it and why, and the note for the audit in the same transaction. The
caches hear of it as they hear of everything of a player: the store's row is merged, the newest wins
(``load.lua``). Whoever merges it first tells the matchmaker and the game server that holds the player, and
from then on each step that looks at the player's session sees the ban. It ends by itself: it is compared
with the time where it is read. A ban does not end the session, so whoever comes back after it need not log
in anew.
"""

from __future__ import annotations

from typing import Any

from launchday.telemetry import request_id
from meta_service.domain.players import Players
from meta_service.errors import UnknownPlayerError
from meta_service.messages.base import PlayerId
from meta_service.messages.operators import Ban

MAX_HISTORY = 100  # bans of one player that are shown, the newest

_BAN = "SELECT ban_player($1, $2, $3, $4, $5, $6, $7) AS ban_no"
_UNBAN = "SELECT unban_player($1, $2, $3, $4, $5) AS lifted"
_BANS = """
SELECT ban_no, player_id, reason, banned_by, extract(epoch FROM banned_at)::float8 AS banned_at,
    extract(epoch FROM ends_at)::float8 AS ends_at, coalesce(lifted_by, '') AS lifted_by,
    extract(epoch FROM lifted_at)::float8 AS lifted_at, coalesce(lift_reason, '') AS lift_reason,
    lifted_at IS NULL AND (ends_at IS NULL OR ends_at > to_timestamp($2)) AS holds
FROM bans WHERE player_id = $1 ORDER BY ban_no DESC LIMIT $3
"""


class Bans:
    """What operators do with bans. Times are Unix seconds given by the caller.

    All of it needs the store: each method raises StoreUnavailableError while that is away, and nothing has
    changed then.
    """

    def __init__(self, players: Players) -> None:
        self._players = players

    async def ban(self, player_id: int, reason: str, ends_at: float | None, operator: str, now: float) -> Ban:
        """Ban a player; return the ban, which takes the place of one that holds already.

        Args:
            player_id: whom.
            reason: what the player reads.
            ends_at: when it ends; None: never.
            operator: who bans.
            now: the time.

        It is in force when this returns. Repeating it changes nothing. Raises UnknownPlayerError; and
        redis-py's errors, where it is in the store and the write-behind worker brings it into the cache.
        """
        seen = await self._players.cache.player(player_id) is not None
        rows = await self._players.store.change(
            _BAN, player_id, reason, ends_at, operator, now, request_id() or None, seen
        )
        if rows[0]["ban_no"] is None:
            raise _unknown(player_id)
        await self._publish(player_id, now)
        bans = await self.history(player_id, now)
        if not bans:  # deleted since
            raise _unknown(player_id)
        return next((ban for ban in bans if ban.ban_no == rows[0]["ban_no"]), bans[0])

    async def lift(self, player_id: int, reason: str, operator: str, now: float) -> bool:
        """End a player's ban now; return whether one held. Raises redis-py's errors as ``ban`` does."""
        rows = await self._players.store.change(
            _UNBAN, player_id, reason, operator, now, request_id() or None
        )
        await self._publish(player_id, now)
        return bool(rows[0]["lifted"])

    async def history(self, player_id: int, now: float) -> list[Ban]:
        """A player's bans, the newest first, at most MAX_HISTORY."""
        rows = await self._players.store.read(_BANS, player_id, now, MAX_HISTORY)
        return [_as_message(row) for row in rows]

    async def _publish(self, player_id: int, now: float) -> None:
        cache, store = self._players.cache, self._players.store
        await cache.load(await store.load([player_id]), [player_id], now)


def _as_message(row: Any) -> Ban:
    return Ban(**{**dict(row), "player_id": PlayerId(row["player_id"])})


def _unknown(player_id: int) -> UnknownPlayerError:
    return UnknownPlayerError(f"there is no player {player_id}")
