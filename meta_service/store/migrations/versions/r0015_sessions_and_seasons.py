"""Which tokens of a session were used, when a match ended by its server's word, and how long seasons were."""

from __future__ import annotations

from alembic import op

revision = "r0015_sessions_and_seasons"
down_revision: str | None = "r0014_one_trip"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

CHANGES = (
    # The newest generation of a session of which a token was used.
    "ALTER TABLE sessions ADD COLUMN seen bigint NOT NULL DEFAULT 0",
    # NULL: the server did not say; then the commit's time stands for it.
    "ALTER TABLE match_history ADD COLUMN match_ended_at timestamptz",
    # The windows by which season_records was summed up; one that differs from the table of seasons is summed
    # up anew.
    """
    CREATE TABLE season_windows (
        season     text        PRIMARY KEY,
        starts_at  timestamptz NOT NULL,
        ends_at    timestamptz NOT NULL
    )
    """,
)

UNDOING = (
    "DROP TABLE season_windows",
    "ALTER TABLE match_history DROP COLUMN match_ended_at",
    "ALTER TABLE sessions DROP COLUMN seen",
)


def upgrade() -> None:
    """Add the columns and the table."""
    for change in CHANGES:
        op.execute(change)


def downgrade() -> None:
    """Drop them."""
    for change in UNDOING:
        op.execute(change)
