"""How a region hears of items that were taken in another one, or by an API that could not show it.

Who takes an item shows it in their own region's cache, after the commit. Every second the write-behind
worker asks the store from whom something was taken lately, and loads those players anew whom its cache holds:
the cache keeps the newest quantity, and the next check-out looks at what they wear. With several regions also
those to whom something was given; what players buy shows in the region that they are in.
"""

from __future__ import annotations

import asyncpg

from meta_service.cache.cache import Cache
from meta_service.store.load_players import LOAD_PLAYERS
from meta_service.writebehind.regions import OVERLAP_S, cached_players

FIRST_LOOK_S = 3600.0  # what a worker that starts looks back
MAX_PLAYERS_PER_QUERY = 500  # loaded while the worker's own changes wait: about 20 ms

_MOVED = """
WITH bounds AS (
    SELECT now() AS at, coalesce(
        to_timestamp($1::float8) - make_interval(secs => $2), now() - make_interval(secs => $3)
    ) AS since
)
SELECT extract(epoch FROM at)::float8 AS at, player_id, max(entry_no) AS newest
FROM bounds LEFT JOIN item_movements
    ON stored_at > since AND (quantity < 0 OR $4::boolean AND actor NOT IN ('player', ''))
GROUP BY at, player_id
"""


class ItemReplicator:
    """Brings what was taken from players into one region's cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._since: float | None = None  # Unix seconds of the store's clock
        self._seen: dict[int, int] = {}

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Load the cache's players from whom something was taken since the last call; return how many.

        Raises asyncpg's and redis-py's errors; then the next call does it again.
        """
        regional = bool(self._cache.region)
        rows = await connection.fetch(_MOVED, self._since, OVERLAP_S, FIRST_LOOK_S, regional)
        newest = {row["player_id"]: row["newest"] for row in rows if row["player_id"] is not None}
        changed = [id_ for id_, entry in newest.items() if self._seen.get(id_) != entry]
        known = await cached_players(self._cache.redis, changed)
        for start in range(0, len(known), MAX_PLAYERS_PER_QUERY):
            chunk = known[start : start + MAX_PLAYERS_PER_QUERY]
            found = await connection.fetch(LOAD_PLAYERS, chunk)
            await self._cache.load([row[0] for row in found], chunk, now)
        self._since, self._seen = rows[0]["at"], newest
        return len(known)
