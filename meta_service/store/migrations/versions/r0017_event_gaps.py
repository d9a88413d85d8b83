"""Which log an offset is of, by its topic's id, and the gaps that consumers found in logs."""

from __future__ import annotations

from alembic import op

revision = "r0017_event_gaps"
down_revision: str | None = "r0016_newer_events"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create the table, and the column: NULL where an earlier version stored the offset."""
    op.execute("ALTER TABLE consumer_offsets ADD COLUMN topic_id uuid")
    op.execute(
        """
        CREATE TABLE event_gaps (
            gap_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            consumer     text        NOT NULL,
            topic        text        NOT NULL,
            partition    integer     NOT NULL,
            finding      text        NOT NULL CHECK (finding IN ('cut', 'replaced', 'truncated')),
            from_offset  bigint      NOT NULL,
            to_offset    bigint      NOT NULL,
            missing      bigint,
            topic_id     uuid,
            noticed_at   timestamptz NOT NULL
        )
        """
    )
    # Two members of a group that find a gap at once write it once.
    op.execute(
        """
        CREATE UNIQUE INDEX event_gaps_once ON event_gaps (
            consumer, topic, partition, finding, from_offset, to_offset,
            coalesce(topic_id, '00000000-0000-0000-0000-000000000000')
        )
        """
    )


def downgrade() -> None:
    """Drop both; an earlier version knows a log by its last record alone."""
    op.execute("DROP TABLE event_gaps")
    op.execute("ALTER TABLE consumer_offsets DROP COLUMN topic_id")
