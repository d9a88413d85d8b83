"""The store that players buy from: purchases, refunds, grants, and what a player owns.

Each change is one transaction: the idempotency key, the stock, the wallet, the ledger, the inventory, all
or nothing. Every transaction locks rows in that order, so two changes never wait for each other in a
circle. The cache is sent the new balance after the commit and is never asked for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from meta_service.cache.cache import Cache
from meta_service.domain import idempotency, ledger
from meta_service.domain.ledger import Balance, HouseAccount
from meta_service.errors import (
    NotRefundableError,
    OwnershipLimitError,
    PriceChangedError,
    SoldOutError,
    UnknownItemError,
    UnknownPurchaseError,
)
from meta_service.store.store import Store

log = structlog.get_logger()

Answer = dict[str, Any]
Work = Callable[[asyncpg.Connection], Awaitable[Answer]]

_ADD_TO_INVENTORY = """
INSERT INTO inventory AS held (player_id, item_id, quantity, acquired_at)
SELECT $1::bigint, $2::text, $3::bigint, to_timestamp($4) WHERE $3::bigint <= $5::bigint
ON CONFLICT (player_id, item_id) DO UPDATE
    SET quantity = held.quantity + excluded.quantity,
        acquired_at = CASE WHEN held.quantity = 0 THEN excluded.acquired_at ELSE held.acquired_at END
    WHERE held.quantity + excluded.quantity <= $5::bigint
