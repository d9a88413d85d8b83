"""Block lists, declined requests, and requests that the one who is asked does not see."""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly

revision = "r0022_social"
down_revision: str | None = "r0021_bans"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    "blocks": """
        player_id   bigint      NOT NULL,
        blocked_id  bigint      NOT NULL,
        since       timestamptz NOT NULL,
        PRIMARY KEY (player_id, blocked_id),
        CHECK (player_id <> blocked_id)
    """,
    # Who asked whom to be friends in vain, and until when they may not ask again.
    "declined_requests": """
        player_id   bigint      NOT NULL,
        asker_id    bigint      NOT NULL,
        ends_at     timestamptz NOT NULL,
        PRIMARY KEY (player_id, asker_id)
    """,
}

FUNCTIONS = {
    # Two players who ask each other become friends; repeating a request changes nothing. What others ask does
    # not count against a player; of more than max_incoming the oldest makes room. One request at a time for
    # each player, locked in one order, so that no two pass a limit together. A request is hidden from one who
    # blocks the asker, or has declined within a day: the asker is not told.
    "friends_request (bigint, bigint, bigint, bigint, double precision)": """
    CREATE FUNCTION friends_request(
        asker bigint, other bigint, max_friends bigint, max_incoming bigint, at_s double precision,
        OUT refusal text
    ) LANGUAGE plpgsql AS $$
    DECLARE
        unheard boolean;
    BEGIN
        PERFORM pg_advisory_xact_lock(least(asker, other));
        PERFORM pg_advisory_xact_lock(greatest(asker, other));
        IF EXISTS (SELECT FROM blocks WHERE player_id = asker AND blocked_id = other) THEN
            refusal := 'player-blocked';
            RETURN;
        END IF;
        unheard := EXISTS (SELECT FROM blocks WHERE player_id = other AND blocked_id = asker)
            OR EXISTS (
                SELECT FROM declined_requests
                WHERE player_id = other AND asker_id = asker AND ends_at > to_timestamp(at_s)
            );
        INSERT INTO friendships AS kept (low_id, high_id, asked_by, state, since, hidden)
        VALUES (least(asker, other), greatest(asker, other), asker, 'asked', to_timestamp(at_s), unheard)
        ON CONFLICT (low_id, high_id) DO UPDATE SET
            state = CASE WHEN kept.asked_by = asker THEN kept.state ELSE 'friends' END,
            since = excluded.since,
            hidden = CASE WHEN kept.asked_by = asker THEN unheard ELSE false END
            WHERE kept.state = 'asked' AND (kept.asked_by <> asker OR kept.hidden AND NOT unheard);
        IF (
            SELECT count(*) FROM friendships
            WHERE (low_id = asker OR high_id = asker) AND (state = 'friends' OR asked_by = asker)
        ) > max_friends THEN
            refusal := 'friends-full';
            RAISE SQLSTATE 'LD409';
        END IF;
        IF NOT unheard THEN
            DELETE FROM friendships WHERE (low_id, high_id) IN (
                SELECT low_id, high_id FROM friendships
                WHERE (low_id = other OR high_id = other)
                    AND state = 'asked' AND asked_by <> other AND NOT hidden
                ORDER BY since DESC, asked_by DESC OFFSET max_incoming
            );
        END IF;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
    # Become friends with a player who asked; repeating it changes nothing.
    "friends_accept (bigint, bigint, bigint, double precision)": """
    CREATE FUNCTION friends_accept(
        player bigint, other bigint, max_friends bigint, at_s double precision, OUT refusal text
    ) LANGUAGE plpgsql AS $$
    DECLARE
        was text;
    BEGIN
        PERFORM pg_advisory_xact_lock(least(player, other));
        PERFORM pg_advisory_xact_lock(greatest(player, other));
        SELECT state INTO was FROM friendships
        WHERE low_id = least(player, other) AND high_id = greatest(player, other)
            AND (state = 'friends' OR asked_by = other AND NOT hidden);
        IF was IS NULL THEN
            refusal := 'no-such-friendship';
        ELSIF was = 'asked' AND (
            SELECT count(*) FROM friendships
            WHERE (low_id = player OR high_id = player) AND (state = 'friends' OR asked_by = player)
        ) >= max_friends THEN
            refusal := 'friends-full';
        ELSIF was = 'asked' THEN
            UPDATE friendships SET state = 'friends', since = to_timestamp(at_s)
            WHERE low_id = least(player, other) AND high_id = greatest(player, other);
        END IF;
    END $$
    """,
    # End a friendship, take a request back, or turn one down: whoever asked may not again for declined_s.
    "friends_end (bigint, bigint, double precision, double precision)": """
    CREATE FUNCTION friends_end(
        player bigint, other bigint, declined_s double precision, at_s double precision, OUT ended boolean
    ) LANGUAGE plpgsql AS $$
    DECLARE
        gone friendships;
    BEGIN
        DELETE FROM friendships
        WHERE low_id = least(player, other) AND high_id = greatest(player, other)
            AND NOT (hidden AND asked_by = other)
        RETURNING * INTO gone;
        ended := gone.low_id IS NOT NULL;
        IF gone.state = 'asked' AND gone.asked_by = other THEN
            DELETE FROM declined_requests WHERE player_id = player AND ends_at <= to_timestamp(at_s);
            INSERT INTO declined_requests AS kept (player_id, asker_id, ends_at)
            VALUES (player, other, to_timestamp(at_s + declined_s))
            ON CONFLICT (player_id, asker_id) DO UPDATE SET ends_at = excluded.ends_at;
        END IF;
    END $$
    """,
    # A friendship ends for both, and a request of the player's own; one of the blocked is not seen any more.
    "blocks_add (bigint, bigint, bigint, double precision)": """
    CREATE FUNCTION blocks_add(
        player bigint, other bigint, max_blocked bigint, at_s double precision, OUT refusal text
    ) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(least(player, other));
        PERFORM pg_advisory_xact_lock(greatest(player, other));
        INSERT INTO blocks (player_id, blocked_id, since) VALUES (player, other, to_timestamp(at_s))
        ON CONFLICT (player_id, blocked_id) DO NOTHING;
        IF (SELECT count(*) FROM blocks WHERE player_id = player) > max_blocked THEN
            refusal := 'blocks-full';
            RAISE SQLSTATE 'LD409';
        END IF;
        UPDATE friendships SET hidden = true
        WHERE low_id = least(player, other) AND high_id = greatest(player, other)
            AND state = 'asked' AND asked_by = other;
        DELETE FROM friendships
        WHERE low_id = least(player, other) AND high_id = greatest(player, other)
            AND (state = 'friends' OR asked_by = player);
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
}

