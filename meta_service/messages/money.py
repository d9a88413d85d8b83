"""Messages about money and goods. Amounts are whole numbers of a currency's smallest unit."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from meta_service.messages.base import END, Message, PlayerId, Slug
from meta_service.messages.operators import Reason as OperatorReason
from meta_service.messages.operators import check_reason

MAX_AMOUNT = 2**40  # times the largest quantity it still is a 63-bit number
MAX_QUANTITY = 1000

Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT, examples=[800])]
Reason = Annotated[str, Meta(pattern=rf"^[ -~]{{1,100}}{END}", examples=["season reward"])]


class CatalogueItem(Message, frozen=True):
    """One thing for sale."""

    item_id: Annotated[str, Meta(examples=["nightfall"])]
    kind: Annotated[str, Meta(examples=["skin"])]
    title: str
    currency: Annotated[str, Meta(examples=["coins"])]
    price: int
    stock: Annotated[int | None, Meta(description="Pieces left for all players; null: unlimited.")]
    max_owned: Annotated[int, Meta(description="Pieces that one player may own.")]
    refundable_s: Annotated[
        int, Meta(description="Seconds after the purchase in which it can be given back.")
    ]


class Catalogue(Message, frozen=True):
    """All that is for sale now."""

    items: list[CatalogueItem]


class PurchaseRequest(Message, frozen=True, omit_defaults=True):
    """What the player wants to buy."""

    item_id: Slug
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] = 1
    unit_price: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_AMOUNT)] | None,
        Meta(description="The price the player saw; another one is refused."),
    ] = None


class Purchase(Message, frozen=True):
    """A purchase as it was made; a repeat under the same key gets the very same answer."""

    purchase_id: UUID
    item_id: str
    quantity: int
    currency: str
    paid: int
    balance: Annotated[int, Meta(description="What the wallet held right after it.")]
    owned: Annotated[int, Meta(description="Pieces the player owned right after it.")]
    purchased_at: float


class Refund(Message, frozen=True):
    """A purchase that was given back."""

    purchase_id: UUID
    player_id: PlayerId
    currency: str
    refunded: int
    balance: int


class RefundRequest(Message, frozen=True):
    """A service gives a purchase back for its player, whatever the time."""

    purchase_id: UUID


class GrantRequest(Message, frozen=True):
    """A service puts money into a wallet."""

    player_id: PlayerId
    currency: Slug
    amount: Amount
    reason: Reason


class Grant(Message, frozen=True):
    """Money that was put into a wallet."""

    transfer_id: UUID
    player_id: PlayerId
    currency: str
    amount: int
    balance: int


class Wallet(Message, frozen=True):
    """Balances by currency, from the store itself."""

    balances: Annotated[dict[str, int], Meta(examples=[{"coins": 1200}])]


class LedgerEntry(Message, frozen=True):
    """One change of a wallet."""

    entry_no: int
    transfer_id: UUID
    currency: str
    amount: Annotated[int, Meta(description="Positive: received; negative: spent.")]
    reason: str
    booked_at: float
    actor: Annotated[
        str,
        Meta(
            description="Who made it: player, service or operator, to operators with a name after a colon; "
            "empty for entries of an earlier release."
        ),
    ] = ""
    item_id: Annotated[str | None, Meta(description="What was bought or given back.")] = None
    quantity: Annotated[int | None, Meta(description="Pieces of it.")] = None


class Statement(Message, frozen=True):
    """Changes of the player's wallets, newest first."""

    entries: list[LedgerEntry]


class OwnedItem(Message, frozen=True):
    """Something the player owns."""

    item_id: str
    quantity: int
    acquired_at: float


class Inventory(Message, frozen=True):
    """All that the player owns."""

    items: list[OwnedItem]


class MoneyOrder(Message, frozen=True):
    """An operator puts money into a wallet, or takes it out of it."""

    currency: Slug
    amount: Amount
    reason: OperatorReason

    def __post_init__(self) -> None:
        check_reason(self.reason)


class MoneyMoved(Message, frozen=True):
    """Money that an operator gave or took."""

    transfer_id: UUID
    player_id: PlayerId
    currency: str
    amount: Annotated[int, Meta(description="Positive: given; negative: taken.")]
    balance: Annotated[int, Meta(description="What the wallet held right after it.")]


class ItemOrder(Message, frozen=True):
    """An operator gives pieces of an item, or takes them."""

    item_id: Slug
    reason: OperatorReason
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)] = 1

    def __post_init__(self) -> None:
        check_reason(self.reason)


class ItemsMoved(Message, frozen=True):
    """Pieces of an item that an operator gave or took."""

    transfer_id: UUID
    player_id: PlayerId
    item_id: str
    quantity: Annotated[int, Meta(description="Positive: given; negative: taken.")]
    owned: Annotated[int, Meta(description="Pieces the player owned right after it.")]


class ItemMovement(Message, frozen=True):
    """One change of what a player owns."""

    entry_no: int
    transfer_id: UUID
    item_id: str
    quantity: Annotated[int, Meta(description="Positive: received; negative: given back or taken.")]
    reason: str
    actor: str
    booked_at: float


class OperatorStatement(Message, frozen=True):
    """All changes of what a player has, newest first: money and items, each with pages of its own."""

    entries: list[LedgerEntry]
    movements: list[ItemMovement]


class CatalogueInForce(Message, frozen=True):
    """The catalogue that is in force now."""

    items: Annotated[int, Meta(description="How many there are, for sale or not.")]
    mark: Annotated[str, Meta(description="Names what can be worn; the same in every process.")]
