"""The store that players buy from: purchases, refunds, grants, and what a player owns.

Each change is one function of the store, one transaction and one round trip: the idempotency key, the
stock, the wallet, the ledger, the inventory, all or nothing; see the migrations ``r0014_one_trip`` and
``r0018_money``. A wallet is the sum of its player's entries, kept so that a purchase need not add them up,
and what a player gains, a house account loses; what a player owns is the sum of the movements of it. Each
entry and movement says who made it: ``player``, ``service:NAME`` or ``operator:NAME``. The cache is sent
the new balance and what is owned after the commit: balances are never asked of it, what may be worn is.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.telemetry import request_id
from meta_service.cache.cache import Cache
from meta_service.domain import idempotency
from meta_service.domain.wardrobe import Wardrobe
from meta_service.errors import (
    InsufficientFundsError,
    KeyReusedError,
    NotRefundableError,
    OwnershipLimitError,
    PriceChangedError,
    RefusedError,
    SoldOutError,
    TooFewItemsError,
    UnknownCurrencyError,
    UnknownItemError,
    UnknownPlayerError,
    UnknownPurchaseError,
    WalletFullError,
)
from meta_service.store.store import Store

log = structlog.get_logger()

Answer = dict[str, Any]

REFUSALS: dict[str, type[RefusedError]] = {
    error.slug: error
    for error in (
        InsufficientFundsError,
        KeyReusedError,
        NotRefundableError,
        OwnershipLimitError,
        PriceChangedError,
        SoldOutError,
        TooFewItemsError,
        UnknownCurrencyError,
        UnknownItemError,
        UnknownPlayerError,
        UnknownPurchaseError,
        WalletFullError,
    )
}
"""What the store's functions refuse, by the name that they give it."""

KEY_REUSED = "this Idempotency-Key came with a different request: use a new key"

_BUY = "SELECT refusal, detail, done FROM shop_buy($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_CREDIT = (
    "SELECT refusal, detail, done FROM shop_credit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
