from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from meta_service.client import MetaClient, MetaRefusedError
from tests.meta_service.conftest import Backend, drain
from tests.meta_service.domain.test_shop import books_balance, refused
from tests.meta_service.domain.test_wardrobe import operator

__all__ = ["books_balance"]

MOST = 2**63 - 1
NOBODY = 77777

pytestmark = pytest.mark.usefixtures("books_balance")


async def written(store: asyncpg.Connection) -> dict[str, int]:
    """How many rows there are of all that money and items leave."""
    tables = ("ledger", "wallets", "inventory", "item_movements", "idempotency", "operator_actions")
    return {table: await store.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def fill(store: asyncpg.Connection, player_id: int, amount: int) -> None:
    """Put more into a wallet than one grant may."""
    statement = "SELECT ledger_transfer($1, $2, 0, 'coins', $3, 'a lot', 1, '')"
    await store.execute(statement, uuid4(), player_id, amount)


async def test_an_operator_grants_and_debits_once_a_key_and_each_act_is_noted(backend: Backend) -> None:
    login, ada = await backend.login(), operator(backend)
    for _ in range(2):
        granted = await ada.grant_money(login.player_id, "a-key-of-mine", "coins", 500, "lost in a crash ☂")
        taken = await ada.debit_money(login.player_id, "another-of-mine", "coins", 120, "granted twice")
    assert (granted.amount, granted.balance, taken.amount, taken.balance) == (500, 500, -120, 380)
    assert await backend.client.wallet(login.session_token) == {"coins": 380}
    assert (await backend.client.profile(login.session_token)).balances == {"coins": 380}
    found = await ada.audit(player_id=login.player_id)
    assert [(each.operator, each.action, each.reason) for each in found] == [
        ("ada", "debit", "granted twice"),
        ("ada", "grant", "lost in a crash ☂"),
    ]
    assert found[0].detail == {
        "transfer_id": str(taken.transfer_id),
        "currency": "coins",
        "amount": -120,
        "balance": 380,
    }
    with refused("idempotency-key-reused"):
        await ada.debit_money(login.player_id, "another-of-mine", "coins", 121, "granted twice")


async def test_operators_give_and_take_what_is_not_for_sale_and_stop_at_its_limits(backend: Backend) -> None:
    login, ada = await backend.login(), operator(backend)
    given = await ada.give_items(login.player_id, "one-for-you", "skin-ember", "a prize")
    assert (given.quantity, given.owned) == (1, 1)
    assert (await ada.give_items(login.player_id, "one-for-you", "skin-ember", "a prize")) == given
    with refused("ownership-limit"):
        await ada.give_items(login.player_id, "one-too-many", "skin-ember", "a prize")
    with refused("too-few-items"):
        await ada.take_items(login.player_id, "more-than-there-is", "skin-ember", "a mistake", 2)
    taken = await ada.take_items(login.player_id, "it-was-a-mistake", "skin-ember", "a mistake")
    assert (taken.quantity, taken.owned) == (-1, 0)
    with refused("too-few-items"):
        await ada.take_items(login.player_id, "nothing-is-left", "skin-ember", "a mistake")
    with refused("too-few-items"):
        await ada.take_items(login.player_id, "never-had-one", "skin-aurora", "a mistake")
    assert await backend.client.inventory(login.session_token) == []
    assert [each.action for each in await ada.audit()] == ["take", "give"]


async def test_a_statement_says_what_was_moved_and_who_did_it(backend: Backend) -> None:
    login, ada = await backend.login(), operator(backend)
    await backend.client.grant("from-a-service", login.player_id, "coins", 1000, "season reward")
    bought = await backend.client.purchase(login.session_token, "bought-two", "supply-crate", 2)
    await backend.client.refund_for_player(bought.purchase_id)
    await ada.debit_money(login.player_id, "by-an-operator", "coins", 10, "a fee")
    await ada.give_items(login.player_id, "from-the-operator", "supply-crate", "sorry", 3)
    found = await ada.player_statement(login.player_id)
    assert [(each.amount, each.actor, each.item_id, each.quantity) for each in found.entries] == [
        (-10, "operator:ada", None, None),
        (100, "service:test", "supply-crate", 2),
        (-100, "player", "supply-crate", 2),
        (1000, "service:test", None, None),
    ]
    assert [(each.item_id, each.quantity, each.reason, each.actor) for each in found.movements] == [
        ("supply-crate", 3, "sorry", "operator:ada"),
        ("supply-crate", -2, "refunded supply-crate", "service:test"),
        ("supply-crate", 2, "bought supply-crate", "player"),
    ]
    assert found.movements[2].transfer_id == found.entries[2].transfer_id == bought.purchase_id
    page = await ada.player_statement(
        login.player_id,
        before=found.entries[1].entry_no,
        movements_before=found.movements[1].entry_no,
        limit=1,
    )
    assert (page.entries, page.movements) == (found.entries[2:3], found.movements[2:])
    mine = await backend.client.statement(login.session_token)
    assert [each.actor for each in mine] == ["operator", "service", "player", "service"]  # no names


async def test_what_cannot_be_is_refused_before_anything_is_written(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login, ada, service = await backend.login(), operator(backend), backend.client
    player, full = login.player_id, (await backend.login()).player_id
    await drain(backend)
    await fill(store, full, MOST)
    before = await written(store)
    attempts: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("unknown-player", lambda: service.grant("to-nobody-at-all", NOBODY, "coins", 5, "x")),
        ("unknown-player", lambda: ada.grant_money(NOBODY, "to-nobody-at-all", "coins", 5, "x")),
        ("unknown-player", lambda: ada.debit_money(NOBODY, "to-nobody-at-all", "coins", 5, "x")),
        ("unknown-player", lambda: ada.give_items(NOBODY, "to-nobody-at-all", "wave", "x")),
        ("unknown-currency", lambda: service.grant("in-no-money-at-all", player, "no-such-money", 5, "x")),
        ("unknown-currency", lambda: ada.grant_money(player, "in-no-money-at-all", "no-such-money", 5, "x")),
        ("unknown-item", lambda: ada.give_items(player, "what-there-is-not", "no-such-item", "x")),
        ("wallet-full", lambda: service.grant("one-coin-too-many", full, "coins", 1, "x")),
        ("wallet-full", lambda: ada.grant_money(full, "one-coin-too-many", "coins", 1, "x")),
        ("insufficient-funds", lambda: ada.debit_money(player, "below-nothing", "coins", 1, "x")),
    ]
    for kind, attempt in attempts:
        with pytest.raises(MetaRefusedError) as refusal:
            await attempt()
        assert refusal.value.kind == kind
    assert await written(store) == before


async def test_a_key_holds_although_the_store_s_day_goes_back(
    backend: Backend, store: asyncpg.Connection
) -> None:
    player, ada = (await backend.login()).player_id, operator(backend)
    first = await ada.grant_money(player, "around-midnight", "coins", 5, "x")
    await store.execute("UPDATE idempotency SET claimed_on = claimed_on + 1")
    assert await ada.grant_money(player, "around-midnight", "coins", 5, "x") == first


@pytest.mark.parametrize("reason", [r"\ud800", "  \u3000", r"\u200b", r"not\u2028a line", r"\u202egnorw"])
async def test_a_reason_is_a_line_that_can_be_read(
    backend: Backend, store: asyncpg.Connection, reason: str
) -> None:
    player = (await backend.login()).player_id
    token = backend.app.state.signer.service_token("ada", backend.clock.now(), roles=("operator",))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = "a-key-of-mine"
    before = await written(store)
    for method, path, more in (
        ("POST", "grants", '"currency": "coins", "amount": 1,'),
        ("POST", "items/grants", '"item_id": "wave",'),
        ("PUT", "ban", ""),
    ):
        body = f'{{{more} "reason": "{reason}"}}'.encode()
        path = f"/v1/operator/players/{player}/{path}"
        answer = await backend.http.request(method, path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/reason")
    if "ud800" not in reason:  # which no address can write
        why = {"reason": json.loads(f'"{reason}"')}
        for path in ("", "/ban"):
            path = f"/v1/operator/players/{player}{path}"
            answer = await backend.http.request("DELETE", path, params=why, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/reason")
    assert await written(store) == before


async def test_a_refund_into_a_full_wallet_is_refused_and_keeps_the_goods(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await backend.client.grant("what-it-costs", login.player_id, "coins", 50, "x")
    bought = await backend.client.purchase(login.session_token, "before-it-is-full", "supply-crate")
    await fill(store, login.player_id, MOST)
    with refused("wallet-full"):
        await backend.client.refund(login.session_token, bought.purchase_id)
    assert [item.quantity for item in await backend.client.inventory(login.session_token)] == [1]


async def test_a_new_account_is_paid_before_the_store_knows_it(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    assert await store.fetchval("SELECT count(*) FROM accounts") == 0
    assert (await backend.client.grant("a-welcome-gift", login.player_id, "coins", 5, "welcome")).balance == 5
    assert (await operator(backend).give_items(login.player_id, "another-gift", "wave", "welcome")).owned == 1


async def test_debits_that_arrive_together_never_take_more_than_there_is(backend: Backend) -> None:
    login, ada = await backend.login(), operator(backend)
    await ada.grant_money(login.player_id, "to-begin-with", "coins", 100, "x")
    answers = await asyncio.gather(
        *(ada.debit_money(login.player_id, f"one-of-many-{n}", "coins", 30, "x") for n in range(8)),
        return_exceptions=True,
    )
    assert sorted(getattr(answer, "kind", "") for answer in answers) == [""] * 3 + ["insufficient-funds"] * 5
    assert await backend.client.wallet(login.session_token) == {"coins": 10}
    assert len(await ada.audit()) == 4


async def test_viewers_look_and_only_operators_act(backend: Backend) -> None:
    login = await backend.login()
    viewer, service = operator(backend, "viewer"), operator(backend, "service")
    assert (await viewer.player_statement(login.player_id)).entries == []

    def acts(by: MetaClient) -> list[Awaitable[Any]]:
        return [
            by.grant_money(login.player_id, "a-key-of-mine", "coins", 5, "x"),
            by.debit_money(login.player_id, "a-key-of-mine", "coins", 5, "x"),
            by.give_items(login.player_id, "a-key-of-mine", "wave", "x"),
            by.take_items(login.player_id, "a-key-of-mine", "wave", "x"),
            by.reload_catalogue(),
        ]

    for act in (*acts(viewer), *acts(service), service.player_statement(login.player_id)):
        with refused("forbidden"):
            await act
