"""Friends, season records, the rest of a loadout, the region that wrote a row, the request of a transfer."""

from __future__ import annotations

from alembic import op

revision = "r0004_social"
down_revision: str | None = "r0003_sessions"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    # One row a pair, so that asking, accepting and ending are one statement each and cannot disagree.
    "friendships": """
        low_id    bigint      NOT NULL,
        high_id   bigint      NOT NULL,
        asked_by  bigint      NOT NULL,
        state     text        NOT NULL CHECK (state IN ('asked', 'friends')),
        since     timestamptz NOT NULL,
        PRIMARY KEY (low_id, high_id),
        CHECK (low_id < high_id AND asked_by IN (low_id, high_id))
    """,
    # The sums of a season's committed results, written in the transaction that stores the results.
    "season_records": """
        season     text        NOT NULL,
        player_id  bigint      NOT NULL,
        matches    bigint      NOT NULL,
        wins       bigint      NOT NULL,
        kills      bigint      NOT NULL,
        stored_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (season, player_id)
    """,
}

CHANGES = (
    "CREATE INDEX friendships_by_high ON friendships (high_id)",
    """
    INSERT INTO season_records (season, player_id, matches, wins, kills)
    SELECT to_char(ended_at AT TIME ZONE 'UTC', 'YYYY"-q"Q'), player_id,
        count(*), count(*) FILTER (WHERE placement = 1), sum(kills)
    FROM match_history WHERE outcome = 'committed' GROUP BY 1, 2
    """,
    "ALTER TABLE loadouts ADD COLUMN emotes json NOT NULL DEFAULT '[]',"
    " ADD COLUMN settings json NOT NULL DEFAULT '{}', ADD COLUMN region text NOT NULL DEFAULT ''",
    "ALTER TABLE sessions ADD COLUMN region text NOT NULL DEFAULT ''",
    "ALTER TABLE ledger ADD COLUMN request_id text",
    # Every second each region asks what the others wrote lately.
    "CREATE INDEX loadouts_by_time ON loadouts (stored_at)",
    "CREATE INDEX sessions_by_time ON sessions (stored_at)",
    "CREATE INDEX season_records_by_time ON season_records (stored_at)",
)

UNDOING = (
    "ALTER TABLE loadouts DROP COLUMN emotes, DROP COLUMN settings, DROP COLUMN region",
    "ALTER TABLE sessions DROP COLUMN region",
    "ALTER TABLE ledger DROP COLUMN request_id",
    "DROP INDEX loadouts_by_time",
    "DROP INDEX sessions_by_time",
)


def upgrade() -> None:
    """Create the tables, columns and indexes."""
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for change in CHANGES:
        op.execute(change)


def downgrade() -> None:
    """Drop them."""
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
    for change in UNDOING:
        op.execute(change)
