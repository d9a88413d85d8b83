"""Challenges, season passes, events to be sent, and which matches have been rated."""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly

revision = "r0010_progression"
down_revision: str | None = "r0004_social"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    # A challenge starts again with each period: a match, a day, a season; or never.
    "challenge_progress": """
        player_id  bigint NOT NULL,
        challenge  text   NOT NULL,
        period     text   NOT NULL,
        count      bigint NOT NULL,
        completed  boolean NOT NULL,
        PRIMARY KEY (player_id, challenge, period)
    """,
    "season_progress": """
        player_id  bigint  NOT NULL,
        season     text    NOT NULL,
        xp         bigint  NOT NULL,
        tier       integer NOT NULL,
        PRIMARY KEY (player_id, season)
    """,
    # Events that a transaction made: sent to Kafka after it, and then deleted.
    "event_outbox": """
        event_id  uuid  PRIMARY KEY,
        envelope  bytea NOT NULL
    """,
    # A match is rated once, however many results of it arrive.
    "rated_matches": """
        match_id  uuid PRIMARY KEY,
        mode      text NOT NULL
    """,
}


def upgrade() -> None:
    """Create the tables; ratings get their time of change, to update the cache after a crash."""
    briefly("ALTER TABLE ratings ADD COLUMN IF NOT EXISTS updated_at timestamptz NOT NULL DEFAULT now()")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")


def downgrade() -> None:
    """Drop them."""
    briefly("ALTER TABLE ratings DROP COLUMN IF EXISTS updated_at")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
