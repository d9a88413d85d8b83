from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import asyncpg
import pytest

from launchday.settings import Settings
from meta_service.client import MetaRefusedError, MetaUnavailableError, Purchase, Session
from meta_service.store import catalogue
from meta_service.store.catalogue import Item
from tests.meta_service.conftest import Backend, Clock, drain, running
from tests.meta_service.domain.test_accounts import NOBODY

CRATE = Item(
    item_id="crate",
    kind="consumable",
    title="Crate",
    currency="coins",
    price=50,
    max_owned=10**6,
    refundable_s=60,
)
RARE = Item(item_id="rare", kind="skin", title="Rare", currency="coins", price=10, stock=3)
CAPE = Item(item_id="cape", kind="skin", title="Cape", currency="coins", price=70)
FREE = Item(item_id="wave-hello", kind="emote", title="Wave", currency="coins", price=0)


@pytest.fixture(autouse=True)
async def goods(store: asyncpg.Connection) -> None:
    await catalogue.put(store, [CRATE, RARE, CAPE, FREE])


@pytest.fixture
async def rich(backend: Backend) -> Session:
    """A player with 1,000 coins."""
    login = await backend.login()
    await fund(backend, login, 1000)
    return login


@pytest.fixture
async def books_balance(store: asyncpg.Connection) -> AsyncIterator[None]:
    """After the test no wallet is negative, each is the sum of its entries, and currencies add up to 0."""
    yield
    assert await store.fetch("SELECT * FROM wallets WHERE balance < 0") == []
    assert (
        await store.fetch(
            "SELECT player_id FROM wallets WHERE balance <> (SELECT coalesce(sum(amount), 0) FROM ledger"
            " WHERE account = player_id AND ledger.currency = wallets.currency)"
        )
        == []
    )
    assert await store.fetchval("SELECT coalesce(sum(amount), 0) FROM ledger") == 0


pytestmark = pytest.mark.usefixtures("books_balance")


async def fund(backend: Backend, login: Session, amount: int) -> None:
    await backend.client.grant(f"fund-{uuid4()}", login.player_id, "coins", amount, "for the test")


def refused(kind: str) -> pytest.RaisesExc[MetaRefusedError]:
    return pytest.raises(MetaRefusedError, check=lambda error: error.kind == kind)


async def test_a_purchase_takes_the_price_and_gives_the_goods(backend: Backend, rich: Session) -> None:
    token = rich.session_token
    bought = await backend.client.purchase(token, "first-purchase", "crate", 3)
    assert (bought.paid, bought.balance, bought.owned) == (150, 850, 3)
    assert await backend.client.wallet(token) == {"coins": 850}
    assert [(item.item_id, item.quantity) for item in await backend.client.inventory(token)] == [("crate", 3)]
    entries = await backend.client.statement(token)
    assert [(entry.amount, entry.reason) for entry in entries] == [
        (-150, "bought crate"),
        (1000, "for the test"),
    ]
    assert await backend.client.statement(token, before=entries[0].entry_no) == entries[1:]
    assert await backend.client.statement(token, limit=1) == entries[:1]
    assert (await backend.client.profile(token)).balances == {"coins": 850}


async def test_a_purchase_repeated_under_its_key_happens_once_and_answers_the_same(
    backend: Backend, rich: Session
) -> None:
    first = await backend.client.purchase(rich.session_token, "the-same-key", "crate")
    await backend.client.purchase(rich.session_token, "another-key", "crate")
    backend.clock.advance(100)
    assert await backend.client.purchase(rich.session_token, "the-same-key", "crate") == first
    assert await backend.client.wallet(rich.session_token) == {"coins": 900}


async def test_repeats_of_one_purchase_that_arrive_together_are_one_purchase(
    backend: Backend, rich: Session
) -> None:
    answers = await asyncio.gather(
        *(backend.client.purchase(rich.session_token, "all-at-once", "crate") for _ in range(16))
    )
    assert len({answer.purchase_id for answer in answers}) == 1
    assert await backend.client.wallet(rich.session_token) == {"coins": 950}


async def test_a_key_that_comes_with_another_request_is_refused(backend: Backend, rich: Session) -> None:
    await backend.client.purchase(rich.session_token, "the-same-key", "crate")
    with refused("idempotency-key-reused"):
        await backend.client.purchase(rich.session_token, "the-same-key", "crate", 2)


async def test_two_players_may_make_up_the_same_key(backend: Backend, rich: Session) -> None:
    other = await backend.login()
    await fund(backend, other, 50)
    mine = await backend.client.purchase(rich.session_token, "the-same-key", "crate")
    theirs = await backend.client.purchase(other.session_token, "the-same-key", "crate")
    assert mine.purchase_id != theirs.purchase_id


async def test_a_purchase_needs_a_key(backend: Backend, rich: Session) -> None:
    headers = {"Authorization": f"Bearer {rich.session_token}"}
    answer = await backend.http.post("/v1/store/purchases", json={"item_id": "crate"}, headers=headers)
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


