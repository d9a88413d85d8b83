"""The store that players buy from: purchases, refunds, grants, and what a player owns.

Each change is one function of the store, one transaction and one round trip: the idempotency key, the stock,
the wallet, the ledger, the inventory, all or nothing; see the migration ``r0014_one_trip``. A wallet is the
sum of its player's entries, kept so that a purchase need not add them up, and what a player gains, a house
account loses. The cache is sent the new balance after the commit and is never asked for it.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.telemetry import request_id
from meta_service.cache.cache import Cache
from meta_service.domain import idempotency
from meta_service.errors import (
    InsufficientFundsError,
    KeyReusedError,
    NotRefundableError,
    OwnershipLimitError,
    PriceChangedError,
    RefusedError,
    SoldOutError,
    UnknownItemError,
    UnknownPurchaseError,
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
        UnknownItemError,
        UnknownPurchaseError,
    )
}
"""What the store's functions refuse, by the name that they give it."""

KEY_REUSED = "this Idempotency-Key came with a different request: use a new key"

_BUY = "SELECT refusal, detail, done FROM shop_buy($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_GRANT = "SELECT refusal, detail, done FROM shop_grant($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_REFUND = "SELECT refusal, detail, done FROM shop_refund($1, $2, $3, $4, $5)"


class Shop:
    """Money and goods in the store; ``cache`` only shows balances. Times are given, in Unix seconds.

    Everything raises StoreUnavailableError when the store does not answer; then repeat with the same key.
    """

    def __init__(self, store: Store, cache: Cache, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cache = cache

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
        rows = await self._store.read(
            "SELECT entry_no, transfer_id::text, currency, amount, reason,"
            " extract(epoch FROM booked_at)::float8 AS booked_at"
            " FROM ledger WHERE account = $1 AND entry_no < $2 ORDER BY entry_no DESC LIMIT $3",
            *(player_id, before, limit),
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
        await self._show(player_id, answer)
        return answer

    async def grant(
        self, player_id: int, key: str, currency: str, amount: int, reason: str, now: float
    ) -> Answer:
        """Put money into a wallet; once for each key, whichever service asks."""
        asked = idempotency.request_hash(
            {"grant": str(player_id), "currency": currency, "amount": amount, "reason": reason}
        )
        answer = await self._change(
            _GRANT,
            *(idempotency.SERVICES_OWNER, key, asked, self._clock.uuid(), player_id, currency, amount),
            *(reason, now, request_id()),
        )
        await self._show(player_id, answer)
        return answer

    async def refund(self, purchase_id: UUID, now: float, player_id: int | None = None) -> Answer:
        """Give a purchase's price back and take its goods; repeating it changes nothing and answers the same.

        Args:
            purchase_id: what to refund.
            now: Unix seconds.
            player_id: the player who asks; the purchase must be theirs and within its time for refunds.
                None: a service asks, whatever the time.
        """
        answer = await self._change(_REFUND, purchase_id, player_id, self._clock.uuid(), now, request_id())
        await self._show(int(answer["player_id"]), answer)
        return answer

    async def _change(self, statement: str, *arguments: Any) -> Answer:
        rows = await self._store.change(statement, *arguments)
        refusal, detail, done = rows[0]
        if refusal is not None:
            raise REFUSALS[refusal](detail or KEY_REUSED)
        answer: Answer = json.loads(done)
        return answer

    async def _show(self, player_id: int, answer: Answer) -> None:
        try:
            await self._cache.publish_balance(
                player_id, answer["currency"], answer["balance"], answer["version"]
            )
        except RedisError as error:  # the money is right in the store; the next change or load shows it
            log.warning("balance not shown", player_id=player_id, reason=repr(error))
