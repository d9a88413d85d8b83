"""The ledger of the drill sees what a restore has lost, and what it brought back by the half."""

from __future__ import annotations

import time
from collections.abc import Mapping
from uuid import uuid4

import asyncpg
import pytest

from launchday.settings import Settings
from loadtest.bench.engines.drill_ledger import Verdict, Window, judge
from loadtest.chaos.operation_log import Operation
from tests.meta_service.conftest import Clock, drain, result, running

PLANTS: Mapping[str, tuple[str, str]] = {
    "a wallet without its entry": (
        "UPDATE wallets SET balance = balance - 1",
        "wallets that are not their entries",
    ),
    "an item without its movement": (
        "UPDATE inventory SET quantity = quantity + 1",
        "items that are not their movements",
    ),
    "a purchase without its item": (
        "UPDATE purchases SET refunded_at = now()",
        "purchases without their money or their key",
    ),
    "a result without its season": ("DELETE FROM season_records", "results that the season does not have"),
    "a lease of nobody": (
        "UPDATE match_history SET outcome = NULL WHERE outcome = 'expired'",
        "leases of matches that do not run",
    ),
    "a result without points": ("DELETE FROM progression", "results without points"),
}
LOSSES = {
    "login": "DELETE FROM accounts",
    "set_loadout": "UPDATE loadouts SET version = 0",
    "buy": "DELETE FROM purchases",
    "grant": "DELETE FROM idempotency",
    "commit": "UPDATE match_history SET outcome = 'expired'",
}


async def test_each_planted_fault_is_seen(settings: Settings) -> None:
    operations = await _play(settings.model_copy(update={"requests_per_player_s": 0.0}))
    began = time.monotonic_ns()
    window = Window(began, began, time.time() + 60)
    store = await asyncpg.connect(settings.store_url)
    try:
        clean = await judge(store, operations, window)
        assert clean == Verdict(5, 0, 0, {"before": 0, "between": 0, "after": 0}, {})
        for plant, said in PLANTS.values():
            assert said in (await _with(store, plant, operations, window)).half, plant
        for loss in LOSSES.values():
            assert (await _with(store, loss, operations, window)).lost["before"] >= 1, loss
        later = Window(0, 0, window.began_wall)
        assert (await _with(store, LOSSES["buy"], operations, later)).lost == {
            "before": 0,
            "between": 0,
            "after": 1,
        }
    finally:
        await store.close()


async def _with(
    store: asyncpg.Connection, plant: str, operations: list[Operation], window: Window
) -> Verdict:
    """What is said of a store after a statement, which is taken back."""
    transaction = store.transaction()
    await transaction.start()
    try:
        await store.execute(plant)
        return await judge(store, operations, window)
    finally:
        await transaction.rollback()


async def _play(settings: Settings) -> list[Operation]:
    """One player, one of everything; a second match that ran out. The first was played, with points."""
    async with running(settings, Clock()) as backend:
        session = await backend.login()
        player, token = session.player_id, session.session_token
        loadout = await backend.client.set_loadout(token, "scout")
        await backend.client.grant("grant-it", player, "coins", 5_000, "test")
        bought = await backend.client.purchase(token, "buy-it-1", "nightfall")
        match = uuid4()
        out = await backend.client.check_out(match, "server-1", "east-us", 60.0, [player])
        fence = out.checked_out[0].fence
        await backend.client.commit(match, [result(player, fence)])
        await drain(backend)
    store = await asyncpg.connect(settings.store_url)
    try:
        await store.execute(
            "INSERT INTO match_history (player_id, fence, match_id, outcome, ended_at)"
            " VALUES ($1, 1, gen_random_uuid(), 'expired', now())",
            player,
        )
        await store.execute("INSERT INTO progression (player_id, matches) VALUES ($1, 1)", player)
    finally:
        await store.close()
    about = {"player": player, "phase": "ack", "at": 1}
    return [
        {"op": "login", **about},
        {"op": "set_loadout", "version": loadout.version, **about},
        {"op": "grant", "key": "grant-it", **about},
        {"op": "buy", "purchase": str(bought.purchase_id), **about},
        {"op": "commit", "fence": fence, **about},  # no match: it was played, and not only told
    ]


@pytest.mark.parametrize(("at", "place"), [(1, "before"), (5, "between"), (9, "after")])
def test_what_was_answered_while_a_backup_was_made_may_be_in_it(at: int, place: str) -> None:
    assert Window(3, 7, 0.0).place(at) == place
