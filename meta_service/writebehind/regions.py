"""Several regions, each with a cache of its own, over one store: how a region learns what another one wrote.

Every second the write-behind worker asks the store which players' loadouts and sessions other regions
stored lately, and loads those players anew whom its own cache holds. The cache keeps of each field whatever
is newest, as the store does, so all regions end with the same, in whatever order the changes arrive.
Results that other regions stored reach the leaderboards in the same way, and sessions that ended there the
matchmaker. A player's home region is that of
their last login; a player who logs in elsewhere is loaded anew, balances and progress included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg
from redis.asyncio import Redis

from launchday.seasons import Seasons
from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.domain.leaderboards import publish
from meta_service.domain.session_ends import tell_ends
from meta_service.store.load_players import LOAD_PLAYERS
from meta_service.store.season_sums import RECORD_COLUMNS, SeasonRecord

# Rows carry the store's time at the start of their transaction, which may take some seconds until others see
# it. No region's own clock is in it: two that differ by more than this would not see each other's changes.
OVERLAP_S = 10.0
MAX_PLAYERS_PER_QUERY = 500  # loaded while the worker's own changes wait: about 20 ms

_FOREIGN = """
SELECT 'loadout' AS what, player_id, version, '' AS state FROM loadouts
WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
UNION ALL
SELECT 'session', player_id, version, state FROM sessions
WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
UNION ALL
SELECT 'account', player_id, version, '' FROM account_changes
WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
"""

_RECORDS = f"""
SELECT {RECORD_COLUMNS} FROM season_records
WHERE stored_at > to_timestamp($1::float8 - $2::float8)
"""


class RegionReplicator:
    """Brings other regions' changes into the cache of one of several regions.

    Args:
        cache: the region's.
        seasons: the table by which boards order players; may be replaced.
    """

    def __init__(self, cache: Cache, seasons: Seasons) -> None:
        self._cache = cache
        self.seasons = seasons
        self._since: float | None = None  # Unix seconds
        self._seen: dict[tuple[str, int], int] = {}
        self._shown: set[SeasonRecord] = set()

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Load the players whom other regions changed since the last call; return how many.

        The first call begins at the present: a player who has not been here for long is loaded at their
        next login. Raises asyncpg's and redis-py's errors.
        """
        since = now if self._since is None else min(self._since, now)  # the store's clock may step back
        rows = await connection.fetch(_FOREIGN, since, OVERLAP_S, self._cache.region)
        versions = {(row["what"], row["player_id"]): row["version"] for row in rows}
        changed = {key[1] for key, version in versions.items() if self._seen.get(key) != version}
        known = await cached_players(self._cache.redis, changed)
        await load_anew(connection, self._cache, known, now)
        ended = [
            row for row in rows if row["state"] == "revoked" and row["player_id"] in changed - set(known)
        ]
        if ended:  # of those whom the cache has, loading them tells it
            await tell_ends(self._cache.redis, [(row["player_id"], row["version"]) for row in ended])
        await self.show_records(connection, since)
        self._since, self._seen = now, versions
        return len(known)

    async def show_records(self, connection: asyncpg.Connection, since: float) -> None:
        """Show what others have stored since then (Unix seconds) on this region's leaderboards.

        Showing our own again changes nothing. Raises asyncpg's and redis-py's errors.
        """
        rows = await connection.fetch(_RECORDS, since, OVERLAP_S)
        records = {SeasonRecord(*row) for row in rows}
        if records - self._shown:
            await publish(self._cache.redis, records - self._shown, self.seasons)
        self._shown = records


async def cached_players(redis: Redis, player_ids: Iterable[int]) -> list[int]:
    """The players among these whom the cache holds."""
    ids = sorted(player_ids)
    pipeline = redis.pipeline(transaction=False)
    for player_id in ids:
        pipeline.exists(keys.player(player_id))
    return [id_ for id_, exists in zip(ids, await pipeline.execute(), strict=True) if exists]


async def load_anew(
    connection: asyncpg.Connection, cache: Cache, player_ids: Sequence[int], now: float
) -> None:
    """Bring what the store has of these players into the cache. Raises asyncpg's and redis-py's errors."""
    for start in range(0, len(player_ids), MAX_PLAYERS_PER_QUERY):
        chunk = player_ids[start : start + MAX_PLAYERS_PER_QUERY]
        found = await connection.fetch(LOAD_PLAYERS, chunk)
        await cache.load([row[0] for row in found], chunk, now)
