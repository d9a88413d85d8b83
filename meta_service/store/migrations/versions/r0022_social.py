"""Block lists and what was declined."""

from __future__ import annotations

revision = "r0022_social"
down_revision: str | None = "r0021_bans"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
