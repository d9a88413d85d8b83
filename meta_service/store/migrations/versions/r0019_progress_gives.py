"""What progress has given, once each."""

from __future__ import annotations

revision = "r0019_progress_gives"
down_revision: str | None = "r0018_money"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
