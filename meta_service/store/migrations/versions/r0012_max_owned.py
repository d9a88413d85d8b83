"""The catalogue's limit of pieces a player gets the word that limits have everywhere: ``max_owned``."""

from __future__ import annotations

from alembic import op

revision = "r0012_max_owned"
down_revision: str | None = "r0011_outbox"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Rename the column."""
    op.execute("ALTER TABLE catalogue RENAME COLUMN most_owned TO max_owned")


def downgrade() -> None:
    """Give it its old name back."""
    op.execute("ALTER TABLE catalogue RENAME COLUMN max_owned TO most_owned")
