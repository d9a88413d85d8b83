"""Several regions, each with a cache of its own, over one store: how a region hears what another one wrote.

Every second the write-behind worker asks the store which players' loadouts and sessions other regions stored of late, and loads
anew those whom its own cache holds. The cache keeps of each field whatever is newest, as the store does, so all regions come to
the same, in whatever order they hear of it. Results that other regions stored reach the leaderboards in the same way. A player's
home is the region of their last login; who comes home from another region is loaded anew, balances and progress included.
"""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg
from redis.asyncio import Redis

from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.domain.leaderboards import publish
from meta_service.store.apply import SeasonRecord
from meta_service.store.store import LOAD_PLAYERS

OVERLAP_S = 10.0  # rows carry the time at which their transaction began, by their own worker's clock
MAX_PLAYERS_PER_QUERY = (
    500  # players a query: the most that are loaded while the worker's own changes wait, about 20 ms
)

_FOREIGN = """
SELECT 'loadout' AS what, player_id, version, stored_at FROM loadouts
WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
UNION ALL
SELECT 'session', player_id, version, stored_at FROM sessions
WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
"""

_RECORDS = """
SELECT season, player_id, matches, wins, kills FROM season_records
WHERE stored_at > to_timestamp($1::float8 - $2::float8)
"""


class RegionReplicator:
    """Brings other regions' changes into the cache of one of several regions."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._since: float | None = None  # Unix seconds
        self._seen: dict[tuple[str, int], int] = {}
        self._shown: set[SeasonRecord] = set()

    async def replicate(self, connection: asyncpg.Connection, now: float, timeout_s: float) -> int:
        """Load what others changed since the last time; returns how many players. Raises asyncpg's and redis-py's errors.

        The first time it begins at the present: a player whom nobody here has seen for long is loaded at their next login.
        """
        since = now if self._since is None else self._since
        rows = await connection.fetch(_FOREIGN, since, OVERLAP_S, self._cache.region, timeout=timeout_s)
        news = {(row["what"], row["player_id"]): row["version"] for row in rows}
        changed = {key[1] for key, version in news.items() if self._seen.get(key) != version}
        known = await cached_players(self._cache.redis, changed)
        for start in range(0, len(known), MAX_PLAYERS_PER_QUERY):
            chunk = known[start : start + MAX_PLAYERS_PER_QUERY]
            found = await connection.fetch(LOAD_PLAYERS, chunk, timeout=timeout_s)
            await self._cache.load([row[0] for row in found], chunk, now)
        await self._replicate_records(connection, since, timeout_s)
        self._since, self._seen = now, news
        return len(known)

    async def _replicate_records(
        self, connection: asyncpg.Connection, since: float, timeout_s: float
    ) -> None:
        """Show results of other regions on this one's leaderboards; showing our own again changes nothing."""
        rows = await connection.fetch(_RECORDS, since, OVERLAP_S, timeout=timeout_s)
        records = {SeasonRecord(*row) for row in rows}
        if records - self._shown:
            await publish(self._cache.redis, records - self._shown)
        self._shown = records


async def cached_players(redis: Redis, player_ids: Iterable[int]) -> list[int]:
    """Those of the players whom the cache holds."""
    ids = sorted(player_ids)
    pipeline = redis.pipeline(transaction=False)
    for player_id in ids:
        pipeline.exists(keys.player(player_id))
    return [id_ for id_, exists in zip(ids, await pipeline.execute(), strict=True) if exists]
