"""Bans: who is kept out, by whom, why and until when. Each stays on record; a player has one that holds."""

from __future__ import annotations

from alembic import op

revision = "r0021_bans"
down_revision: str | None = "r0020_accounts"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

# Two operators who act on one player come one after the other. The version grows with each change whatever
# clocks do, so every cache keeps the newest. The same ban again is the one there is. NULL: there is no such
# account; seen: the caller knows of one, which may be on its way to the store.
BAN_PLAYER = """
CREATE FUNCTION ban_player(
    player bigint, why text, until_s float8, who text, at_s float8, for_request text, seen boolean,
    OUT new_ban_no bigint
) LANGUAGE plpgsql AS $$
DECLARE
    next_version bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(player);  -- as a deletion does: it comes before or after, not between
    IF NOT seen AND NOT EXISTS (SELECT FROM accounts WHERE player_id = player)
        OR EXISTS (SELECT FROM erasures WHERE player_id = player)
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ban ' || player, 0));
    SELECT ban_no INTO new_ban_no FROM bans
    WHERE player_id = player AND lifted_at IS NULL AND reason = why
        AND ends_at IS NOT DISTINCT FROM to_timestamp(until_s)
        AND (ends_at IS NULL OR ends_at > to_timestamp(at_s));
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT greatest(coalesce(max(version), 0) + 1, floor(at_s * 1000)::bigint) INTO next_version
    FROM bans WHERE player_id = player;
    UPDATE bans SET lifted_at = to_timestamp(at_s), lifted_by = who, lift_reason = 'replaced by another ban',
        version = next_version - 1
    WHERE player_id = player AND lifted_at IS NULL;
    INSERT INTO bans (player_id, reason, banned_by, banned_at, ends_at, version)
    VALUES (player, why, who, to_timestamp(at_s), to_timestamp(until_s), next_version)
    RETURNING ban_no INTO new_ban_no;
    PERFORM audit_note(who, 'ban', player, why,
        jsonb_build_object('ban_no', new_ban_no, 'ends_at', until_s), at_s, for_request);
END
$$
"""

# lifted: whether a ban held.
UNBAN_PLAYER = """
CREATE FUNCTION unban_player(
    player bigint, why text, who text, at_s float8, for_request text, OUT lifted boolean
) LANGUAGE plpgsql AS $$
DECLARE
    lifted_no bigint;
BEGIN
    lifted := false;
    PERFORM pg_advisory_xact_lock(hashtextextended('ban ' || player, 0));
    UPDATE bans SET lifted_at = to_timestamp(at_s), lifted_by = who, lift_reason = why, stored_at = now(),
        version = greatest(version + 1, floor(at_s * 1000)::bigint)
    WHERE player_id = player AND lifted_at IS NULL AND (ends_at IS NULL OR ends_at > to_timestamp(at_s))
    RETURNING ban_no INTO lifted_no;
    IF lifted_no IS NOT NULL THEN
        lifted := true;
        PERFORM audit_note(who, 'unban', player, why,
            jsonb_build_object('ban_no', lifted_no), at_s, for_request);
    END IF;
END
$$
"""


def upgrade() -> None:
    """Create the table and its functions."""
    op.execute(
        """
        CREATE TABLE bans (
            ban_no      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            player_id   bigint      NOT NULL,
            reason      text        NOT NULL,
            banned_by   text        NOT NULL,
            banned_at   timestamptz NOT NULL,
            ends_at     timestamptz,
            lifted_at   timestamptz,
            lifted_by   text,
            lift_reason text,
            version     bigint      NOT NULL,
            stored_at   timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX bans_one_each ON bans (player_id) WHERE lifted_at IS NULL")
    op.execute("CREATE INDEX bans_of_player ON bans (player_id, ban_no)")
    op.execute("CREATE INDEX bans_stored ON bans (stored_at)")  # by which the regions find each other's
    op.execute(BAN_PLAYER)
    op.execute(UNBAN_PLAYER)


def downgrade() -> None:
    """Drop them: whoever is banned may log in again."""
    op.execute("DROP FUNCTION unban_player(bigint, text, text, float8, text)")
    op.execute("DROP FUNCTION ban_player(bigint, text, float8, text, float8, text, boolean)")
    op.execute("DROP TABLE bans")
