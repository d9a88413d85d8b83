"""Write-behind into PostgreSQL: one statement for all changes of a kind, which decides by itself which of them still count.

The changes stay the JSON that the cache's scripts wrote; PostgreSQL takes them apart, so Python never looks at a row.
Every statement gives the same result whatever the order and however often it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

STATEMENTS = {
    "account": """
        INSERT INTO accounts (player_id, device_hash, display_name, created_at)
        SELECT DISTINCT ON (player_id)
            player_id, decode(device_hash, 'hex'), display_name, to_timestamp(created_ms / 1000.0)
        FROM json_to_recordset($1::json)
            AS change (player_id bigint, device_hash text, display_name text, created_ms bigint)
        ORDER BY player_id, created_ms
        ON CONFLICT (player_id) DO NOTHING
    """,
    # The newest version wins, whenever it arrives.
    "loadout": """
        INSERT INTO loadouts AS stored (player_id, skin, version)
        SELECT DISTINCT ON (player_id) player_id, skin, version
        FROM json_to_recordset($1::json) AS change (player_id bigint, skin text, version bigint)
        ORDER BY player_id, version DESC
        ON CONFLICT (player_id) DO UPDATE
            SET skin = excluded.skin, version = excluded.version, stored_at = now()
            WHERE stored.version < excluded.version
    """,
    "session": """
        INSERT INTO sessions AS stored (player_id, session_id, generation, state, version)
        SELECT DISTINCT ON (player_id) player_id, session_id, generation, state, version
        FROM json_to_recordset($1::json) AS change
            (player_id bigint, session_id text, generation bigint, state text, version bigint)
        ORDER BY player_id, version DESC
        ON CONFLICT (player_id) DO UPDATE
            SET session_id = excluded.session_id, generation = excluded.generation,
                state = excluded.state, version = excluded.version, stored_at = now()
            WHERE stored.version < excluded.version
    """,
    # A commit that overtook its check-out has left a row without these columns.
    "checkout": """
        INSERT INTO match_history AS stored
            (player_id, fence, match_id, server, region, checked_out_at, lease_until)
        SELECT DISTINCT ON (player_id, fence) player_id, fence, match_id, server, region,
            to_timestamp(fence / 1000.0), to_timestamp(lease_until_ms / 1000.0)
        FROM json_to_recordset($1::json)
            AS change (match_id uuid, server text, region text, lease_until_ms bigint, players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        CROSS JOIN LATERAL (SELECT (player->>0)::bigint AS player_id, (player->>1)::bigint AS fence) AS who
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET server = excluded.server, region = excluded.region,
                checked_out_at = excluded.checked_out_at, lease_until = excluded.lease_until
            WHERE stored.checked_out_at IS NULL AND stored.match_id = excluded.match_id
    """,
    # An expired lease that nobody took may still be committed, so a commit stands over an expiry in either order.
    "expiry": """
        INSERT INTO match_history AS stored (player_id, fence, match_id, outcome, ended_at)
        SELECT DISTINCT ON (player_id, fence) player_id, fence, match_id, 'expired',
            to_timestamp(ended_ms / 1000.0)
        FROM json_to_recordset($1::json) AS change (ended_ms bigint, players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        CROSS JOIN LATERAL (
            SELECT (player->>0)::bigint AS player_id, (player->>1)::bigint AS fence,
                (player->>2)::uuid AS match_id
        ) AS who
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET outcome = 'expired', ended_at = excluded.ended_at
            WHERE stored.outcome IS NULL AND stored.match_id = excluded.match_id
    """,
    # The store has the last word on fences: a result is stale when its player was checked out anew between this check-out (the
    # fence) and this commit (the stamp). It is kept as refused, without the result. Another match's fence changes nothing.
    "commit": """
        INSERT INTO match_history AS stored
            (player_id, fence, match_id, outcome, placement, kills, played_s, ended_at)
        SELECT DISTINCT ON (player_id, fence) player_id, fence, match_id,
            CASE WHEN stale THEN 'refused' ELSE 'committed' END,
            CASE WHEN NOT stale THEN placement END,
            CASE WHEN NOT stale THEN kills END,
            CASE WHEN NOT stale THEN played_s END,
            to_timestamp(stamp / 1000.0)
        FROM json_to_recordset($1::json) AS change (match_id uuid, players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        CROSS JOIN LATERAL (
            SELECT (player->>0)::bigint AS player_id, (player->>1)::bigint AS fence,
                (player->>2)::bigint AS stamp, (player->>3)::integer AS placement,
                (player->>4)::integer AS kills, (player->>5)::real AS played_s
        ) AS result
        CROSS JOIN LATERAL (
            SELECT EXISTS (
                SELECT FROM match_history AS newer
                WHERE newer.player_id = result.player_id
                    AND newer.fence > result.fence AND newer.fence < result.stamp
            ) AS stale
        ) AS verdict
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET outcome = excluded.outcome, placement = excluded.placement, kills = excluded.kills,
                played_s = excluded.played_s, ended_at = excluded.ended_at
            WHERE stored.outcome IS DISTINCT FROM 'committed' AND stored.match_id = excluded.match_id
        RETURNING outcome = 'refused' AS refused
    """,
}
"""By kind of change, in the order in which they are applied: check-outs before the commits that they may make stale."""

Changes = Mapping[str, Sequence[str]]


async def apply(connection: asyncpg.Connection, changes: Changes, timeout_s: float) -> int:
    """Apply changes, JSON texts by kind, in one transaction; return how many results were refused for a stale fence.

    Raises what asyncpg raises, and ValueError for a kind that is not known; then nothing was applied.
    """
    if unknown := changes.keys() - STATEMENTS.keys():
        raise ValueError(f"no such kind of change: {', '.join(sorted(unknown))}")
    refused = 0
    async with connection.transaction():
        for kind, statement in STATEMENTS.items():
            if texts := changes.get(kind):
                rows = await connection.fetch(statement, f"[{','.join(texts)}]", timeout=timeout_s)
                refused += sum(row["refused"] for row in rows)
    return refused