RETURNING quantity
"""

# The outbox row makes an event of the purchase after the commit, and only if it is committed; see
# r0011_outbox.
_INSERT_PURCHASE = """
WITH bought AS (
    INSERT INTO purchases (purchase_id, player_id, item_id, quantity, currency, paid, purchased_at)
    VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7))
    RETURNING purchase_id
)
INSERT INTO purchase_outbox (purchase_id, region) SELECT purchase_id, $8 FROM bought
"""


class Shop:
    """Money and goods in the store; ``cache`` only shows balances. Times are given, in Unix seconds.

    Everything raises StoreUnavailableError when the store does not answer; then repeat with the same key.
    """

    def __init__(self, store: Store, cache: Cache, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cache = cache

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
        purchase_id = self._clock.uuid()

        async def buy(connection: asyncpg.Connection) -> Answer:
            item = await _take_from_stock(connection, item_id, quantity)
            if unit_price is not None and unit_price != item["price"]:
                raise PriceChangedError(f"{item_id} costs {item['price']} {item['currency']} now")
            paid = item["price"] * quantity
            balance = (
                await ledger.transfer(
                    connection,
                    purchase_id,
                    player_id,
                    HouseAccount.SALES,
                    item["currency"],
                    -paid,
                    f"bought {item_id}",
                    now,
                )
                if paid
                else await _balance(connection, player_id, item["currency"])
            )
            owned = await connection.fetchval(
                _ADD_TO_INVENTORY, player_id, item_id, quantity, now, item["max_owned"]
            )
            if owned is None:
                raise OwnershipLimitError(f"one player may own {item['max_owned']} of {item_id}")
            await connection.execute(
                _INSERT_PURCHASE,
                *(purchase_id, player_id, item_id, quantity, item["currency"], paid, now, self._cache.region),
            )
            return {
                "purchase_id": str(purchase_id),
                "item_id": item_id,
                "quantity": quantity,
                "currency": item["currency"],
                "paid": paid,
                "balance": balance.amount,
                "version": balance.version,
                "owned": owned,
                "purchased_at": now,
            }

        request = {"purchase": item_id, "quantity": quantity, "unit_price": unit_price}
        return await self._once(player_id, player_id, key, request, buy)

    async def grant(
        self, player_id: int, key: str, currency: str, amount: int, reason: str, now: float
    ) -> Answer:
        """Put money into a wallet; once for each key, whichever service asks."""
        transfer_id = self._clock.uuid()

        async def give(connection: asyncpg.Connection) -> Answer:
            balance = await ledger.transfer(
                connection, transfer_id, player_id, HouseAccount.MINT, currency, amount, reason, now
            )
            return {
                "transfer_id": str(transfer_id),
                "player_id": str(player_id),
                "currency": currency,
                "amount": amount,
                "balance": balance.amount,
                "version": balance.version,
            }

        request = {"grant": str(player_id), "currency": currency, "amount": amount, "reason": reason}
        return await self._once(idempotency.SERVICES_OWNER, player_id, key, request, give)

    async def refund(self, purchase_id: UUID, now: float, player_id: int | None = None) -> Answer:
        """Give a purchase's price back and take its goods; repeating it changes nothing and answers the same.

        Args:
            purchase_id: what to refund.
            now: Unix seconds.
            player_id: the player who asks; the purchase must be theirs and within its time for refunds.
                None: a service asks, whatever the time.
        """
        owner, transfer_id = 0, self._clock.uuid()

        async def give_back(connection: asyncpg.Connection) -> Answer:
            nonlocal owner
            bought = await connection.fetchrow(
                "SELECT *, extract(epoch FROM purchased_at)::float8 AS at FROM purchases"
                " WHERE purchase_id = $1 FOR UPDATE",
                purchase_id,
            )
            if bought is None or player_id not in (None, bought["player_id"]):
                raise UnknownPurchaseError(f"there is no purchase {purchase_id} of yours")
            owner = bought["player_id"]
            if bought["refunded_at"] is not None:
                balance = await _balance(connection, owner, bought["currency"])
            else:
                balance = await _refund(connection, transfer_id, bought, now, by_player=player_id is not None)
            return {
                "purchase_id": str(purchase_id),
                "player_id": str(owner),
                "currency": bought["currency"],
                "refunded": bought["paid"],
                "balance": balance.amount,
                "version": balance.version,
            }

        answer = await self._store.transact(give_back)
        await self._show(owner, answer)
        return answer

    async def _once(self, owner: int, player_id: int, key: str, request: Answer, work: Work) -> Answer:
        async def transaction(connection: asyncpg.Connection) -> Answer:
            return await idempotency.run_once(connection, owner, key, request, lambda: work(connection))

        answer = await self._store.transact(transaction)
        await self._show(player_id, answer)
        return answer

    async def _show(self, player_id: int, answer: Answer) -> None:
        try:
            await self._cache.publish_balance(
                player_id, answer["currency"], answer["balance"], answer["version"]
            )
        except RedisError as error:  # the money is right in the store; the next change or load shows it
            log.warning("balance not shown", player_id=player_id, reason=repr(error))


async def _take_from_stock(connection: asyncpg.Connection, item_id: str, quantity: int) -> Any:
    item = await connection.fetchrow("SELECT * FROM catalogue WHERE item_id = $1 AND on_sale", item_id)
    if item is None:
        raise UnknownItemError(f"{item_id} is not for sale")
    if item["stock"] is None:
        return item
    # Read anew: a purchase that waited for the row must not pay an older price.
    item = await connection.fetchrow(
        "UPDATE catalogue SET stock = stock - $2 WHERE item_id = $1 AND on_sale AND stock >= $2 RETURNING *",
        *(item_id, quantity),
    )
    if item is None:
        raise SoldOutError(f"fewer than {quantity} of {item_id} are left")
    return item


async def _refund(
    connection: asyncpg.Connection, transfer_id: UUID, bought: Any, now: float, *, by_player: bool
) -> Balance:
    item_id, quantity, player_id = bought["item_id"], bought["quantity"], bought["player_id"]
    refundable_s = await connection.fetchval(
        "UPDATE catalogue SET stock = stock + $2 WHERE item_id = $1 AND stock IS NOT NULL"
        " RETURNING refundable_s",
        *(item_id, quantity),
    )
    if refundable_s is None:
        refundable_s = await connection.fetchval(
            "SELECT refundable_s FROM catalogue WHERE item_id = $1", item_id
        )
    if by_player and now > bought["at"] + (refundable_s or 0):
        raise NotRefundableError("the time for giving this back is over")
    balance = await _balance(connection, player_id, bought["currency"])
    if bought["paid"]:
        balance = await ledger.transfer(
            connection,
            transfer_id,
            player_id,
            HouseAccount.SALES,
            bought["currency"],
            bought["paid"],
            f"refunded {item_id}",
            now,
        )
    owned = await connection.fetchval(
        "UPDATE inventory SET quantity = quantity - $3"
        " WHERE player_id = $1 AND item_id = $2 AND quantity >= $3 RETURNING quantity",
        *(player_id, item_id, quantity),
    )
    if owned is None:
        raise NotRefundableError(f"fewer than {quantity} of {item_id} are left to give back")
    await connection.execute(
        "UPDATE purchases SET refunded_at = to_timestamp($2) WHERE purchase_id = $1",
        *(bought["purchase_id"], now),
    )
    return balance


async def _balance(connection: asyncpg.Connection, player_id: int, currency: str) -> Balance:
    row = await connection.fetchrow(
        "SELECT balance, version FROM wallets WHERE player_id = $1 AND currency = $2", player_id, currency
    )
    return Balance(currency, row["balance"], row["version"]) if row else Balance(currency, 0, 0)
