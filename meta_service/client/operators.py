"""Calls for operators. They need a token with the role operator; a viewer's is enough to look."""

from __future__ import annotations

from urllib.parse import urlencode

from meta_service.client.calls import Calls
from meta_service.messages.accounts import AccountExport, Deletion
from meta_service.messages.money import (
    CatalogueInForce,
    ItemOrder,
    ItemsMoved,
    MoneyMoved,
    MoneyOrder,
    OperatorStatement,
)
from meta_service.messages.operators import (
    Ban,
    BanRequest,
    Kicked,
    KickRequest,
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

    async def kick(self, player_id: int, reason: str) -> Kicked:
        """Put a player out of the match that they are in. May be repeated.

        Raises MetaUnavailableError or MetaRefusedError, its kind ``not-in-match`` for who is in none.
        """
        path = f"/v1/operator/players/{player_id}/kick"
        return await self.call("POST", path, Kicked, self.token, KickRequest(reason))

    async def lift_ban(self, player_id: int, reason: str) -> bool:
        """End a player's ban before its time; return whether one held."""
        path = f"/v1/operator/players/{player_id}/ban?{urlencode({'reason': reason})}"
        return (await self.call("DELETE", path, Lifted, self.token)).lifted

    async def export_player(self, player_id: int) -> AccountExport:
        """Everything that is held about a player."""
        path = f"/v1/operator/players/{player_id}/export"
        return await self.call("GET", path, AccountExport, self.token)

    async def delete_player(self, player_id: int, reason: str) -> Deletion:
        """Delete a player's account, for good. May be repeated."""
        path = f"/v1/operator/players/{player_id}?{urlencode({'reason': reason})}"
        return await self.call("DELETE", path, Deletion, self.token)

    async def grant_money(
        self, player_id: int, key: str, currency: str, amount: int, reason: str
    ) -> MoneyMoved:
        """Put money into a player's wallet, once for each ``key``, see `MoneyCalls.purchase`."""
        path, order = f"/v1/operator/players/{player_id}/grants", MoneyOrder(currency, amount, reason)
        return await self.call("POST", path, MoneyMoved, self.token, order, idempotency_key=key)

    async def debit_money(
        self, player_id: int, key: str, currency: str, amount: int, reason: str
    ) -> MoneyMoved:
        """Take money out of a player's wallet, once for each ``key``; refused where it holds less."""
        path, order = f"/v1/operator/players/{player_id}/debits", MoneyOrder(currency, amount, reason)
        return await self.call("POST", path, MoneyMoved, self.token, order, idempotency_key=key)

    async def give_items(
        self, player_id: int, key: str, item_id: str, reason: str, quantity: int = 1
    ) -> ItemsMoved:
        """Give a player pieces of an item, once for each ``key``; refused past the item's limit."""
        path, order = f"/v1/operator/players/{player_id}/items/grants", ItemOrder(item_id, reason, quantity)
        return await self.call("POST", path, ItemsMoved, self.token, order, idempotency_key=key)

    async def take_items(
        self, player_id: int, key: str, item_id: str, reason: str, quantity: int = 1
    ) -> ItemsMoved:
        """Take pieces of an item from a player, once for each ``key``; refused where there are fewer."""
        path, order = f"/v1/operator/players/{player_id}/items/takes", ItemOrder(item_id, reason, quantity)
        return await self.call("POST", path, ItemsMoved, self.token, order, idempotency_key=key)

    async def player_statement(
        self,
        player_id: int,
        *,
        before: int | None = None,
        movements_before: int | None = None,
        limit: int = 50,
    ) -> OperatorStatement:
        """How a player came by what they have, newest first: entries of the ledger, movements of items."""
        asked = {"before": before, "movements_before": movements_before, "limit": limit}
        page = urlencode({name: value for name, value in asked.items() if value is not None})
        path = f"/v1/operator/players/{player_id}/statement?{page}"
        return await self.call("GET", path, OperatorStatement, self.token)

    async def reload_catalogue(self) -> CatalogueInForce:
        """Have the store's catalogue read again now, and put in force if it makes sense."""
        return await self.call("POST", "/v1/operator/catalogue/reload", CatalogueInForce, self.token)

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
