"""How a region hears of bans that were made elsewhere: in another region, or by an API that died over it.

The API that bans a player brings the ban into its own region's cache. Every second the write-behind worker
asks the store which bans changed lately, and loads their players: the cache keeps the newest ban, and tells
of it once.
"""

from __future__ import annotations

import asyncpg

from meta_service.cache.cache import Cache
from meta_service.writebehind.regions import OVERLAP_S, load_anew

FIRST_LOOK_S = 3600.0  # what a worker that starts looks back: nobody's access token is older

_CHANGED = """
WITH bounds AS (
    SELECT now() AS at, coalesce(
        to_timestamp($1::float8) - make_interval(secs => $2), now() - make_interval(secs => $3)
    ) AS since
)
SELECT extract(epoch FROM at)::float8 AS at, player_id, version
FROM bounds LEFT JOIN bans ON stored_at > since
ORDER BY stored_at
"""


class BanReplicator:
    """Brings bans into one region's cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._since: float | None = None  # Unix seconds of the store's clock
        self._seen: dict[int, int] = {}

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Load the players whose bans changed since the last call; return how many.

        Raises asyncpg's and redis-py's errors; then the next call does it again.
        """
        rows = await connection.fetch(_CHANGED, self._since, OVERLAP_S, FIRST_LOOK_S)
        versions = {row["player_id"]: row["version"] for row in rows if row["player_id"] is not None}
        changed = [id_ for id_, version in versions.items() if self._seen.get(id_) != version]
        await load_anew(connection, self._cache, changed, now)
        self._since, self._seen = rows[0]["at"], versions
        return len(changed)
