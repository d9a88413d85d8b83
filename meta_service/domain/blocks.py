"""Block lists: whom a player wants to hear nothing of. The blocked are not told.

The store keeps them; the cache has each list as the store last gave it, for a minute, so that invitations
and tickets do not wait for the store. While the store does not answer, a list that the cache lacks counts as
empty.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from redis.asyncio import Redis

from meta_service.cache import packed
from meta_service.domain.players import Players
from meta_service.errors import BlockError, StoreUnavailableError
from meta_service.store.store import Store

MAX_BLOCKED = 100  # of one player: as many strings as a list of a ticket's attributes may have
KEPT_S = 60  # in the cache; a change is seen at once in its region, and after this in others

_ADD = "SELECT refusal FROM blocks_add($1, $2, $3, $4)"
_END = "DELETE FROM blocks WHERE player_id = $1 AND blocked_id = $2 RETURNING true"
_READ = """
SELECT player_id, array_agg(blocked_id ORDER BY since DESC, blocked_id) AS blocked
FROM blocks WHERE player_id = ANY($1::bigint[]) GROUP BY player_id
"""


class Blocks:
    """Block lists of players. Times are Unix seconds given by the caller."""

    def __init__(self, players: Players) -> None:
        self._players = players
        self._store: Store = players.store
        self._redis: Redis = players.cache.redis
        self._keys = players.cache.keys

    async def add(self, player_id: int, other: int, now: float) -> None:
        """Block ``other``: a friendship ends, and what either had asked of the other is not seen any more.

        Raises BlockError, UnknownPlayerError or StoreUnavailableError.
        """
        if other == player_id:
            raise BlockError("block-is-self", "nobody blocks themselves")
        await self._players.profile(other, now)
        rows = await self._store.change(_ADD, player_id, other, MAX_BLOCKED, now)
        if rows[0]["refusal"] is not None:
            raise BlockError("blocks-full", f"one player blocks at most {MAX_BLOCKED} others: end one first")
        await self._redis.delete(self._keys.blocks(player_id))

    async def remove(self, player_id: int, other: int) -> bool:
        """Block ``other`` no longer; return whether they were blocked. Raises StoreUnavailableError."""
        ended = bool(await self._store.change(_END, player_id, other))
        await self._redis.delete(self._keys.blocks(player_id))
        return ended

    async def list_of(self, player_id: int) -> list[int]:
        """Whom a player blocks, the newest first. Raises StoreUnavailableError where nobody knows."""
        found = await self._cached([player_id])
        return (found or await self._read([player_id]))[player_id]

    async def of(self, player_ids: Sequence[int]) -> dict[int, list[int]]:
        """Whom players block, by player, the newest first; empty where neither store nor cache knows."""
        found = await self._cached(player_ids)
        missing = [id_ for id_ in dict.fromkeys(player_ids) if id_ not in found]
        if missing:
            with contextlib.suppress(StoreUnavailableError):
                found.update(await self._read(missing))
        return {id_: found.get(id_, []) for id_ in player_ids}

    async def _cached(self, player_ids: Sequence[int]) -> dict[int, list[int]]:
        kept = await packed.texts(self._redis, [self._keys.blocks(id_) for id_ in player_ids])
        return {id_: json.loads(text) for id_, text in zip(player_ids, kept, strict=True) if text is not None}

    async def _read(self, player_ids: Sequence[int]) -> dict[int, list[int]]:
        rows = await self._store.read(_READ, list(player_ids))
        found: dict[int, list[int]] = {id_: [] for id_ in player_ids}
        found.update({row["player_id"]: row["blocked"] for row in rows})
        pipeline = self._redis.pipeline(transaction=False)
        for id_, blocked in found.items():
            pipeline.set(self._keys.blocks(id_), json.dumps(blocked), ex=KEPT_S, nx=True)
        await pipeline.execute()
        return found