async def test_what_forbids_a_purchase_is_told_and_changes_nothing(backend: Backend, rich: Session) -> None:
    token = rich.session_token
    with refused("insufficient-funds"):
        await backend.client.purchase(token, "too-expensive", "crate", 21)
    with refused("unknown-item"):
        await backend.client.purchase(token, "no-such-item", "crown")
    with refused("price-changed"):
        await backend.client.purchase(token, "other-price", "crate", unit_price=49)
    await backend.client.purchase(token, "cape-number-1", "cape", unit_price=70)
    with refused("ownership-limit"):
        await backend.client.purchase(token, "cape-number-2", "cape")
    with refused("sold-out"):
        await backend.client.purchase(token, "more-than-all", "rare", 4)
    assert await backend.client.wallet(token) == {"coins": 930}


async def test_a_refused_key_may_be_used_again_once_the_money_is_there(backend: Backend) -> None:
    login = await backend.login()
    with refused("insufficient-funds"):
        await backend.client.purchase(login.session_token, "try-and-again", "crate")
    await fund(backend, login, 50)
    bought = await backend.client.purchase(login.session_token, "try-and-again", "crate")
    assert bought.balance == 0


async def test_what_costs_nothing_needs_no_wallet(backend: Backend) -> None:
    login = await backend.login()
    assert (await backend.client.purchase(login.session_token, "a-free-emote", "wave-hello")).paid == 0
    assert await backend.client.statement(login.session_token) == []


async def test_what_is_taken_off_sale_is_not_listed_and_not_sold(
    backend: Backend, rich: Session, store: asyncpg.Connection
) -> None:
    assert "cape" in {item.item_id for item in await backend.client.catalogue(rich.session_token)}
    await catalogue.put(store, [CAPE.model_copy(update={"on_sale": False})])
    assert "cape" not in {item.item_id for item in await backend.client.catalogue(rich.session_token)}
    with refused("unknown-item"):
        await backend.client.purchase(rich.session_token, "off-sale-now", "cape")


async def test_the_stock_is_shared_out_exactly(backend: Backend, store: asyncpg.Connection) -> None:
    logins = await backend.logins(10)
    for login in logins:
        await fund(backend, login, 10)
    answers = await asyncio.gather(
        *(backend.client.purchase(login.session_token, "one-of-three", "rare") for login in logins),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Purchase) for answer in answers) == 3
    assert await store.fetchval("SELECT stock FROM catalogue WHERE item_id = 'rare'") == 0


