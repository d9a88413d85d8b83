"""Connections that die without a word, backends that freeze: what a request sees, and what goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import asyncpg
import pytest

from launchday.clock import SystemClock
from launchday.resilience import deadline
from meta_service.errors import StoreLateError, StoreUnavailableError
from meta_service.store.store import Store
from tests.dead_link import dead_link
from tests.meta_service.domain.test_accounts import NOBODY
from tests.waiting import until

SHORT_S = 0.1
BACKENDS = "SELECT pg_backend_pid()"


async def at_once(store: Store, count: int) -> list[Any]:
    """So many reads at once; their answers or errors."""
    answers: list[Any] = await asyncio.gather(
        *(store.read("SELECT pg_sleep(0.01)") for _ in range(count)), return_exceptions=True
    )
    return answers


async def test_each_dead_connection_costs_one_request_and_the_pool_goes_on(store_url: str) -> None:
    async with dead_link(store_url) as link:
        store = Store(link.url, SystemClock(), answer_s=SHORT_S, connections=4)
        assert all(isinstance(answer, list) for answer in await at_once(store, 4))
        link.kill()
        answers = await at_once(store, 4)
        assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
        assert all(isinstance(answer, list) for answer in await at_once(store, 4))
        await store.close()


async def test_after_one_late_statement_no_other_request_pays_for_a_dead_connection(store_url: str) -> None:
    async with dead_link(store_url) as link:
        store = Store(link.url, SystemClock(), answer_s=5 * SHORT_S, connections=4)
        await at_once(store, 4)
        link.kill()
        with pytest.raises(StoreLateError):
            await store.read("SELECT 1")
        answers = await at_once(store, 4)
        assert all(isinstance(answer, list) for answer in answers), answers
        await store.close()


async def test_a_frozen_backend_holds_up_its_own_request_alone(store_url: str) -> None:
    store = Store(store_url, SystemClock(), answer_s=SHORT_S)
    pid = (await store.read(BACKENDS))[0][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError):
            await store.read("SELECT 1")
        assert (await store.read(BACKENDS))[0][0] != pid
        assert await store.is_up()
    finally:
        os.kill(pid, signal.SIGCONT)
        await store.close()


async def test_a_time_out_of_ones_own_is_not_taken_for_an_outage(store_url: str) -> None:
    store = Store(store_url, SystemClock(), answer_s=SHORT_S)
    with pytest.raises(StoreUnavailableError):
        await store.read("SELECT pg_sleep(30)")
    assert len(await store.read("SELECT 1")) == 1
    await store.close()


async def test_a_request_waits_no_longer_than_it_has_left(store_url: str) -> None:
    clock = SystemClock()
    store = Store(store_url, clock, answer_s=600.0, change_s=600.0)
    with deadline.serving(clock.monotonic() + SHORT_S), pytest.raises(StoreUnavailableError):
        await store.change("SELECT pg_sleep(600)")
    with deadline.serving(clock.monotonic() - 1.0), pytest.raises(StoreUnavailableError):
        await store.read("SELECT 1")
    await store.close()


async def test_whoever_finds_every_connection_busy_waits_within_their_time(store_url: str) -> None:
    store = Store(store_url, SystemClock(), answer_s=SHORT_S, connections=2)
    answers = await asyncio.gather(
        *(store.read("SELECT pg_sleep(30)") for _ in range(6)), return_exceptions=True
    )
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    assert len(await store.read("SELECT 1")) == 1
    await store.close()


async def test_a_store_that_refuses_connections_is_away_until_it_takes_one(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.store.presence.RETRY_S", 0.02)
    server, database = store_url.rsplit("/", 1)
    admin = await asyncpg.connect(f"{server}/postgres")
    store = Store(store_url, SystemClock())
    try:
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        assert not await store.is_up()
        with pytest.raises(StoreUnavailableError, match="is away"):
            await store.read("SELECT 1")
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await until(lambda: store.read("SELECT 1"), ignore=StoreUnavailableError)
    finally:
        await admin.close()
        await store.close()


async def test_nobody_behind_an_address_is_an_outage() -> None:
    store = Store(NOBODY, SystemClock())
    assert not await store.is_up()
    await store.close()


async def test_the_first_connections_are_opened_before_they_are_needed(store_url: str) -> None:
    async with dead_link(store_url) as link:
        store = Store(link.url, SystemClock())
        await store.warm("SELECT 1")
        assert link.opened == 2
        await store.read("SELECT 1")
        assert link.opened == 2
        await store.close()


async def test_a_store_that_is_away_leaves_nothing_warm_and_raises_nothing() -> None:
    store = Store(NOBODY, SystemClock())
    await store.warm("SELECT 1")
    await store.close()


async def test_a_lost_race_is_run_again_from_its_start(store_url: str) -> None:
    store = Store(store_url, SystemClock())
    await store.change("CREATE SEQUENCE tries")
    await store.change(
        "CREATE FUNCTION third_time() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO progression (player_id, xp) VALUES (7, 1);"
        " IF nextval('tries') < 3 THEN RAISE serialization_failure; END IF; RETURN currval('tries'); END $$"
    )
    assert (await store.change("SELECT third_time()"))[0][0] == 3
    assert (await store.read("SELECT xp FROM progression"))[0][0] == 1
    await store.close()


async def test_a_race_that_is_always_lost_ends(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_service.store.store.MAX_PAUSE_S", 0.0)
    store = Store(store_url, SystemClock())
    with pytest.raises(StoreUnavailableError, match="lost a race"):
        await store.change("DO $$ BEGIN RAISE deadlock_detected; END $$")
    await store.close()
