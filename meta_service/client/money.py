"""Calls about money and goods. Without the store they raise MetaUnavailableError: repeat with one key."""

from __future__ import annotations

from uuid import UUID

from meta_service.client.calls import Calls
from meta_service.messages.base import PlayerId
from meta_service.messages.money import (
    Catalogue,
    CatalogueItem,
    Grant,
    GrantRequest,
    Inventory,
    LedgerEntry,
    OwnedItem,
    Purchase,
    PurchaseRequest,
    Refund,
    RefundRequest,
    Statement,
    Wallet,
)


class MoneyCalls(Calls):
    """The store, the wallet and the inventory of the player whose session token is given."""

    async def catalogue(self, session_token: str) -> list[CatalogueItem]:
        """What is for sale."""
        return (await self.call("GET", "/v1/store/catalogue", Catalogue, session_token)).items

    async def purchase(
        self, session_token: str, key: str, item_id: str, quantity: int = 1, unit_price: int | None = None
    ) -> Purchase:
        """Buy, once for each ``key``.

        Args:
            session_token: whose purchase it is.
            key: 8 to 64 characters that the caller makes up, and sends again until it has an answer.
            item_id: of the catalogue.
            quantity: pieces.
            unit_price: the price that the player saw; another one is refused. None: any price.
        """
        body = PurchaseRequest(item_id, quantity, unit_price)
        return await self.call(
            "POST", "/v1/store/purchases", Purchase, session_token, body, idempotency_key=key
        )

    async def refund(self, session_token: str, purchase_id: UUID) -> Refund:
        """Give the player's own purchase back, within its time."""
        return await self.call("POST", f"/v1/store/purchases/{purchase_id}/refund", Refund, session_token)

    async def wallet(self, session_token: str) -> dict[str, int]:
        """Balances by currency, from the store itself."""
        return (await self.call("GET", "/v1/wallet", Wallet, session_token)).balances

    async def statement(
        self, session_token: str, *, before: int | None = None, limit: int = 50
    ) -> list[LedgerEntry]:
        """Ledger entries, newest first; ``before`` is the last entry's number of the page before."""
        page = f"?limit={limit}" + (f"&before={before}" if before is not None else "")
        return (await self.call("GET", f"/v1/wallet/entries{page}", Statement, session_token)).entries

    async def inventory(self, session_token: str) -> list[OwnedItem]:
        """What the player owns."""
        return (await self.call("GET", "/v1/inventory", Inventory, session_token)).items

    async def grant(self, key: str, player_id: int, currency: str, amount: int, reason: str) -> Grant:
        """Put money into a wallet, once for each ``key``; for services."""
        body = GrantRequest(PlayerId(player_id), currency, amount, reason)
        return await self.call("POST", "/v1/internal/grants", Grant, self.token, body, idempotency_key=key)

    async def refund_for_player(self, purchase_id: UUID) -> Refund:
        """Give a player's purchase back, whatever the time; for services."""
        body = RefundRequest(purchase_id)
        return await self.call("POST", "/v1/internal/refunds", Refund, self.token, body)
