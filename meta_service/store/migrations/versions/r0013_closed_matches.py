"""A check-out may end because its match was given up: ``closed``, and then no result of it is taken."""

from __future__ import annotations

from alembic import op

revision = "r0013_closed_matches"
down_revision: str | None = "r0012_max_owned"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

_REPLACE = """
    ALTER TABLE match_history
        DROP CONSTRAINT match_history_outcome_check,
        ADD CONSTRAINT match_history_outcome_check CHECK (outcome IN ({outcomes}))
"""


def upgrade() -> None:
    """Allow the outcome."""
    op.execute(_REPLACE.format(outcomes="'committed', 'expired', 'refused', 'closed'"))


def downgrade() -> None:
    """Count closed check-outs as expired, as a version without them does."""
    op.execute("UPDATE match_history SET outcome = 'expired' WHERE outcome = 'closed'")
    op.execute(_REPLACE.format(outcomes="'committed', 'expired', 'refused'"))
