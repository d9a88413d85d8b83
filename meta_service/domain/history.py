"""The store's memory of matches: a player's own, and a whole match for an operator."""

from __future__ import annotations

from uuid import UUID

from meta_service.errors import UnknownMatchError
from meta_service.messages.base import PlayerId
from meta_service.messages.social import MatchPlayer, PastMatch
from meta_service.store.store import Store

MAX_FENCE = 2**53  # above every fence

_COLUMNS = """
    match_id, fence, server, region, coalesce(outcome, 'playing') AS outcome, placement, kills,
    played_s::float8 AS played_s, extract(epoch FROM checked_out_at)::float8 AS checked_out_at,
    extract(epoch FROM coalesce(match_ended_at, ended_at))::float8 AS ended_at
"""


class History:
    """Reads matches. Everything raises StoreUnavailableError when the store does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def matches_of_player(self, player_id: int, before: int, limit: int) -> list[PastMatch]:
        """A player's newest ``limit`` matches with a fence below ``before``, newest first."""
        rows = await self._store.read_page(
            f"SELECT {_COLUMNS} FROM match_history WHERE player_id = $1 AND fence < $2"
            " ORDER BY fence DESC LIMIT $3",
            lambda below, most: (player_id, below, most),
            *("fence", before, limit),
        )
        return [PastMatch(**row) for row in rows]

    async def players_of_match(self, match_id: UUID) -> list[MatchPlayer]:
        """Every check-out of a match; a player who never came back is there as ``expired``.

        Raises UnknownMatchError.
        """
        rows = await self._store.read(
            f"SELECT player_id, {_COLUMNS} FROM match_history WHERE match_id = $1"
            " ORDER BY placement NULLS LAST, player_id",
            match_id,
        )
        if not rows:
            raise UnknownMatchError(f"the store knows of no match {match_id}")
        return [MatchPlayer(**{**row, "player_id": PlayerId(row["player_id"])}) for row in rows]
