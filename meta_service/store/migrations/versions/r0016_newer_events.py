"""Events that are newer than the program that read them, kept until one that knows them takes them up.

With their bytes, and not only their place in the log: a version that was taken back may come again later than
the log keeps its records.
"""

from __future__ import annotations

from alembic import op

revision = "r0016_newer_events"
down_revision: str | None = "r0015_sessions_and_seasons"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

STATEMENTS = (
    # entry_no is the order in which they were read, also of a topic that was made anew and counts from 0.
    """
    CREATE TABLE newer_events (
        entry_no       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        event_id       uuid        NOT NULL UNIQUE,
        topic          text        NOT NULL,
        partition      integer     NOT NULL,
        record_offset  bigint      NOT NULL,
        key            bytea,
        envelope       bytea       NOT NULL,
        timestamp_ms   bigint      NOT NULL,
        newer          text        NOT NULL,
        is_result      boolean     NOT NULL,
        kept_at        timestamptz NOT NULL
    )
    """,
    # Each result asks whether one waits before it.
    "CREATE INDEX newer_results ON newer_events (entry_no) WHERE is_result",
)


def upgrade() -> None:
    """Create the table."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it: what waits is lost to rewards, and is found again only by reading the log anew."""
    op.execute("DROP TABLE newer_events")
