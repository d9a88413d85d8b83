"""The answers of the meta service, as a caller gets them. Ids are numbers, times Unix seconds."""

from __future__ import annotations

from uuid import UUID

import msgspec


class Session(msgspec.Struct, frozen=True):
    """A logged-in player: the token opens the player's routes until ``expires_at`` (Unix seconds).

    ``refresh_token`` is exchanged for the next login, once, before ``refresh_expires_at``.
    """

    player_id: int
    session_token: str
    expires_at: float
    created: bool
    refresh_token: str = ""
    refresh_expires_at: float = 0.0


class Skill(msgspec.Struct, frozen=True):
    """Mean and standard deviation of a player's skill."""

    mu: float
    sigma: float


class Profile(msgspec.Struct, frozen=True):
    """A player's profile; ``sync`` tells whether the loadout of this ``version`` is ``pending`` or ``synced``."""

    player_id: int
    display_name: str
    skin: str
    level: int
    xp: int
    version: int
    sync: str
    ratings: dict[str, Skill]
    balances: dict[str, int] = {}
    emotes: list[str] = []
    settings: dict[str, bool | int | float | str] = {}
    home: str = ""


class Loadout(msgspec.Struct, frozen=True):
    """An accepted loadout, as a whole."""

    skin: str
    version: int
    sync: str
    emotes: list[str] = []
    settings: dict[str, bool | int | float | str] = {}


class CheckedOut(msgspec.Struct, frozen=True):
    """A player leased to us; ``fence`` goes back with the commit."""

    player_id: int
    fence: int
    skin: str
    level: int


class CheckoutRefusal(msgspec.Struct, frozen=True):
    """A player we did not get: ``checked-out`` or ``already-committed`` (by ``held_by``), or ``unknown-player``."""

    player_id: int
    reason: str
    held_by: str


class CheckoutResponse(msgspec.Struct, frozen=True):
    """Every player asked for, in one of the two lists."""

    checked_out: list[CheckedOut]
    refused: list[CheckoutRefusal]


class CommitRefusal(msgspec.Struct, frozen=True):
    """A result not taken: ``stale-fence``, ``foreign-fence`` or ``not-checked-out``."""

    player_id: int
    reason: str


class CommitResponse(msgspec.Struct, frozen=True):
    """Every player of the commit, in one of the two lists."""

    committed: list[int]
    refused: list[CommitRefusal]


class MetaCounters(msgspec.Struct, frozen=True):
    """Durable counters: check-outs = commits + expired + open."""

    checkouts: int
    commits: int
    expired: int
    open: int
    writebehind_depth: int
    writebehind_written: int
    writebehind_refused: int
    writebehind_rejected: int
    writebehind_age_ms: int = 0
    writebehind_lag_ms: int = 0


class Skills(msgspec.Struct, frozen=True):
    """Skill by player id."""

    skills: dict[int, Skill]


class Purchase(msgspec.Struct, frozen=True):
    """A purchase as it was made the first time it was asked for under its key."""

    purchase_id: UUID
    item_id: str
    quantity: int
    currency: str
    paid: int
    balance: int
    owned: int
    purchased_at: float


class Refund(msgspec.Struct, frozen=True):
    """A purchase that was given back."""

    purchase_id: UUID
    player_id: int
    currency: str
    refunded: int
    balance: int


class Grant(msgspec.Struct, frozen=True):
    """Money that was put into a wallet."""

    transfer_id: UUID
    player_id: int
    currency: str
    amount: int
    balance: int


class CatalogueItem(msgspec.Struct, frozen=True):
    """One thing for sale; ``stock`` None: unlimited."""

    item_id: str
    kind: str
    title: str
    currency: str
    price: int
    stock: int | None
    most_owned: int
    refundable_s: int


class LedgerEntry(msgspec.Struct, frozen=True):
    """One change of a wallet: received when ``amount`` is positive, spent when negative."""

    entry_no: int
    transfer_id: UUID
    currency: str
    amount: int
    reason: str
    booked_at: float


class OwnedItem(msgspec.Struct, frozen=True):
    """Something a player owns."""

    item_id: str
    quantity: int
    acquired_at: float


class Catalogue(msgspec.Struct, frozen=True):
    """All that is for sale."""

    items: list[CatalogueItem]


class Wallet(msgspec.Struct, frozen=True):
    """Balances by currency."""

    balances: dict[str, int]


class Statement(msgspec.Struct, frozen=True):
    """Ledger entries, newest first."""

    entries: list[LedgerEntry]


class Inventory(msgspec.Struct, frozen=True):
    """All that a player owns."""

    items: list[OwnedItem]


class Ended(msgspec.Struct, frozen=True):
    """Whether a live session was ended."""

    ended: bool


class Account(msgspec.Struct, frozen=True):
    """An account that has a password."""

    player_id: int
    name: str
