"""The SQL statements of one batch: hundreds of rows each, given as arrays; ``now`` is an argument, too."""

# DO NOTHING returns only what was not there: those events, and no others, have their effect in this
# transaction.
INSERT_INBOX = """
    INSERT INTO event_inbox (event_id, topic, applied_at)
    SELECT *, to_timestamp($3) FROM unnest($1::uuid[], $2::text[])
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
"""

# width_bucket(x, thresholds) counts the thresholds that x has reached: the level. The row lock makes the sum
# right with several consumers; rows come sorted, so that two of them never wait for each other.
UPSERT_PROGRESSION = """
    INSERT INTO progression AS p (player_id, xp, level, kills, deaths, matches, updated_at)
    SELECT player_id, xp, width_bucket(xp, $6::bigint[]), kills, deaths, matches, to_timestamp($7)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
         AS gains (player_id, xp, kills, deaths, matches)
    ON CONFLICT (player_id) DO UPDATE SET
        xp = p.xp + excluded.xp,
        level = width_bucket(p.xp + excluded.xp, $6::bigint[]),
        kills = p.kills + excluded.kills,
        deaths = p.deaths + excluded.deaths,
        matches = p.matches + excluded.matches,
        updated_at = excluded.updated_at
    RETURNING player_id, xp, level
"""

# The row lock makes the count right with several consumers, so exactly one of them sees it pass the number
# that completes it.
UPSERT_CHALLENGES = """
    INSERT INTO challenge_progress AS p (player_id, challenge, period, count, completed)
    SELECT player_id, challenge, period, added, added >= needed
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
         AS counts (player_id, challenge, period, added, needed)
    ON CONFLICT (player_id, challenge, period) DO UPDATE SET
        count = p.count + excluded.count,
        completed = p.completed OR p.count + excluded.count >= (
            SELECT needed FROM unnest($2::text[], $5::bigint[]) AS needs (challenge, needed)
            WHERE needs.challenge = p.challenge LIMIT 1
        )
    RETURNING player_id, challenge, period, count
"""

UPSERT_SEASONS = """
    INSERT INTO season_progress AS p (player_id, season, xp, tier)
    SELECT player_id, $2, xp, width_bucket(xp, $4::bigint[])
    FROM unnest($1::bigint[], $3::bigint[]) AS gains (player_id, xp)
    ON CONFLICT (player_id, season) DO UPDATE SET
        xp = p.xp + excluded.xp,
        tier = width_bucket(p.xp + excluded.xp, $4::bigint[])
"""

INSERT_RATED_MATCHES = """
    INSERT INTO rated_matches (match_id, mode) SELECT * FROM unnest($1::uuid[], $2::text[])
    ON CONFLICT (match_id) DO NOTHING RETURNING match_id
"""

SELECT_RATINGS = """
    SELECT player_id, mode, mu, sigma, matches FROM ratings
    JOIN unnest($1::bigint[], $2::text[]) AS wanted (player_id, mode) USING (player_id, mode)
"""

UPSERT_RATINGS = """
    INSERT INTO ratings (player_id, mode, mu, sigma, matches, updated_at)
    SELECT *, to_timestamp($6) FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::float8[], $5::bigint[])
    ON CONFLICT (player_id, mode) DO UPDATE SET
        mu = excluded.mu, sigma = excluded.sigma, matches = excluded.matches, updated_at = excluded.updated_at
"""

UPSERT_OFFSETS = """
    INSERT INTO consumer_offsets (consumer, topic, partition, next_offset)
    SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[])
    ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
