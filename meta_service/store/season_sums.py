"""The sums of each season's results, and how they follow the table of seasons.

Results are added to their season's sums in the transaction that stores them (`apply`). Where the table says
another window than the one by which a season was summed up, the season is new, its end was moved, or the
store is of a version before the table: then its results are summed up anew from the history.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from launchday.seasons import Seasons

Windows = tuple[Sequence[str], Sequence[datetime.datetime], Sequence[datetime.datetime]]
"""Names, starts and ends, as the statements take them."""

_CHANGED = """
    SELECT season, starts_at, ends_at
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS seasons (season, starts_at, ends_at)
    LEFT JOIN season_windows AS known USING (season, starts_at, ends_at)
    WHERE known.season IS NULL ORDER BY season
"""

_SUM_UP = """
    INSERT INTO season_records
        (season, player_id, matches, wins, kills, stored_at, matches_at, wins_at, kills_at)
    SELECT $1, player_id, count(*), count(*) FILTER (WHERE placement = 1), sum(kills), to_timestamp($4),
        max(ended), max(ended) FILTER (WHERE placement = 1), max(ended) FILTER (WHERE kills > 0)
    FROM match_history CROSS JOIN LATERAL coalesce(match_ended_at, ended_at) AS ended
    WHERE outcome = 'committed' AND ended >= $2 AND ended < $3
    GROUP BY player_id
"""

RECORD_COLUMNS = ", ".join(
    [
        "season, player_id, matches, wins, kills",
        *(
            f"extract(epoch FROM coalesce({reached}, stored_at))::float8"
            for reached in ("matches_at", "wins_at", "kills_at")
        ),
    ]
)
"""The columns of season_records that make a `SeasonRecord`."""

_KNOW = """
    INSERT INTO season_windows (season, starts_at, ends_at) VALUES ($1, $2, $3)
    ON CONFLICT (season) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at
"""


@dataclass(frozen=True, slots=True)
class SeasonRecord:
    """The sums of a player's committed results of a season; they only grow.

    Attributes:
        matches_at, wins_at, kills_at: when each sum was reached (Unix seconds): when the last match ended
            that added to it. Of sums of an earlier release it is the time at which they were stored.
    """

    season: str
    player_id: int
    matches: int
    wins: int
    kills: int
    matches_at: float = 0.0
    wins_at: float = 0.0
    kills_at: float = 0.0


def windows_of(seasons: Seasons) -> Windows:
    """Return a table's windows as the statements take them."""
    every = seasons.all
    return [each.name for each in every], [each.starts for each in every], [each.ends for each in every]


async def follow_table(connection: asyncpg.Connection, seasons: Seasons, now: float) -> list[str]:
    """Sum up anew the seasons whose windows have changed; return their names.

    Results that other workers store meanwhile wait for it: the lock is on the sums alone, which they add to
    last. Raises what asyncpg raises; then nothing has changed.
    """
    if not await connection.fetch(_CHANGED, *windows_of(seasons)):
        return []
    async with connection.transaction():
        await connection.execute("LOCK TABLE season_records IN SHARE ROW EXCLUSIVE MODE")
        changed = await connection.fetch(_CHANGED, *windows_of(seasons))  # another worker was first
        for season, starts_at, ends_at in changed:
            await connection.execute("DELETE FROM season_records WHERE season = $1", season)
            await connection.execute(_SUM_UP, season, starts_at, ends_at, now)
            await connection.execute(_KNOW, season, starts_at, ends_at)
    return [row["season"] for row in changed]
