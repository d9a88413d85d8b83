"""Several regions, each with a cache of its own, over one store: how a region learns what another one wrote.

Every second the write-behind worker asks the store which players' loadouts and sessions other regions
stored lately, and loads those players anew whom its own cache holds. The cache keeps of each field whatever
is newest, as the store does, so all regions end with the same, in whatever order the changes arrive.
Results that other regions stored reach the leaderboards in the same way, and sessions that ended there the
matchmaker. A player's home region is that of their last login. What another region shows of a player's money
and progress is `meta_service.writebehind.shown_values`.

Up to where a region has looked is kept in its cache: a worker that was away, or a region that was cut off
from the store, goes on there, in turns that are bounded, so that what waits for the store is stored between
them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import asyncpg

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
TIE_S = 0.001  # a turn that was full goes on a little before its last change, for others of the same moment
# Changes of a turn: more than are stored at one time (`worker.MAX_BATCH` each), so that each turn gets on; so
# few that a turn ends in time with the store far away.
MAX_CHANGES = 5_000

_FOREIGN = f"""
SELECT what, player_id, version, state, extract(epoch FROM stored_at)::float8 AS stored_at FROM (
    SELECT 'loadout' AS what, player_id, version, '' AS state, stored_at FROM loadouts
    WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
    UNION ALL
    SELECT 'session', player_id, version, state, stored_at FROM sessions
    WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
    UNION ALL
    SELECT 'account', player_id, version, '', stored_at FROM account_changes
    WHERE stored_at > to_timestamp($1::float8 - $2::float8) AND region <> $3
) AS changes
ORDER BY stored_at LIMIT {MAX_CHANGES}
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
        leaves: told of players who were logged out elsewhere, and when (Unix seconds): their party here.
    """

    def __init__(
        self, cache: Cache, seasons: Seasons, leaves: Callable[[int, float], Awaitable[None]]
    ) -> None:
        self._cache = cache
        self._leaves = leaves
        self.seasons = seasons
        self._since: float | None = None  # Unix seconds
        self._seen: dict[tuple[str, int], int] = {}
        self._shown: set[SeasonRecord] = set()

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Load the players whom other regions changed since the last call; return how many.

        The first call goes on where the worker before has ended; that of an empty cache begins at the
        present. Raises asyncpg's and redis-py's errors.
        """
        since = min(await self._begin(now), now)  # the store's clock may step back
        rows = await connection.fetch(_FOREIGN, since, OVERLAP_S, self._cache.region)
        versions = {(row["what"], row["player_id"]): row["version"] for row in rows}
        changed = {key[1] for key, version in versions.items() if self._seen.get(key) != version}
        known = await cached_players(self._cache, changed)
        await load_anew(connection, self._cache, known, now)
        ended = {row["player_id"]: row["version"] for row in rows if row["state"] == "revoked"}
        for player_id in ended.keys() & set(known):
            await self._leaves(player_id, now)
        # Of those whom the cache has, loading them has told the matchmaker.
        if strangers := [(id_, ended[id_]) for id_ in ended if id_ in changed - set(known)]:
            await tell_ends(self._cache, strangers)
        await self.show_records(connection, since)
        if len(rows) == MAX_CHANGES:  # there are more
            now = min(now, max(since, rows[-1]["stored_at"] + OVERLAP_S - TIE_S))
        self._since, self._seen = now, versions
        await self._cache.redis.set(keys.REGIONS_SEEN, now)
        return len(known)

    async def _begin(self, now: float) -> float:
        if self._since is None:
            kept = await self._cache.redis.get(keys.REGIONS_SEEN)
            self._since = now if kept is None else float(kept)
        return self._since

    async def show_records(self, connection: asyncpg.Connection, since: float) -> None:
        """Show what others have stored since then (Unix seconds) on this region's leaderboards.

        Showing our own again changes nothing. Raises asyncpg's and redis-py's errors.
        """
        rows = await connection.fetch(_RECORDS, since, OVERLAP_S)
        records = {SeasonRecord(*row) for row in rows}
        if records - self._shown:
            await publish(self._cache.redis, records - self._shown, self.seasons)
        self._shown = records


async def cached_players(cache: Cache, player_ids: Iterable[int]) -> list[int]:
    """The players among these whom the cache holds."""
    ids = sorted(player_ids)
    pipeline = cache.redis.pipeline(transaction=False)
    for player_id in ids:
        pipeline.exists(cache.keys.player(player_id))
    return [id_ for id_, exists in zip(ids, await pipeline.execute(), strict=True) if exists]


async def load_anew(
    connection: asyncpg.Connection, cache: Cache, player_ids: Sequence[int], now: float
) -> None:
    """Bring what the store has of these players into the cache. Raises asyncpg's and redis-py's errors."""
    for start in range(0, len(player_ids), MAX_PLAYERS_PER_QUERY):
        chunk = player_ids[start : start + MAX_PLAYERS_PER_QUERY]
        found = await connection.fetch(LOAD_PLAYERS, chunk)
        await cache.load([row[0] for row in found], chunk, now)