async def test_64_clients_that_spend_one_wallet_never_overdraw_it(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await fund(backend, login, 50 * 100)
    accepted: list[Purchase] = []
    kinds: set[str] = set()

    async def spend(client: int) -> None:
        random = Random(client)
        for number in range(3):
            key, pieces = f"client-{client}-{number}", random.randint(1, 2)
            try:
                accepted.append(await backend.client.purchase(login.session_token, key, "crate", pieces))
            except MetaRefusedError as error:
                kinds.add(error.kind)

    await asyncio.gather(*(spend(client) for client in range(64)))
    assert kinds == {"insufficient-funds"}
    assert len({bought.purchase_id for bought in accepted}) == len(accepted)
    rows = await store.fetch("SELECT purchase_id, paid FROM purchases")
    assert {row["purchase_id"]: row["paid"] for row in rows} == {
        bought.purchase_id: bought.paid for bought in accepted
    }
    left = (await backend.client.wallet(login.session_token))["coins"]
    assert left == 50 * 100 - sum(bought.paid for bought in accepted)
    assert 0 <= left < 100
    assert all(bought.balance >= 0 for bought in accepted)
    assert (await backend.client.profile(login.session_token)).balances == {"coins": left}


async def test_a_refund_gives_the_money_back_once_and_takes_the_goods(
    backend: Backend, rich: Session, store: asyncpg.Connection
) -> None:
    token = rich.session_token
    bought = await backend.client.purchase(token, "to-be-returned", "crate", 2)
    first = await backend.client.refund(token, bought.purchase_id)
    assert (first.refunded, first.balance) == (100, 1000)
    assert await backend.client.refund(token, bought.purchase_id) == first
    assert await backend.client.inventory(token) == []
    assert await backend.client.wallet(token) == {"coins": 1000}


async def test_refunds_that_arrive_together_are_one_refund(backend: Backend, rich: Session) -> None:
    bought = await backend.client.purchase(rich.session_token, "to-be-returned", "crate")
    await asyncio.gather(
        *(backend.client.refund(rich.session_token, bought.purchase_id) for _ in range(8)),
        *(backend.client.refund_for_player(bought.purchase_id) for _ in range(8)),
    )
    assert await backend.client.wallet(rich.session_token) == {"coins": 1000}


async def test_a_player_is_refunded_within_the_time_and_by_support_at_any(
    backend: Backend, rich: Session, store: asyncpg.Connection
) -> None:
    bought = await backend.client.purchase(rich.session_token, "to-be-returned", "rare")
    backend.clock.advance(1)
    with refused("not-refundable"):
        await backend.client.refund(rich.session_token, bought.purchase_id)
    assert (await backend.client.refund_for_player(bought.purchase_id)).balance == 1000
    assert await store.fetchval("SELECT stock FROM catalogue WHERE item_id = 'rare'") == 3


async def test_what_is_used_up_cannot_be_given_back(
    backend: Backend, rich: Session, store: asyncpg.Connection
) -> None:
    bought = await backend.client.purchase(rich.session_token, "to-be-used-up", "crate")
    await store.execute("UPDATE inventory SET quantity = 0")
    with refused("not-refundable"):
        await backend.client.refund(rich.session_token, bought.purchase_id)
    assert await backend.client.wallet(rich.session_token) == {"coins": 950}


async def test_nobody_gives_back_what_another_bought(backend: Backend, rich: Session) -> None:
    bought = await backend.client.purchase(rich.session_token, "mine-not-yours", "crate")
    thief = await backend.login()
    with refused("unknown-purchase"):
        await backend.client.refund(thief.session_token, bought.purchase_id)


async def test_a_grant_repeated_under_its_key_is_one_grant(backend: Backend) -> None:
    login = await backend.login()
    for _ in range(2):
        await backend.client.grant("season-reward-1", login.player_id, "coins", 70, "season reward")
    assert await backend.client.wallet(login.session_token) == {"coins": 70}


async def test_balances_come_back_when_the_cache_was_lost(backend: Backend, rich: Session) -> None:
    await drain(backend)
    await backend.app.state.context.players.cache.redis.flushall()
    assert (await backend.client.profile(rich.session_token)).balances == {"coins": 1000}


async def test_an_older_balance_does_not_replace_a_newer_one(backend: Backend, rich: Session) -> None:
    cache = backend.app.state.context.players.cache
    await cache.publish_balance(rich.player_id, "coins", 5, 9)
    await cache.publish_balance(rich.player_id, "coins", 4, 8)
    assert (await backend.client.profile(rich.session_token)).balances == {"coins": 5}


async def test_purchases_wait_for_the_store_and_the_rest_goes_on(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        login = await backend.login()
        answer = await backend.http.post(
            "/v1/store/purchases",
            json={"item_id": "crate"},
            headers={"Authorization": f"Bearer {login.session_token}", "Idempotency-Key": "while-it-is-away"},
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        with pytest.raises(MetaUnavailableError):
            await backend.client.wallet(login.session_token)
        assert (await backend.client.set_loadout(login.session_token, "scout")).sync == "pending"


async def test_money_moves_in_one_round_trip_to_the_store(backend: Backend, rich: Session) -> None:
    """Each takes one statement, prepared once: a region far from the store pays one way there and back."""
    await drain(backend)  # of an account that the store does not have yet, the cache is asked
    shop = backend.app.state.context.shop
    statements: list[str] = []
    change = shop._store.change

    async def counted(statement: str, *arguments: object) -> list[object]:
        statements.append(statement)
        answer: list[object] = await change(statement, *arguments)
        return answer

    shop._store.change = counted
    bought = await backend.client.purchase(rich.session_token, "one-round-trip", "crate")
    await backend.client.refund(rich.session_token, bought.purchase_id)
    await fund(backend, rich, 10)
    assert [statement.split("FROM ")[1].split("(")[0] for statement in statements] == [
        "shop_buy",
        "shop_give_back",
        "shop_credit",
    ]


async def test_a_refusal_leaves_no_line_in_the_store_s_log_and_nothing_behind(
    backend: Backend, rich: Session, store: asyncpg.Connection
) -> None:
    with refused("sold-out"):
        await backend.client.purchase(rich.session_token, "more-than-all", "rare", 4)
    assert await store.fetchval("SELECT count(*) FROM idempotency WHERE key = 'more-than-all'") == 0
    assert await store.fetchval("SELECT stock FROM catalogue WHERE item_id = 'rare'") == 3


async def test_a_purchase_of_nothing_warms_the_store_and_books_nothing(
    backend: Backend, store: asyncpg.Connection
) -> None:
    await backend.app.state.context.shop.warm()
    assert await store.fetchval("SELECT count(*) FROM idempotency") == 0
    assert await store.fetchval("SELECT count(*) FROM purchases") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET amount = amount * 2",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at)"
        " VALUES (gen_random_uuid(), 7, 'coins', 5, 'out of nothing', now())",
        "UPDATE wallets SET balance = -1",
    ],
)
async def test_the_store_itself_refuses_to_forge_the_books(
    backend: Backend, rich: Session, store: asyncpg.Connection, statement: str
) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await store.execute(statement)


async def test_the_shipped_catalogue_is_in_a_new_store_and_is_not_put_back(
    store: asyncpg.Connection, store_url: str
) -> None:
    await catalogue.put(store, [item.model_copy(update={"price": 1}) for item in catalogue.read()])
    await catalogue.seed(store_url)
    prices = await store.fetch("SELECT DISTINCT price FROM catalogue WHERE item_id = 'nightfall'")
    assert [row["price"] for row in prices] == [1]
