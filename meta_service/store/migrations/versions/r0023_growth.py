"""Tables that grow have an end."""

from __future__ import annotations

revision = "r0023_growth"
down_revision: str | None = "r0022_social"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
