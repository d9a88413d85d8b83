"""Passwords, and which session of each account is the live one."""

from __future__ import annotations

from alembic import op

revision = "r0003_sessions"
down_revision: str | None = "r0002_money"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    "credentials": """
        player_id      bigint PRIMARY KEY,
        name           text   NOT NULL UNIQUE,
        password_hash  text   NOT NULL
    """,
    # Written behind; the newest version wins, whenever it arrives.
    "sessions": """
        player_id   bigint      PRIMARY KEY,
        session_id  text        NOT NULL,
        generation  bigint      NOT NULL,
        state       text        NOT NULL CHECK (state IN ('live', 'revoked')),
        version     bigint      NOT NULL,
        stored_at   timestamptz NOT NULL DEFAULT now()
    """,
}


def upgrade() -> None:
    """Create the tables."""
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")


def downgrade() -> None:
    """Drop them."""
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
