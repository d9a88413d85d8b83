"""Bodies of the requests and answers about money and goods. Amounts are whole numbers of a currency's smallest unit."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from meta_service.messages.base import Message, PlayerId, PlayerIdText, Slug
from meta_service.store.catalogue import MAX_QUANTITY

MAX_AMOUNT = 2**40

Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, strict=True, examples=[800])]
Reason = Annotated[str, Field(pattern=r"^[ -~]{1,100}$", examples=["season reward"])]


class CatalogueItem(Message):
    """One thing for sale."""

    item_id: str = Field(examples=["nightfall"])
    kind: str = Field(examples=["skin"])
    title: str
    currency: str = Field(examples=["coins"])
    price: int
    stock: int | None = Field(description="Pieces left for all players; null: unlimited.")
    most_owned: int = Field(description="Pieces that one player may own.")
    refundable_s: int = Field(description="Seconds after the purchase in which it can be given back.")


class Catalogue(Message):
    """All that is for sale now."""

    items: list[CatalogueItem]


class PurchaseRequest(Message):
    """What the player wants to buy."""

    item_id: Slug
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY, strict=True)] = 1
    unit_price: Annotated[
        int | None,
        Field(
            ge=0, le=MAX_AMOUNT, strict=True, description="The price the player saw; another one is refused."
        ),
    ] = None


class Purchase(Message):
    """A purchase as it was made; a repeat under the same key gets the very same answer."""

    purchase_id: UUID
    item_id: str
    quantity: int
    currency: str
    paid: int
    balance: int = Field(description="What the wallet held right after it.")
    owned: int = Field(description="Pieces the player owned right after it.")
    purchased_at: float


class Refund(Message):
    """A purchase that was given back."""

    purchase_id: UUID
    player_id: PlayerIdText
    currency: str
    refunded: int
    balance: int


class RefundRequest(Message):
    """A service gives a purchase back for its player, whatever the time."""

    purchase_id: UUID


class GrantRequest(Message):
    """A service puts money into a wallet."""

    player_id: PlayerId
    currency: Slug
    amount: Amount
    reason: Reason


class Grant(Message):
    """Money that was put into a wallet."""

    transfer_id: UUID
    player_id: PlayerIdText
    currency: str
    amount: int
    balance: int


class Wallet(Message):
    """What the player has, from the store itself."""

    balances: dict[str, int] = Field(examples=[{"coins": 1200}])


class LedgerEntry(Message):
    """One change of a wallet."""

    entry_no: int
    transfer_id: UUID
    currency: str
    amount: int = Field(description="Positive: received; negative: spent.")
    reason: str
    booked_at: float


class Statement(Message):
    """Changes of the player's wallets, newest first."""

    entries: list[LedgerEntry]


class OwnedItem(Message):
    """Something the player owns."""

    item_id: str
    quantity: int
    acquired_at: float


class Inventory(Message):
    """All that the player owns."""

    items: list[OwnedItem]
