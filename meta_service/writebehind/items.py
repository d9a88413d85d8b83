"""How a region hears of items that were taken in another one, or by an API that could not show it.

Who takes an item shows it in their own region's cache, after the commit. Every second the write-behind
worker asks the store from whom something was taken lately, and loads those players anew whom its cache holds:
the cache keeps the newest quantity, and the next check-out looks at what they wear. With several regions also
those to whom something was given; what players buy shows in the region that they are in.
"""

from __future__ import annotations

import asyncpg

from meta_service.cache.cache import Cache
from meta_service.writebehind.entries import EntryCursor
from meta_service.writebehind.regions import cached_players, load_anew

FIRST_LOOK = 100_000  # entries that a worker that starts looks back

_NEWEST = "SELECT coalesce(max(entry_no), 0) FROM item_movements"
_MOVED = """
SELECT player_id, max(entry_no) AS newest FROM item_movements
WHERE entry_no > $1 AND (quantity < 0 OR $2::boolean AND actor NOT IN ('player', ''))
GROUP BY player_id
"""


class ItemReplicator:
    """Brings what was taken from players into one region's cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._cursor = EntryCursor()
        self._seen: dict[int, int] = {}

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Load the cache's players from whom something was taken since the last call; return how many.

        Raises asyncpg's and redis-py's errors; then the next call does it again.
        """
        last = await connection.fetchval(_NEWEST)
        after = self._cursor.after(now, last - FIRST_LOOK)
        rows = await connection.fetch(_MOVED, after, bool(self._cache.region))
        newest = {row["player_id"]: row["newest"] for row in rows}
        changed = [id_ for id_, entry in newest.items() if self._seen.get(id_) != entry]
        known = await cached_players(self._cache, changed)
        await load_anew(connection, self._cache, known, now)
        self._cursor.looked(now, last)
        self._seen = newest
        return len(known)
