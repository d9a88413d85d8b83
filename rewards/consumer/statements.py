"""The SQL statements of one batch: hundreds of rows each, given as arrays; ``now`` is an argument, too."""

# DO NOTHING returns only what was not there: those events, and no others, have their effect in this
# transaction. They come as one array: a row each costs this side 0.5 µs more an event. The topics come as one
# byte an event, which names one of a handful: a text an event would cost both sides as much again as the ids.
INSERT_INBOX = """
    WITH added AS (
        INSERT INTO event_inbox (event_id, topic, applied_at)
        SELECT event_id, ($3::text[])[get_byte($2::bytea, (place - 1)::int) + 1], to_timestamp($4)
        FROM unnest($1::uuid[]) WITH ORDINALITY AS ids (event_id, place)
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id
    )
    SELECT CASE WHEN count(*) < cardinality($1::uuid[]) THEN array_agg(event_id) ELSE $1 END FROM added
"""

# Events that come late for a player who was deleted (``erasures``) bring nothing back, here and below.
# width_bucket(x, thresholds) counts the thresholds that x has reached: the level. The row lock makes the sum
# right with several consumers; rows come sorted, so that two of them never wait for each other.
UPSERT_PROGRESSION = """
    INSERT INTO progression AS p (player_id, xp, level, kills, deaths, matches, updated_at)
    SELECT player_id, xp, width_bucket(xp, $6::bigint[]), kills, deaths, matches, to_timestamp($7)
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
         AS gains (player_id, xp, kills, deaths, matches)
    WHERE player_id NOT IN (SELECT player_id FROM erasures)
    ON CONFLICT (player_id) DO UPDATE SET
        xp = p.xp + excluded.xp,
        level = width_bucket(p.xp + excluded.xp, $6::bigint[]),
        kills = p.kills + excluded.kills,
        deaths = p.deaths + excluded.deaths,
        matches = p.matches + excluded.matches,
        updated_at = excluded.updated_at
    RETURNING player_id, xp, level
"""

# The row lock makes the count right with several consumers, so exactly one of them finds it high enough and
# not completed. The row remembers that, because the number that completes it may be changed.
UPSERT_CHALLENGES = """
    INSERT INTO challenge_progress AS p (player_id, challenge, period, count, completed)
    SELECT player_id, challenge, period, added, false
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
         AS counts (player_id, challenge, period, added)
    WHERE player_id NOT IN (SELECT player_id FROM erasures)
    ON CONFLICT (player_id, challenge, period) DO UPDATE SET count = p.count + excluded.count
    RETURNING player_id, challenge, period, count, completed
"""

# One that gives an item which is not in the catalogue waits for a later event.
COMPLETE_CHALLENGES = """
    UPDATE challenge_progress AS p SET completed = true
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS done (player_id, challenge, period)
    WHERE (p.player_id, p.challenge, p.period) = (done.player_id, done.challenge, done.period)
        AND NOT EXISTS (
            SELECT FROM unnest($4::text[], $5::text[]) AS gives (challenge, item)
            WHERE gives.challenge = p.challenge
                AND NOT EXISTS (SELECT FROM catalogue WHERE item_id = item)
        )
    RETURNING p.player_id, p.challenge, p.period
"""

# Returns whom it has taken to another tier, by the thresholds of today.
UPSERT_SEASONS = """
    WITH moved AS (
        INSERT INTO season_progress AS p (player_id, season, xp, tier)
        SELECT player_id, $2, xp, width_bucket(xp, $4::bigint[])
        FROM unnest($1::bigint[], $3::bigint[]) AS gains (player_id, xp)
        WHERE player_id NOT IN (SELECT player_id FROM erasures)
        ON CONFLICT (player_id, season) DO UPDATE SET
            xp = p.xp + excluded.xp,
            tier = width_bucket(p.xp + excluded.xp, $4::bigint[])
        RETURNING player_id, xp, tier
    )
    SELECT player_id, tier, before FROM moved
    JOIN unnest($1::bigint[], $3::bigint[]) AS gains (player_id, gained) USING (player_id)
    CROSS JOIN LATERAL width_bucket(moved.xp - gained, $4::bigint[]) AS before
    WHERE tier > before
"""

GIVE = "SELECT player, money, item, total, version FROM progress_give($1, $2, $3, $4, $5, $6, $7)"

PUBLISH_RULES = """
    INSERT INTO rules_in_force (name, rules, published_at) VALUES ($1, $2, to_timestamp($3))
    ON CONFLICT (name) DO UPDATE SET rules = excluded.rules, published_at = excluded.published_at
"""

UNKNOWN_THINGS = """
    SELECT 'item' AS kind, item AS thing FROM unnest($1::text[]) AS wanted (item)
    WHERE NOT EXISTS (SELECT FROM catalogue WHERE item_id = item)
    UNION ALL
    SELECT 'currency', money FROM unnest($2::text[]) AS wanted (money)
    WHERE NOT EXISTS (SELECT FROM currencies WHERE currency = money)
        AND NOT EXISTS (SELECT FROM catalogue WHERE currency = money)
"""

