"""Which tokens of a session were used, when a match ended by its server's word, and how long seasons were."""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly

revision = "r0015_sessions_and_seasons"
down_revision: str | None = "r0014_one_trip"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

COLUMNS = (
    # The newest generation of a session of which a token was used.
    "ALTER TABLE sessions ADD COLUMN IF NOT EXISTS seen bigint NOT NULL DEFAULT 0",
    # NULL: the server did not say; then the commit's time stands for it.
    "ALTER TABLE match_history ADD COLUMN IF NOT EXISTS match_ended_at timestamptz",
)

# The windows by which season_records was summed up; one that differs from the table of seasons is summed up
# anew.
_SEASON_WINDOWS = """
    CREATE TABLE season_windows (
        season     text        PRIMARY KEY,
        starts_at  timestamptz NOT NULL,
        ends_at    timestamptz NOT NULL
    )
"""


def upgrade() -> None:
    """Add the columns and the table."""
    briefly(*COLUMNS)
    op.execute(_SEASON_WINDOWS)


def downgrade() -> None:
    """Drop them."""
    briefly(
        "ALTER TABLE match_history DROP COLUMN IF EXISTS match_ended_at",
        "ALTER TABLE sessions DROP COLUMN IF EXISTS seen",
    )
    op.execute("DROP TABLE season_windows")
