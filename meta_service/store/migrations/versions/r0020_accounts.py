"""Names, devices and platforms of accounts."""

from __future__ import annotations

revision = "r0020_accounts"
down_revision: str | None = "r0019_progress_gives"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
