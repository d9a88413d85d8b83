"""Write-behind into PostgreSQL: one statement for all changes of a kind, which decides which still count.

The changes stay the JSON that the cache's scripts wrote. PostgreSQL takes them apart, so Python never
handles a row. Every statement gives the same result in whatever order the changes come and however often it
runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from launchday.seasons import Seasons, shipped
from meta_service.store.season_sums import RECORD_COLUMNS, SeasonRecord, Windows, windows_of

# The fault is in the change itself and will not go away. Any other error is the store's, and is waited out.
INVALID_CHANGE_ERRORS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)


def _end_lease(outcome: str, *, over: str) -> str:
    """Return the statement that ends leases with an outcome, where ``over`` (SQL) holds of what is stored."""
    return f"""
        INSERT INTO match_history AS stored (player_id, fence, match_id, outcome, ended_at)
        SELECT DISTINCT ON (player_id, fence) player_id, fence, match_id, '{outcome}',
            to_timestamp(ended_ms / 1000.0)
        FROM json_to_recordset($1::json) AS change (ended_ms bigint, players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        CROSS JOIN LATERAL (
            SELECT (player->>0)::bigint AS player_id, (player->>1)::bigint AS fence,
                (player->>2)::uuid AS match_id
        ) AS who
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET outcome = excluded.outcome, ended_at = excluded.ended_at
            WHERE {over} AND stored.match_id = excluded.match_id
    """


# None of them says anything of a player who was deleted: what comes later brings nothing back.
STATEMENTS = {
    "account": """
        INSERT INTO accounts (player_id, device_hash, display_name, created_at)
        SELECT DISTINCT ON (player_id)
            player_id, decode(device_hash, 'hex'),
            coalesce(
                (SELECT chosen.display_name FROM display_names AS chosen
                WHERE chosen.player_id = change.player_id),
                display_name
            ),
            to_timestamp(created_ms / 1000.0)
        FROM json_to_recordset($1::json)
            AS change (player_id bigint, device_hash text, display_name text, created_ms bigint)
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, created_ms
        ON CONFLICT (player_id) DO NOTHING
    """,
    # The newest version wins, whenever it arrives; of two regions' equal versions the later region name
    # wins. Only what was stored goes to the outbox: a row's version only grows, so each makes one event,
    # however often the change is applied.
    "loadout": """
        WITH changed AS (
        INSERT INTO loadouts AS stored (player_id, skin, emotes, settings, version, region, stored_at)
        SELECT DISTINCT ON (player_id)
            player_id, skin, coalesce(emotes, '[]')::json, coalesce(settings, '{}')::json, version,
            coalesce(region, ''), to_timestamp($2)
        FROM json_to_recordset($1::json) AS change
            (player_id bigint, skin text, emotes text, settings text, version bigint, region text)
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, version DESC, region DESC
        ON CONFLICT (player_id) DO UPDATE
            SET skin = excluded.skin, emotes = excluded.emotes, settings = excluded.settings,
                version = excluded.version, region = excluded.region, stored_at = excluded.stored_at
            WHERE (stored.version, stored.region) < (excluded.version, excluded.region)
        RETURNING player_id, skin, version, region
        )
        INSERT INTO loadout_outbox (player_ids, skins, versions, regions, stored_at)
        SELECT array_agg(player_id), array_agg(skin), array_agg(version), array_agg(region), to_timestamp($2)
        FROM changed HAVING count(*) > 0
    """,
    # Of two sessions the one that was opened later stays. Of one session that it was ended stays, whatever
    # was exchanged since by a cache that had forgotten it; else the newest exchange. Which generation was
    # given last, and used last, only grows. An earlier version of the API does not say when a session was
    # opened: then its version stands for that; nor what was used.
    "session": """
        INSERT INTO sessions AS stored
            (player_id, session_id, generation, seen, state, opened, version, region, stored_at)
        SELECT DISTINCT ON (player_id)
            player_id, session_id, generation, coalesce(seen, 0), state, coalesce(opened, version), version,
            coalesce(region, ''), to_timestamp($2)
        FROM json_to_recordset($1::json) AS change (player_id bigint, session_id text, generation bigint,
            seen bigint, state text, opened bigint, version bigint, region text)
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, coalesce(opened, version) DESC, state = 'revoked' DESC, version DESC, region DESC
        ON CONFLICT (player_id) DO UPDATE
            SET session_id = excluded.session_id, state = excluded.state,
                generation = CASE WHEN stored.session_id = excluded.session_id
                    THEN greatest(stored.generation, excluded.generation) ELSE excluded.generation END,
                seen = CASE WHEN stored.session_id = excluded.session_id
                    THEN greatest(stored.seen, excluded.seen) ELSE excluded.seen END,
                opened = excluded.opened, region = excluded.region, stored_at = excluded.stored_at,
                version = greatest(stored.version, excluded.version)
            WHERE CASE WHEN stored.session_id = excluded.session_id
                THEN (stored.state = 'revoked', stored.version, stored.region)
                    < (excluded.state = 'revoked', excluded.version, excluded.region)
                ELSE (stored.opened, stored.version, stored.region)
                    < (excluded.opened, excluded.version, excluded.region) END
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
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET server = excluded.server, region = excluded.region,
                checked_out_at = excluded.checked_out_at, lease_until = excluded.lease_until
            WHERE stored.checked_out_at IS NULL AND stored.match_id = excluded.match_id
    """,
    # An expired lease that nobody took may still be committed, so a commit stands over an expiry in either
    # order.
    "expiry": _end_lease("expired", over="stored.outcome IS NULL"),
    # A closed match takes no result any more: a commit does not stand over it, nor it over a commit.
    "close": _end_lease("closed", over="coalesce(stored.outcome, 'expired') = 'expired'"),
    # The store has the last word on fences: a result is stale when its player was checked out anew between
    # this check-out (the fence) and this commit (the stamp). It is kept as refused, without the result.
    # Another match's fence changes nothing. A result becomes committed once, so it is added to the sums of
    # the season in which its match ended once, however often it is applied; between two seasons to none. An
    # earlier version of the API does not say when the match ended: then the commit's stamp stands for that.
    # A sum was reached when the last match ended that added to it; an earlier release did not say when.
    "commit": """
        WITH written AS (
        INSERT INTO match_history AS stored
            (player_id, fence, match_id, outcome, placement, kills, played_s, ended_at, match_ended_at)
        SELECT DISTINCT ON (player_id, fence) player_id, fence, match_id,
            CASE WHEN stale THEN 'refused' ELSE 'committed' END,
            CASE WHEN NOT stale THEN placement END,
            CASE WHEN NOT stale THEN kills END,
            CASE WHEN NOT stale THEN played_s END,
            to_timestamp(stamp / 1000.0), to_timestamp(match_ended / 1000.0)
        FROM json_to_recordset($1::json) AS change (match_id uuid, players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        CROSS JOIN LATERAL (
            SELECT (player->>0)::bigint AS player_id, (player->>1)::bigint AS fence,
                coalesce(player->>6, player->>2)::bigint AS match_ended,
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
        WHERE result.player_id NOT IN (SELECT player_id FROM erasures)
        ORDER BY player_id, fence
        ON CONFLICT (player_id, fence) DO UPDATE
            SET outcome = excluded.outcome, placement = excluded.placement, kills = excluded.kills,
                played_s = excluded.played_s, ended_at = excluded.ended_at,
                match_ended_at = excluded.match_ended_at
            WHERE coalesce(stored.outcome, 'expired') IN ('expired', 'refused')
                AND stored.match_id = excluded.match_id
        RETURNING player_id, outcome, placement, kills, match_ended_at
        ), tallied AS (
            INSERT INTO season_records AS held
                (season, player_id, matches, wins, kills, stored_at, matches_at, wins_at, kills_at)
            SELECT season, player_id,
                count(*), count(*) FILTER (WHERE placement = 1), sum(kills), to_timestamp($2),
                max(match_ended_at), max(match_ended_at) FILTER (WHERE placement = 1),
                max(match_ended_at) FILTER (WHERE kills > 0)
            FROM written JOIN unnest($3::text[], $4::timestamptz[], $5::timestamptz[])
                AS seasons (season, starts_at, ends_at)
                ON match_ended_at >= starts_at AND match_ended_at < ends_at
            WHERE outcome = 'committed'
            GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (season, player_id) DO UPDATE
                SET matches = held.matches + excluded.matches, wins = held.wins + excluded.wins,
                    kills = held.kills + excluded.kills, stored_at = excluded.stored_at,
                    matches_at = greatest(coalesce(held.matches_at, held.stored_at), excluded.matches_at),
                    wins_at = greatest(
                        coalesce(held.wins_at, CASE WHEN held.wins > 0 THEN held.stored_at END),
                        excluded.wins_at
                    ),
                    kills_at = greatest(
                        coalesce(held.kills_at, CASE WHEN held.kills > 0 THEN held.stored_at END),
                        excluded.kills_at
                    )
        )
        SELECT count(*) AS refused FROM written WHERE outcome = 'refused'
    """,
}
"""By kind of change, in the order of applying: check-outs before the commits that they may make stale."""

# All players of the batch, not only those whose sums just changed: a worker that was killed before it
# showed the sums applies the batch again.
RECORDS = f"""
    SELECT {RECORD_COLUMNS} FROM season_records
    WHERE (season, player_id) IN (
        SELECT season, (player->>0)::bigint
        FROM json_to_recordset($1::json) AS change (players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
        JOIN unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS seasons (season, starts_at, ends_at)
            ON to_timestamp(coalesce(player->>6, player->>2)::bigint / 1000.0) >= starts_at
            AND to_timestamp(coalesce(player->>6, player->>2)::bigint / 1000.0) < ends_at
    ) AND player_id NOT IN (SELECT player_id FROM erasures)
"""

# A match holds its players in every region. The others hear of it where it matters: of players whose last
# login was there. They look for changed accounts, and what they load has the lease, too.
TELL_HOME = """
    SELECT account_changed(player_id, $2, $3)
    FROM (
        SELECT DISTINCT (player->>0)::bigint AS player_id
        FROM json_to_recordset($1::json) AS change (players json)
        CROSS JOIN LATERAL json_array_elements(players) AS player
    ) AS held JOIN sessions USING (player_id)
    WHERE sessions.region <> $3 AND player_id NOT IN (SELECT player_id FROM erasures)
    ORDER BY player_id
"""
LEASE_KINDS = ("checkout", "expiry", "close", "commit")

Changes = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What a transaction did.

    Attributes:
        refused: results that were refused for a stale fence.
        records: the season's sums of every player of whom a result was stored, as they are now.
    """

    refused: int = 0
    records: tuple[SeasonRecord, ...] = ()


async def apply(
    connection: asyncpg.Connection,
    changes: Changes,
    now: float,
    seasons: Seasons | None = None,
    region: str = "",
) -> ApplyResult:
    """Apply changes in one transaction.

    Args:
        connection: is ended where the caller gives up meanwhile: to roll back would be to wait for a store
            that does not answer.
        changes: JSON texts by kind.
        now: Unix seconds; when the rows were stored, by which other regions find them.
        seasons: the table by whose windows results are summed up; None: the shipped one.
        region: whose cache accepted the changes; empty: there is but one.

    Raises what asyncpg raises, and ValueError for a kind that is not known; then nothing was applied.
    """
    if unknown := changes.keys() - STATEMENTS.keys():
        raise ValueError(f"no such kind of change: {', '.join(sorted(unknown))}")
    transaction = connection.transaction()
    try:
        await transaction.start()
        applied = await _apply_each(connection, changes, now, windows_of(seasons or shipped()))
        leases = [text for kind in LEASE_KINDS for text in changes.get(kind, ())]
        if region and leases:
            await connection.execute(TELL_HOME, f"[{','.join(leases)}]", now, region)
        await transaction.commit()
    except asyncpg.PostgresError:
        with contextlib.suppress(asyncpg.InterfaceError):  # it ended with the failure
            await transaction.rollback()
        raise
    except BaseException:
        connection.terminate()
        raise
    return applied


async def why_refused(
    connection: asyncpg.Connection, changes: Changes, now: float, seasons: Seasons | None = None
) -> str | None:
    """Say why the store cannot take changes, without storing them; None: it can.

    Raises what asyncpg raises where the fault is not in the changes.
    """
    if unknown := changes.keys() - STATEMENTS.keys():
        return f"no such kind of change: {', '.join(sorted(unknown))}"
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _apply_each(connection, changes, now, windows_of(seasons or shipped()))
    except INVALID_CHANGE_ERRORS as error:
        return str(error)
    finally:
        await transaction.rollback()
    return None


async def _apply_each(
    connection: asyncpg.Connection, changes: Changes, now: float, windows: Windows
) -> ApplyResult:
    applied = ApplyResult()
    for kind, statement in STATEMENTS.items():
        if texts := changes.get(kind):
            batch = f"[{','.join(texts)}]"
            if kind == "commit":
                rows = await connection.fetch(statement, batch, now, *windows)
                records = await connection.fetch(RECORDS, batch, *windows)
                applied = ApplyResult(rows[0]["refused"], tuple(SeasonRecord(*row) for row in records))
            else:
                stamp = (now,) if "$2" in statement else ()
                await connection.execute(statement, batch, *stamp)
    return applied
