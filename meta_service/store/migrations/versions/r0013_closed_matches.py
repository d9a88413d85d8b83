"""A check-out may end because its match was given up: ``closed``, and then no result of it is taken."""

from __future__ import annotations

from meta_service.store.migrations.locks import constraint, in_batches

revision = "r0013_closed_matches"
down_revision: str | None = "r0012_max_owned"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

_NAME = "match_history_outcome_check"

_CLOSED_AS_EXPIRED = """
    UPDATE match_history SET outcome = 'expired'
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM match_history WHERE outcome = 'closed' LIMIT 5000))
"""


def upgrade() -> None:
    """Allow the outcome."""
    constraint("match_history", _NAME, "CHECK (outcome IN ('committed', 'expired', 'refused', 'closed'))")


def downgrade() -> None:
    """Count closed check-outs as expired, as a version without them does."""
    in_batches(_CLOSED_AS_EXPIRED)
    constraint("match_history", _NAME, "CHECK (outcome IN ('committed', 'expired', 'refused'))")
