"""The store's functions that move money and items, and the two books that they keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from meta_service.store import catalogue, schema
from meta_service.store.catalogue import Item
from tests.meta_service.store.test_schema import empty_database

__all__ = ["empty_database"]

NOW_S = 1_800_000_000.0
MOST = 2**63 - 1
PLAYERS = (1, 2, 3)
ITEMS = [
    Item(
        item_id="crate",
        kind="consumable",
        title="Crate",
        currency="coins",
        price=7,
        max_owned=40,
        refundable_s=9,
    ),
    Item(item_id="cape", kind="skin", title="Cape", currency="gems", price=3, stock=6),
    Item(item_id="prize", kind="skin", title="Prize", on_sale=False, max_owned=2),
]

WRONG_ITEMS = """
SELECT coalesce(held.player_id, moved.player_id), coalesce(held.item_id, moved.item_id), quantity, moved.sum
FROM inventory AS held FULL JOIN (
    SELECT player_id, item_id, sum(quantity) AS sum FROM item_movements GROUP BY 1, 2
) AS moved USING (player_id, item_id)
WHERE coalesce(held.quantity, 0) <> coalesce(moved.sum, 0)
"""
WRONG_WALLETS = """
SELECT coalesce(player_id, account), coalesce(held.currency, booked.currency), balance, sum
FROM wallets AS held FULL JOIN (
    SELECT account, currency, sum(amount) AS sum FROM ledger WHERE account > 0 GROUP BY 1, 2
) AS booked ON player_id = account AND held.currency = booked.currency
WHERE coalesce(balance, 0) <> coalesce(sum, 0)
"""


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(store_url)
    await catalogue.put(connection, ITEMS)
    await connection.execute(
        "INSERT INTO accounts SELECT id, ''::bytea, 'Player', now() FROM unnest($1::bigint[]) AS id", PLAYERS
    )
    yield connection
    await connection.close()


async def move(connection: asyncpg.Connection, player: int, item: str, pieces: int) -> Any:
    row = await connection.fetchrow(
        "SELECT owned, new_version, moved FROM items_move($1, $2, $3, $4, 'a test', 'service:test', $5, '')",
        *(uuid4(), player, item, pieces, NOW_S),
    )
    return tuple(row)


async def test_giving_stops_at_the_limit_and_taking_at_nothing(store: asyncpg.Connection) -> None:
    assert await move(store, 1, "prize", 1) == (1, 1, 1)
    assert await move(store, 1, "prize", 5) == (2, 2, 1)
    assert await move(store, 1, "prize", 5) == (2, 2, 0)  # nothing came: no movement, no newer version
    assert await move(store, 1, "prize", -3) == (None, None, None)
    assert await move(store, 1, "prize", -2) == (0, 3, -2)
    assert await move(store, 1, "no-such-item", 1) == (None, None, None)
    assert await move(store, 2, "prize", -1) == (None, None, None)
    moved = await store.fetch("SELECT quantity, actor FROM item_movements ORDER BY entry_no")
    assert [tuple(row) for row in moved] == [(n, "service:test") for n in (1, 1, -2)]


async def test_a_wallet_that_would_overflow_refuses_and_writes_nothing(store: asyncpg.Connection) -> None:
    async def book(change: int) -> Any:
        statement = (
            "SELECT new_balance FROM ledger_move($1, 1, 0, 'coins', $2, 'x', 'player', NULL, NULL, 1, '')"
        )
        return await store.fetchval(statement, uuid4(), change)

    assert await book(MOST) == MOST
    assert await book(1) is None
    assert await book(-1) == MOST - 1
    assert await book(2) is None
    assert await store.fetchval("SELECT count(*) FROM ledger") == 4
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):  # as the release before expects it
        await store.fetchval("SELECT shop_grant(0, 'k', '', $1, 1, 'coins', 2, 'x', 1, '')", uuid4())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE item_movements SET quantity = 9",
        "DELETE FROM item_movements",
        "TRUNCATE item_movements",
        "UPDATE operator_actions SET operator = 'somebody-else'",
        "DELETE FROM operator_actions",
    ],
)
async def test_the_book_of_items_and_the_audit_are_append_only(
    store: asyncpg.Connection, statement: str
) -> None:
    await move(store, 1, "prize", 1)
    await store.execute("SELECT audit_note('ada', 'grant', 1, 'a test', '{}', 1, '')")
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await store.execute(statement)


class Trader:
    """Makes random changes, by every function of this release and of the one before."""

    def __init__(self, connection: asyncpg.Connection, seed: int) -> None:
        self._connection = connection
        self._random = Random(seed)
        self._number = 0
        self._seed = seed
        self.purchases: list[UUID] = []

    async def act(self) -> None:
        random, player = self._random, self._random.choice(PLAYERS)
        money = random.choice(("coins", "gems", "no-such-money"))
        item = random.choice(("crate", "cape", "prize", "no-such-item"))
        pieces = random.randint(1, 9)
        amount = random.choice((random.randint(1, 99), -random.randint(1, 99), MOST))
        self._number += 1
        # A key in four is used again, with another request for the most part.
        key, asked = f"{self._seed}-{self._number * 3 // 4}", random.randbytes(1)
        common = (key, asked, uuid4(), player)
        match random.randrange(7):
            case 0 | 1:
                purchase = uuid4()
                done = await self._ask(
                    "shop_buy($1, $2, $3, $4, $5, $6, NULL, $7, '', '')",
                    *(player, key, asked, purchase, item, pieces, NOW_S),
                )
                self.purchases += [purchase] if done else []
            case 2 if self.purchases:
                function = random.choice(("shop_refund($1, $2, $3", "shop_give_back($1, $2, $3, 'service:x'"))
                asker = random.choice((None, player))
                bought = random.choice(self.purchases)
                await self._ask(f"{function}, $4, '')", bought, asker, uuid4(), NOW_S)
            case 3:
                await self._ask(
                    "shop_credit(0, $1, $2, $3, $4, $5, $6, 'x', 'operator:ada', 'grant', $7, $8, '')",
                    *(*common, money, amount, random.random() < 0.5, NOW_S),
                )
            case 4:
                await self._ask(
                    "shop_items(0, $1, $2, $3, $4, $5, $6, 'x', 'service:x', NULL, false, $7, '')",
                    *(*common, item, random.choice((pieces, -pieces)), NOW_S),
                )
            case 5:
                await move(self._connection, player, item, random.choice((pieces, -pieces)))
            case _:
                given = random.randint(1, 99)
                statement = "shop_grant(0, $1, $2, $3, $4, 'coins', $5, 'x', $6, '')"
                await self._ask(statement, *common, given, NOW_S)

    async def _ask(self, call: str, *arguments: Any) -> Any:
        try:
            row = await self._connection.fetchrow(f"SELECT refusal, done FROM {call}", *arguments)
        except asyncpg.NumericValueOutOfRangeError:  # the release before, into a full wallet
            return None
        assert (row["refusal"] is None) == (row["done"] is not None)
        return row["done"]


async def test_whatever_happens_side_by_side_the_books_are_right(
    store: asyncpg.Connection, store_url: str
) -> None:
    connections = [await asyncpg.connect(store_url) for _ in range(4)]

    async def trade(seed: int, connection: asyncpg.Connection) -> None:
        trader = Trader(connection, seed)
        for _ in range(150):
            await trader.act()

    await asyncio.gather(*(trade(*each) for each in enumerate(connections)))
    for connection in connections:
        await connection.close()
    assert await store.fetch(WRONG_ITEMS) == []
    assert await store.fetch(WRONG_WALLETS) == []
    assert await store.fetchval("SELECT count(*) FROM item_movements") > 50
    assert await store.fetchval("SELECT coalesce(sum(amount), 0) FROM ledger") == 0
    assert (
        await store.fetch("SELECT FROM inventory JOIN catalogue USING (item_id) WHERE quantity > max_owned")
        == []
    )
    # What is noted has happened, and nothing else is noted.
    assert (
        await store.fetchval(
            "SELECT count(*) FROM operator_actions WHERE detail->>'amount' <> (SELECT amount::text"
            " FROM ledger WHERE account > 0 AND transfer_id::text = detail->>'transfer_id')"
        )
        == 0
    )
    noted = await store.fetchval("SELECT count(*) FROM operator_actions")
    assert noted == await store.fetchval(
        "SELECT count(*) FROM ledger WHERE account > 0 AND actor = 'operator:ada'"
    )
    # Refunds gave the stock back: what was sold and not given back is missing from it.
    sold = await store.fetchval(
        "SELECT coalesce(sum(quantity), 0) FROM purchases WHERE item_id = 'cape' AND refunded_at IS NULL"
    )
    assert await store.fetchval("SELECT stock FROM catalogue WHERE item_id = 'cape'") == 6 - sold


async def test_what_was_owned_before_gets_an_opening_row_each_and_only_one(empty_database: str) -> None:
    await asyncio.to_thread(schema.migrate, empty_database, "r0017_event_gaps")
    store = await asyncpg.connect(empty_database)
    await store.execute(
        "INSERT INTO inventory SELECT player, 'item-' || player % 7, player % 5, now()"
        " FROM generate_series(1, 2500) AS player"
    )
    await asyncio.to_thread(schema.migrate, empty_database)
    assert await store.fetch(WRONG_ITEMS) == []
    assert await store.fetchval("SELECT count(*) FROM item_movements") == 2000
    assert await store.fetchval("SELECT count(*) FROM inventory WHERE version <> 1") == 0
    # A row that the release before wrote meanwhile, by a function's old text, is opened by its next change.
    await catalogue.put(store, ITEMS)
    await store.execute("INSERT INTO inventory VALUES (7, 'crate', 3, now()), (8, 'crate', 4, now())")
    assert await move(store, 7, "crate", 2) == (5, 1, 2)
    assert await move(store, 8, "crate", -4) == (0, 1, -4)
    assert await store.fetch(WRONG_ITEMS) == []
    reasons = await store.fetch("SELECT reason, count(*) FROM item_movements GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in reasons] == [("a test", 2), ("opening balance", 2002)]
    await store.close()
