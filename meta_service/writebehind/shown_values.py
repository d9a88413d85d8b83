"""What a region shows of money and progress that came to players in another one.

A purchase, a grant and what rewards gives show in the cache of the region that did it. Experience shows where
the rewards process that took the event publishes, whichever region the match was in. So every second the
worker asks the store which balances, levels and ratings changed, and shows those of its cache's players: of
each the newest stays.
"""

from __future__ import annotations

import asyncpg

from meta_service.cache.cache import Cache
from meta_service.client.progression import GivenCache, ProgressCache, RatingCache
from meta_service.writebehind.entries import EntryCursor
from meta_service.writebehind.regions import OVERLAP_S

MAX_ROWS = 5_000  # of each kind and look: what was not among them shows at the player's next login
FIRST_LOOK = 10_000  # entries of the ledger that a worker that starts looks back
FIRST_LOOK_S = 60.0  # and seconds of progress

_NEWEST = """
SELECT coalesce((SELECT max(entry_no) FROM ledger), 0) AS entry,
    coalesce(extract(epoch FROM (SELECT max(updated_at) FROM progression)), 0)::float8 AS progress,
    coalesce(extract(epoch FROM (SELECT max(updated_at) FROM ratings)), 0)::float8 AS rating
"""
_VALUES = f"""
(SELECT 'balance' AS what, player_id, currency AS name, balance AS value, version::bigint AS version,
    0::float8 AS mu, 0::float8 AS sigma
FROM wallets WHERE (player_id, currency) IN (
    SELECT DISTINCT account, currency FROM ledger WHERE entry_no > $1 AND account > 0
) LIMIT {MAX_ROWS})
UNION ALL
(SELECT 'progress', player_id, '', xp, level, 0, 0 FROM progression
WHERE updated_at > to_timestamp($2::float8) ORDER BY updated_at DESC LIMIT {MAX_ROWS})
UNION ALL
(SELECT 'rating', player_id, mode, matches, 0, mu, sigma FROM ratings
WHERE updated_at > to_timestamp($3::float8) ORDER BY updated_at DESC LIMIT {MAX_ROWS})
"""


class ShownValues:
    """Brings balances, levels and ratings into the cache of one of several regions."""

    def __init__(self, cache: Cache) -> None:
        self._progress = ProgressCache(cache.redis)
        self._ratings = RatingCache(cache.redis)
        self._given = GivenCache(cache.redis)
        self._cursor = EntryCursor()
        # By the clocks of the rewards processes, which stamp what they change: (progress, ratings).
        self._since: tuple[float, float] | None = None
        self._shown: set[asyncpg.Record] = set()

    async def replicate(self, connection: asyncpg.Connection, now: float) -> int:
        """Show what changed since the last call; return how many values.

        Raises asyncpg's and redis-py's errors; then the next call does it again.
        """
        newest = (await connection.fetch(_NEWEST))[0]
        latest = newest["progress"], newest["rating"]
        since = self._since or (latest[0] - FIRST_LOOK_S, latest[1] - FIRST_LOOK_S)
        after = self._cursor.after(now, newest["entry"] - FIRST_LOOK)
        rows = set(await connection.fetch(_VALUES, after, *(at - OVERLAP_S for at in since)))
        fresh = rows - self._shown
        if fresh:
            await self._show(fresh)
        self._cursor.looked(now, newest["entry"])
        self._since, self._shown = latest, rows
        return len(fresh)

    async def _show(self, rows: set[asyncpg.Record]) -> None:
        kinds: dict[str, list[asyncpg.Record]] = {"balance": [], "progress": [], "rating": []}
        for row in rows:
            kinds[row["what"]].append(row)
        if found := kinds["progress"]:
            await self._progress.publish([(row["player_id"], row["value"], row["version"]) for row in found])
        if found := kinds["rating"]:
            await self._ratings.publish(
                [(row["player_id"], row["name"], row["mu"], row["sigma"], row["value"]) for row in found]
            )
        if found := kinds["balance"]:
            await self._given.publish(
                [(row["player_id"], row["name"], row["value"], row["version"]) for row in found], []
            )
