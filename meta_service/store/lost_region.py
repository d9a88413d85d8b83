"""A region that is lost for good, as the store sees it: its matches still hold their players.

They let go by themselves, each when its lease ends. Declaring the region lost ends them at once, and tells
the other regions, so that its players may play there. Nothing is taken from anybody: where the region turns
out to live, a result of its matches still counts, unless its player has begun another match since.
"""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

ALIVE_S = 30.0  # a region with players stores something more often than this

_FIND = """
SELECT count(*)::bigint AS leases, count(DISTINCT player_id)::bigint AS players,
    count(DISTINCT match_id)::bigint AS matches,
    (SELECT $2::float8 - extract(epoch FROM max(stored_at))::float8 FROM sessions
    WHERE region = $1 AND stored_at > to_timestamp($2::float8 - $3::float8)) AS stored_s_ago
FROM match_history WHERE region = $1 AND outcome IS NULL
"""
_END = """
WITH ended AS (
    UPDATE match_history SET outcome = 'expired', ended_at = to_timestamp($2::float8)
    WHERE region = $1 AND outcome IS NULL
    RETURNING player_id
), told AS (
    SELECT account_changed(player_id, $2::float8, 'operator')
    FROM (SELECT DISTINCT player_id FROM ended ORDER BY player_id) AS players
    WHERE player_id NOT IN (SELECT player_id FROM erasures)
)
SELECT (SELECT count(*) FROM ended)::bigint + 0 * (SELECT count(*) FROM told)::bigint
"""


@dataclass(frozen=True, slots=True)
class LostRegion:
    """What the store has of a region's matches that have not ended.

    Attributes:
        leases: players who are checked out, one for each match that holds them.
        stored_s_ago: seconds since the region stored a session; None: more than `ALIVE_S`.
    """

    leases: int
    players: int
    matches: int
    stored_s_ago: float | None


async def find(connection: asyncpg.Connection, region: str, now: float) -> LostRegion:
    """Say what is left of a region at ``now`` (Unix seconds). It reads the whole table of matches.

    Raises asyncpg's errors.
    """
    row = await connection.fetchrow(_FIND, region, now, ALIVE_S)
    assert row is not None
    return LostRegion(**row)


async def declare(connection: asyncpg.Connection, region: str, now: float) -> int:
    """End the leases of a region's matches at ``now``, and tell the other regions; return how many.

    It may be repeated. Raises asyncpg's errors; then nothing was changed.
    """
    return int(await connection.fetchval(_END, region, now))
