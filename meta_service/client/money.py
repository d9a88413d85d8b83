"""Calls about money and goods. While the global store is away they raise MetaUnavailableError: repeat with the same key."""

from __future__ import annotations

from uuid import UUID

from meta_service.client.answers import (
    Catalogue,
    CatalogueItem,
    Grant,
    Inventory,
    LedgerEntry,
    OwnedItem,
    Purchase,
    Refund,
    Statement,
    Wallet,
)
from meta_service.client.calls import Calls


class MoneyCalls(Calls):
    """The store, the wallet and the inventory of the player whose session token is given."""

    async def catalogue(self, session_token: str) -> list[CatalogueItem]:
        """What is for sale."""
        return (await self.call("GET", "/v1/store/catalogue", Catalogue, session_token)).items

    async def purchase(
        self, session_token: str, key: str, item_id: str, quantity: int = 1, unit_price: int | None = None
    ) -> Purchase:
        """Buy, once for each ``key`` (8 to 64 characters), which the caller makes up and keeps until it has an answer."""
        body = {"item_id": item_id, "quantity": quantity, "unit_price": unit_price}
        return await self.call(
            "POST", "/v1/store/purchases", Purchase, session_token, body, idempotency_key=key
        )

    async def refund(self, session_token: str, purchase_id: UUID) -> Refund:
        """Give one's own purchase back, within its time."""
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
        body = {"player_id": str(player_id), "currency": currency, "amount": amount, "reason": reason}
        return await self.call("POST", "/v1/internal/grants", Grant, self.token, body, idempotency_key=key)

    async def refund_for_player(self, purchase_id: UUID) -> Refund:
        """Give a player's purchase back, whatever the time; for services."""
        body = {"purchase_id": str(purchase_id)}
        return await self.call("POST", "/v1/internal/refunds", Refund, self.token, body)
