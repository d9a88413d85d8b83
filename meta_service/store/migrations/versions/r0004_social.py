"""Friends, season records, the rest of a loadout, the region that wrote a row, the request of a transfer."""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly, drop_index_concurrently, index_concurrently

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

COLUMNS = (
    "ALTER TABLE loadouts ADD COLUMN IF NOT EXISTS emotes json NOT NULL DEFAULT '[]',"
    " ADD COLUMN IF NOT EXISTS settings json NOT NULL DEFAULT '{}',"
    " ADD COLUMN IF NOT EXISTS region text NOT NULL DEFAULT ''",
    "ALTER TABLE sessions ADD COLUMN IF NOT EXISTS region text NOT NULL DEFAULT ''",
    "ALTER TABLE ledger ADD COLUMN IF NOT EXISTS request_id text",
)

# Of the new tables: nobody else sees them yet.
CHANGES = (
    "CREATE INDEX friendships_by_high ON friendships (high_id)",
    """
    INSERT INTO season_records (season, player_id, matches, wins, kills)
    SELECT to_char(ended_at AT TIME ZONE 'UTC', 'YYYY"-q"Q'), player_id,
        count(*), count(*) FILTER (WHERE placement = 1), sum(kills)
    FROM match_history WHERE outcome = 'committed' GROUP BY 1, 2
    """,
    "CREATE INDEX season_records_by_time ON season_records (stored_at)",
)

UNDOING = (
    "ALTER TABLE loadouts DROP COLUMN IF EXISTS emotes, DROP COLUMN IF EXISTS settings,"
    " DROP COLUMN IF EXISTS region",
    "ALTER TABLE sessions DROP COLUMN IF EXISTS region",
    "ALTER TABLE ledger DROP COLUMN IF EXISTS request_id",
)


def upgrade() -> None:
    """Create the columns, indexes and tables."""
    briefly(*COLUMNS)
    # Every second each region asks what the others wrote lately.
    index_concurrently("loadouts_by_time", "ON loadouts (stored_at)")
    index_concurrently("sessions_by_time", "ON sessions (stored_at)")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for change in CHANGES:
        op.execute(change)


def downgrade() -> None:
    """Drop them."""
    drop_index_concurrently("loadouts_by_time")
    drop_index_concurrently("sessions_by_time")
    briefly(*UNDOING)
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
