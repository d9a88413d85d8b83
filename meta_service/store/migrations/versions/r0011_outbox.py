"""The outbox: what happened to players, written in the transaction that makes it so, to become an event.

A relay sends a row to the event bus and then deletes it. What was rolled back never was in the outbox.
"""

from __future__ import annotations

from alembic import op

revision = "r0011_outbox"
down_revision: str | None = "r0010_progression"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    # What was bought is in the purchase itself.
    "purchase_outbox": """
        purchase_id  uuid PRIMARY KEY,
        region       text NOT NULL
    """,
    # One row a batch of the write-behind, the arrays in step: a row a player would cost as much again as the
    # loadouts themselves.
    "loadout_outbox": """
        entry_no    bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        player_ids  bigint[]    NOT NULL,
        skins       text[]      NOT NULL,
        versions    bigint[]    NOT NULL,
        regions     text[]      NOT NULL,
        stored_at   timestamptz NOT NULL
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
