"""Bans."""

from __future__ import annotations

revision = "r0021_bans"
down_revision: str | None = "r0020_accounts"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
