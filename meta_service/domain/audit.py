"""What operators did: each act is noted in the transaction that does it, and is never changed."""

from __future__ import annotations

import json
from typing import Any

from launchday.telemetry import request_id
from meta_service.messages.base import PlayerId
from meta_service.messages.operators import OperatorAction
from meta_service.store.store import Store

_ACTIONS = """
SELECT action_no, operator, action, player_id, reason, detail::text AS detail,
    extract(epoch FROM done_at)::float8 AS done_at, coalesce(request_id, '') AS request_id
FROM operator_actions
WHERE action_no < $1 AND ($2::bigint IS NULL OR player_id = $2) AND ($3::text IS NULL OR operator = $3)
ORDER BY action_no DESC LIMIT $4
"""


_NOTE = "SELECT audit_note($1, $2, $3, $4, $5::text::jsonb, $6, $7)"


class Audit:
    """Reads the notes, and writes those of acts that change nothing in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def actions(
        self, player_id: int | None, operator: str | None, before: int, limit: int
    ) -> list[OperatorAction]:
        """Acts older than ``before``, the newest first, at most ``limit``. Raises StoreUnavailableError.

        Args:
            player_id: only those that touched this player; None: all.
            operator: only those of this operator; None: all.
            before: an ``action_no``.
            limit: most.
        """
        rows = await self._store.read_page(
            _ACTIONS,
            lambda below, most: (below, player_id, operator, most),
            *("action_no", before, limit),
        )
        return [_as_message(row) for row in rows]

    async def note(
        self,
        operator: str,
        action: str,
        player_id: int | None,
        reason: str,
        detail: dict[str, Any],
        now: float,
    ) -> None:
        """Note what an operator does outside of the store, before it is done. Raises StoreUnavailableError.

        An act on the store is noted in its own transaction instead, by the same function of the store.
        """
        await self._store.change(
            _NOTE, operator, action, player_id, reason, json.dumps(detail), now, request_id() or None
        )


def _as_message(row: Any) -> OperatorAction:
    fields = dict(row)
    player_id = fields["player_id"]
    fields["player_id"] = None if player_id is None else PlayerId(player_id)
    fields["detail"] = json.loads(fields["detail"])
    return OperatorAction(**fields)
