"""Accounts, loadouts, match history, and what the rewards consumer keeps.

Rows arrive in any order, from any number of writers, so no table refers to another by a foreign key: a
loadout may be stored before its account. Each statement that writes decides by version, by fence, or by
inbox which row may replace which.
"""

from __future__ import annotations

from alembic import op

revision = "r0001"
down_revision: str | None = None
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    "accounts": """
        player_id     bigint      PRIMARY KEY CHECK (player_id > 0),
        device_hash   bytea       NOT NULL,
        display_name  text        NOT NULL,
        created_at    timestamptz NOT NULL
    """,
    # The newest version wins, whenever it arrives.
    "loadouts": """
        player_id     bigint      PRIMARY KEY,
        skin          text        NOT NULL,
        version       bigint      NOT NULL,
        stored_at     timestamptz NOT NULL DEFAULT now()
    """,
    # One row a check-out. A commit may overtake its check-out, hence the columns that may be null.
    "match_history": """
        player_id       bigint NOT NULL,
        fence           bigint NOT NULL,
        match_id        uuid   NOT NULL,
        server          text,
        region          text,
        checked_out_at  timestamptz,
        lease_until     timestamptz,
        outcome         text CHECK (outcome IN ('committed', 'expired', 'refused')),
        placement       integer,
        kills           integer,
        played_s        real,
        ended_at        timestamptz,
        PRIMARY KEY (player_id, fence)
    """,
    "progression": """
        player_id   bigint      PRIMARY KEY,
        xp          bigint      NOT NULL DEFAULT 0,
        level       integer     NOT NULL DEFAULT 1,
        kills       bigint      NOT NULL DEFAULT 0,
        deaths      bigint      NOT NULL DEFAULT 0,
        matches     bigint      NOT NULL DEFAULT 0,
        updated_at  timestamptz NOT NULL DEFAULT now()
    """,
    "ratings": """
        player_id  bigint           NOT NULL,
        mode       text             NOT NULL,
        mu         double precision NOT NULL,
        sigma      double precision NOT NULL,
        matches    bigint           NOT NULL DEFAULT 0,
        PRIMARY KEY (player_id, mode)
    """,
    # Which events have had their effect: written in the transaction that has it.
    "event_inbox": """
        event_id    uuid        PRIMARY KEY,
        topic       text        NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now()
    """,
    "consumer_offsets": """
        consumer     text    NOT NULL,
        topic        text    NOT NULL,
        partition    integer NOT NULL,
        next_offset  bigint  NOT NULL,
        PRIMARY KEY (consumer, topic, partition)
    """,
}


def upgrade() -> None:
    """Create every table."""
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    op.execute("CREATE INDEX match_history_by_match ON match_history (match_id)")


def downgrade() -> None:
    """Drop every table."""
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
