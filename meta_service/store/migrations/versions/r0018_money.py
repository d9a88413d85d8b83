"""Who moved money and items, and what they own in which version."""

from __future__ import annotations

revision = "r0018_money"
down_revision: str | None = "r0017_event_gaps"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