_ITEMS = (
    "SELECT refusal, detail, done FROM shop_items($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
_REFUND = "SELECT refusal, detail, done FROM shop_give_back($1, $2, $3, $4, $5, $6)"

PLAYER_ACTOR = "player"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes what a player has, other than the player.

    Attributes:
        subject: of the token: the service's name, or the operator's.
        operator: an operator asks: each act is noted, in its own transaction.
    """

    subject: str
    operator: bool = False

    def __str__(self) -> str:
        return f"{'operator' if self.operator else 'service'}:{self.subject}"


class Shop:
    """Money and goods in the store; ``cache`` only shows them. Times are given, in Unix seconds.

    Everything raises StoreUnavailableError when the store does not answer; then repeat with the same key.
    """

    def __init__(self, store: Store, cache: Cache, clock: Clock, wardrobe: Wardrobe) -> None:
        self._store = store
        self._clock = clock
        self._cache = cache
        self._wardrobe = wardrobe

    async def warm(self) -> None:
        """Make the first purchase as quick as any, by one of nothing, which is refused."""
        nothing = (0, "warm", b"", self._clock.uuid(), "", 1, None, 0.0, "", "")
        await self._store.warm(_BUY, *nothing)

    async def catalogue(self) -> list[Answer]:
        """What is for sale now."""
        rows = await self._store.read("SELECT * FROM catalogue WHERE on_sale ORDER BY item_id")
        return [dict(row) for row in rows]

    async def wallet(self, player_id: int) -> dict[str, int]:
        """The player's balances by currency, from the store."""
        rows = await self._store.read(
            "SELECT currency, balance FROM wallets WHERE player_id = $1 ORDER BY currency", player_id
        )
        return {row["currency"]: row["balance"] for row in rows}

    async def statement(self, player_id: int, before: int, limit: int) -> list[Answer]:
        """The player's newest ledger entries with a number below ``before``, newest first."""
        rows = await self._store.read_page(
            "SELECT entry_no, transfer_id::text, currency, amount, reason, actor, item_id, quantity,"
            " extract(epoch FROM booked_at)::float8 AS booked_at"
            " FROM ledger WHERE account = $1 AND entry_no < $2 ORDER BY entry_no DESC LIMIT $3",
            lambda below, most: (player_id, below, most),
            *("entry_no", before, limit),
        )
        return [dict(row) for row in rows]

    async def movements(self, player_id: int, before: int, limit: int) -> list[Answer]:
        """The player's newest movements of items with a number below ``before``, newest first."""
        rows = await self._store.read_page(
            "SELECT entry_no, transfer_id::text, item_id, quantity, reason, actor,"
            " extract(epoch FROM booked_at)::float8 AS booked_at"
            " FROM item_movements WHERE player_id = $1 AND entry_no < $2 ORDER BY entry_no DESC LIMIT $3",
            lambda below, most: (player_id, below, most),
            *("entry_no", before, limit),
        )
        return [dict(row) for row in rows]

    async def inventory(self, player_id: int) -> list[Answer]:
        """What the player owns."""
        rows = await self._store.read(
            "SELECT item_id, quantity, extract(epoch FROM acquired_at)::float8 AS acquired_at"
            " FROM inventory WHERE player_id = $1 AND quantity > 0 ORDER BY item_id",
            player_id,
        )
        return [dict(row) for row in rows]

    async def purchase(
        self, player_id: int, key: str, item_id: str, quantity: int, unit_price: int | None, now: float
    ) -> Answer:
        """Buy, once for each key.

        Args:
            player_id: who buys.
            key: the Idempotency-Key.
            item_id: of the catalogue.
            quantity: pieces.
            unit_price: the price that the player saw; another one is refused. None: any price.
            now: Unix seconds.

        Raises a RefusedError, with nothing changed, when the item, its price, its stock, the wallet or the
        inventory forbids it.
        """
        asked = idempotency.request_hash(
            {"purchase": item_id, "quantity": quantity, "unit_price": unit_price}
        )
        answer = await self._change(
            _BUY,
            *(player_id, key, asked, self._clock.uuid(), item_id, quantity, unit_price, now),
            *(self._cache.region, request_id()),
        )
        await self._show(player_id, answer, now)
        return answer

    async def credit(
        self, player_id: int, key: str, currency: str, amount: int, reason: str, by: Actor, now: float
    ) -> Answer:
        """Put money into a wallet, or take it out of it; once for each key.

        Args:
            player_id: whose wallet.
            key: the Idempotency-Key, one of all services' or of all operators'.
            currency: of the list of currencies, or of an item.
            amount: positive: towards the player; negative: away from them.
            reason: why, for the ledger.
            by: who asks.
            now: Unix seconds.

        Raises UnknownPlayerError, UnknownCurrencyError, InsufficientFundsError or WalletFullError, with
        nothing written.
        """
        asked = idempotency.request_hash(
            {"grant": str(player_id), "currency": currency, "amount": amount, "reason": reason}
        )
        action = "grant" if amount > 0 else "debit"
        return await self._give(_CREDIT, player_id, key, asked, currency, amount, reason, by, action, now)

    async def move_items(
        self, player_id: int, key: str, item_id: str, quantity: int, reason: str, by: Actor, now: float
    ) -> Answer:
        """Give a player pieces of an item, or take them; once for each key.

        Args:
            player_id: whose.
            key: the Idempotency-Key, one of all services' or of all operators'.
            item_id: of the catalogue, for sale or not.
            quantity: pieces; positive: towards the player; negative: away from them.
            reason: why.
            by: who asks.
            now: Unix seconds.

        Raises UnknownPlayerError, UnknownItemError, OwnershipLimitError or TooFewItemsError, with nothing
        written.
        """
        asked = idempotency.request_hash(
            {"items": str(player_id), "item": item_id, "quantity": quantity, "reason": reason}
        )
        action = "give" if quantity > 0 else "take"
        return await self._give(_ITEMS, player_id, key, asked, item_id, quantity, reason, by, action, now)

    async def refund(
        self, purchase_id: UUID, now: float, player_id: int | None = None, by: Actor | None = None
    ) -> Answer:
        """Give a purchase's price back and take its goods; repeating it changes nothing and answers the same.

        Args:
            purchase_id: what to refund.
            now: Unix seconds.
            player_id: the player who asks; the purchase must be theirs and within its time for refunds.
                None: a service asks, whatever the time.
            by: the service; None: the player.
        """
        who = PLAYER_ACTOR if by is None else str(by)
        answer = await self._change(
            _REFUND, purchase_id, player_id, self._clock.uuid(), who, now, request_id()
        )
        await self._show(int(answer["player_id"]), answer, now)
        return answer

    async def _give(
        self,
        statement: str,
        player_id: int,
        key: str,
        asked: bytes,
        what: str,
        change: int,
        reason: str,
        by: Actor,
        action: str,
        now: float,
    ) -> Answer:
        owner = idempotency.OPERATORS_OWNER if by.operator else idempotency.SERVICES_OWNER
        noted = action if by.operator else None
        known = False
        while True:
            try:
                answer = await self._change(
                    statement,
                    *(owner, key, asked, self._clock.uuid(), player_id, what, change, reason, str(by)),
                    *(noted, known, now, request_id()),
                )
            except UnknownPlayerError:
                # An account is in the cache first, and in the store within a second.
                if known or await self._cache.player(player_id) is None:
                    raise
                known = True
            else:
                await self._show(player_id, answer, now)
                return answer

    async def _change(self, statement: str, *arguments: Any) -> Answer:
        rows = await self._store.change(statement, *arguments)
        refusal, detail, done = rows[0]
        if refusal is not None:
            raise REFUSALS[refusal](detail or KEY_REUSED)
        answer: Answer = json.loads(done)
        return answer

    async def _show(self, player_id: int, answer: Answer, now: float) -> None:
        try:  # side by side: each is a write that the cache syncs to its disk
            await asyncio.gather(
                self._show_balance(player_id, answer), self._show_item(player_id, answer, now)
            )
        except RedisError as error:  # it is right in the store; the next change or load shows it
            log.warning("balance not shown", player_id=player_id, reason=repr(error))

    async def _show_balance(self, player_id: int, answer: Answer) -> None:
        if "balance" in answer:
            await self._cache.publish_balance(
                player_id, answer["currency"], answer["balance"], answer["version"]
            )

    async def _show_item(self, player_id: int, answer: Answer, now: float) -> None:
        if "owned_version" in answer:  # not in an answer that an earlier release gave under this key
            rows = [(answer["item_id"], answer["owned"], answer["owned_version"])]
            if await self._cache.publish_items(player_id, rows):
                await self._wardrobe.look_at([player_id], now)