# The release before asks by this one, and shows what is hidden; its own limit of incoming requests is gone.
REWRITTEN = """
CREATE OR REPLACE FUNCTION friends_ask(
    asker bigint, other bigint, max_friends bigint, at_s double precision, OUT refusal text
) LANGUAGE sql AS $$ SELECT friends_request(asker, other, max_friends, 100, at_s) $$
"""

BEFORE = """
CREATE OR REPLACE FUNCTION friends_ask(
    asker bigint, other bigint, max_friends bigint, at_s double precision, OUT refusal text
) LANGUAGE plpgsql AS $$
DECLARE
    one bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(least(asker, other));
    PERFORM pg_advisory_xact_lock(greatest(asker, other));
    INSERT INTO friendships AS kept (low_id, high_id, asked_by, state, since)
    VALUES (least(asker, other), greatest(asker, other), asker, 'asked', to_timestamp(at_s))
    ON CONFLICT (low_id, high_id) DO UPDATE SET state = 'friends', since = excluded.since
        WHERE kept.state = 'asked' AND kept.asked_by <> excluded.asked_by;
    FOREACH one IN ARRAY ARRAY[asker, other] LOOP
        IF (SELECT count(*) FROM friendships WHERE low_id = one OR high_id = one) > max_friends THEN
            refusal := 'friends-full';
            RAISE SQLSTATE 'LD409';
        END IF;
    END LOOP;
EXCEPTION WHEN SQLSTATE 'LD409' THEN
    NULL;
END $$
"""


def upgrade() -> None:
    """Create the tables, the column and the functions."""
    briefly("ALTER TABLE friendships ADD COLUMN IF NOT EXISTS hidden boolean NOT NULL DEFAULT false")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    op.execute("CREATE INDEX blocks_by_blocked ON blocks (blocked_id)")
    op.execute("CREATE INDEX declined_requests_by_asker ON declined_requests (asker_id)")
    for definition in FUNCTIONS.values():
        op.execute(definition)
    op.execute(REWRITTEN)


def downgrade() -> None:
    """Drop them; requests that nobody was to see become visible."""
    briefly("ALTER TABLE friendships DROP COLUMN IF EXISTS hidden")
    op.execute(BEFORE)
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
