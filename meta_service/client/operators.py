"""Calls for operators. They need a token with the role operator; a viewer's is enough to look."""

from __future__ import annotations

from urllib.parse import urlencode

from meta_service.client.calls import Calls
from meta_service.messages.operators import (
    Ban,
    BanRequest,
    Lifted,
    OperatorAction,
    OperatorActions,
    PlayerStatus,
)


class OperatorCalls(Calls):
    """What operators see of players and do to them. Each act is noted, and read with ``audit``."""

    async def player(self, player_id: int) -> PlayerStatus:
        """A player as operators see them."""
        return await self.call("GET", f"/v1/operator/players/{player_id}", PlayerStatus, self.token)

    async def ban(self, player_id: int, reason: str, ends_at: float | None = None) -> Ban:
        """Ban a player until ``ends_at`` (Unix seconds), or for good. May be repeated."""
        path = f"/v1/operator/players/{player_id}/ban"
        return await self.call("PUT", path, Ban, self.token, BanRequest(reason, ends_at))

    async def lift_ban(self, player_id: int, reason: str) -> bool:
        """End a player's ban before its time; return whether one held."""
        path = f"/v1/operator/players/{player_id}/ban?{urlencode({'reason': reason})}"
        return (await self.call("DELETE", path, Lifted, self.token)).lifted

    async def audit(
        self,
        *,
        player_id: int | None = None,
        operator: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[OperatorAction]:
        """What operators did, the newest first; ``before`` is the last ``action_no`` of the page before."""
        asked = {"player_id": player_id, "operator": operator, "before": before, "limit": limit}
        page = urlencode({name: value for name, value in asked.items() if value is not None})
        return (await self.call("GET", f"/v1/operator/audit?{page}", OperatorActions, self.token)).actions