# The last of the next players of a season who have reached a tier.
SEASON_PAGE = """
    SELECT max(player_id) FROM (
        SELECT player_id FROM season_progress WHERE season = $1 AND player_id > $2 AND xp >= $3
        ORDER BY player_id LIMIT $4
    ) AS page
"""

TIERS_DUE = """
    SELECT player_id, key FROM season_progress
    JOIN unnest($4::bigint[], $5::text[]) AS tiers (needed, key) ON xp >= needed
    WHERE season = $1 AND player_id > $2 AND player_id <= $3 AND NOT EXISTS (
        SELECT FROM reward_grants AS given
        WHERE given.player_id = season_progress.player_id AND given.source = $6 AND given.key = tiers.key
    )
"""

RECENTLY_GIVEN = """
    WITH things AS (
        SELECT DISTINCT player_id, part->>'currency' AS currency, part->>'item' AS item
        FROM reward_grants CROSS JOIN LATERAL jsonb_array_elements(gives) AS part
        WHERE given_at >= (SELECT max(given_at) FROM reward_grants) - make_interval(secs => $1)
    )
    SELECT player_id, currency, NULL, balance, version FROM things JOIN wallets USING (player_id, currency)
    UNION ALL
    SELECT player_id, NULL, item_id, quantity, version FROM things
    JOIN inventory USING (player_id) WHERE inventory.item_id = things.item
"""

# In the inbox, or kept for a program that knows more.
SELECT_KNOWN = """
    SELECT event_id FROM event_inbox WHERE event_id = ANY($1::uuid[])
    UNION SELECT event_id FROM newer_events WHERE event_id = ANY($1::uuid[])
"""

KEEP_NEWER = """
    INSERT INTO newer_events
        (event_id, topic, partition, record_offset, key, envelope, timestamp_ms, newer, is_result, kept_at)
    SELECT *, to_timestamp($10) FROM unnest(
        $1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[], $8::text[],
        $9::boolean[]
    )
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
"""

SELECT_NEWER = """
    SELECT entry_no, topic, partition, record_offset, key, envelope, timestamp_ms, newer, is_result
    FROM newer_events WHERE entry_no > $1 ORDER BY entry_no LIMIT $2
"""

COUNT_NEWER = """
    SELECT newer, count(*) AS events, extract(epoch FROM min(kept_at))::float8 AS oldest
    FROM newer_events GROUP BY newer ORDER BY count(*) DESC, newer
"""

# None while a result waits that is newer than the program, unless it is known to be these matches' turn ($3).
INSERT_RATED_MATCHES = """
    INSERT INTO rated_matches (match_id, mode, outcome)
    SELECT * FROM unnest($1::uuid[], $2::text[], $4::uuid[])
    WHERE $3 OR NOT EXISTS (SELECT FROM newer_events WHERE is_result)
    ON CONFLICT (match_id) DO NOTHING RETURNING match_id
"""

SELECT_OUTCOMES = "SELECT match_id, outcome FROM rated_matches WHERE match_id = ANY($1::uuid[])"

SELECT_RATINGS = """
    SELECT player_id, mode, mu, sigma, matches FROM ratings
    JOIN unnest($1::bigint[], $2::text[]) AS wanted (player_id, mode) USING (player_id, mode)
"""

UPSERT_RATINGS = """
    INSERT INTO ratings (player_id, mode, mu, sigma, matches, updated_at)
    SELECT *, to_timestamp($6)
    FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::float8[], $5::bigint[])
        AS rated (player_id, mode, mu, sigma, matches)
    WHERE player_id NOT IN (SELECT player_id FROM erasures)
    ON CONFLICT (player_id, mode) DO UPDATE SET
        mu = excluded.mu, sigma = excluded.sigma, matches = excluded.matches, updated_at = excluded.updated_at
"""

UPSERT_OFFSETS = """
    INSERT INTO consumer_offsets (consumer, topic, partition, next_offset, topic_id)
    SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::uuid[])
    ON CONFLICT (consumer, topic, partition)
    DO UPDATE SET next_offset = excluded.next_offset, topic_id = excluded.topic_id
"""

INSERT_GAP = """
    INSERT INTO event_gaps (consumer, topic, partition, finding, from_offset, to_offset, missing, topic_id,
                            noticed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9))
    ON CONFLICT DO NOTHING
"""

SELECT_GAPS = """
    SELECT topic, partition, finding, from_offset, to_offset, missing, topic_id,
           extract(epoch FROM noticed_at)::float8 AS noticed_s
    FROM event_gaps WHERE consumer = $1 ORDER BY gap_id DESC LIMIT $2
"""
