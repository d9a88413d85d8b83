"""The store stops and comes back: what goes on meanwhile, and that nothing is missing after it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.client import MetaUnavailableError
from meta_service.store import catalogue
from tests.dead_link import dead_link
from tests.meta_service.conftest import Backend, Clock, drained, new_match, result, running, working
from tests.meta_service.domain.test_shop import CRATE, fund
from tests.waiting import until


@dataclass
class Outage:
    """Ends and begins the store for everybody but the test's own connection to another database."""

    admin: asyncpg.Connection
    database: str

    async def begin(self) -> None:
        await self.admin.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS false")
        await self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", self.database
        )

    async def end(self) -> None:
        await self.admin.execute(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS true")


@pytest.fixture
async def outage(store_url: str) -> AsyncIterator[Outage]:
    server, database = store_url.rsplit("/", 1)
    admin = await asyncpg.connect(f"{server}/postgres")
    found = Outage(admin, database)
    yield found
    await found.end()
    await admin.close()


async def test_players_play_on_without_the_store_and_all_of_it_is_there_afterwards(
    backend: Backend, outage: Outage, store: asyncpg.Connection
) -> None:
    await catalogue.put(store, [CRATE])
    login = await backend.client.login_device("a-device-of-long-standing")
    await fund(backend, login, 100)
    async with working(backend.settings, backend.clock):
        await drained(backend)
        await outage.begin()
        again = await backend.client.login_device("a-device-of-long-standing")
        assert again.player_id == login.player_id
        changed = await backend.client.set_loadout(again.session_token, "scout")
        assert changed.sync == "pending"
        match = new_match()
        out = await backend.client.check_out(match, "s", "east-us", 60, [login.player_id])
        backend.clock.advance(30)
        told = [result(login.player_id, out.checked_out[0].fence, kills=4)]
        assert (await backend.client.commit(match, told)).refused == []
        headers = {"Authorization": f"Bearer {again.session_token}", "Idempotency-Key": "meanwhile-bought"}
        answer = await backend.http.post("/v1/store/purchases", json={"item_id": "crate"}, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        profile = await backend.client.profile(again.session_token)
        assert (profile.skin, profile.sync, profile.balances) == ("scout", "pending", {"coins": 100})
        assert (await backend.client.counters()).writebehind_depth == 4  # session, loadout, check-out, commit

        await outage.end()
        await drained(backend)
    assert (await backend.client.profile(again.session_token)).sync == "synced"
    own = await asyncpg.connect(backend.settings.store_url)
    try:
        row = await own.fetchrow("SELECT outcome, kills FROM match_history")
        assert (row["outcome"], row["kills"]) == ("committed", 4)
        assert await own.fetchval("SELECT version FROM loadouts") == changed.version
    finally:
        await own.close()

    async def bought() -> bool:
        try:
            purchase = await backend.client.purchase(again.session_token, "meanwhile-bought", "crate")
        except MetaUnavailableError:
            return False  # the API looks at the store again once a second
        return purchase.balance == 50

    await until(bought)
    assert await backend.client.wallet(again.session_token) == {"coins": 50}


async def test_leases_end_in_time_while_the_store_is_away(
    backend: Backend, outage: Outage, redis: Redis
) -> None:
    login = await backend.login()
    await backend.client.check_out(new_match(), "s", "east-us", 10, [login.player_id])
    await outage.begin()
    backend.clock.advance(11)
    async with working(backend.settings, backend.clock):

        async def expired() -> bool:
            return bool(await redis.hget(backend.keys.player(login.player_id), "lease_state") == "expired")

        await until(expired)


async def test_a_connection_cut_off_in_the_middle_is_an_outage_and_no_failure(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg then raises an error of its own that is none of those it documents."""

    async def cut(*_: object, **__: object) -> list[object]:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    login = await backend.login()
    monkeypatch.setattr("meta_service.store.store.Store._fetch", cut)
    headers = {"Authorization": f"Bearer {login.session_token}", "Idempotency-Key": "cut-off-here"}
    answer = await backend.http.post("/v1/store/purchases", json={"item_id": "crate"}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:launchday:store-unavailable")


async def test_a_connection_that_dies_without_a_word_holds_the_worker_up_for_one_batch(
    backend: Backend, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover: what is sent over the old connection goes nowhere, and new ones are well."""
    monkeypatch.setattr("meta_service.writebehind.worker.APPLY_S", 0.2)
    async with dead_link(backend.settings.store_url) as link:
        settings = backend.settings.model_copy(update={"store_url": link.url})
        async with working(settings, backend.clock):
            login = await backend.login()
            await drained(backend)
            link.kill()
            changed = await backend.client.set_loadout(login.session_token, "scout")
            await drained(backend)
    assert await store.fetchval("SELECT version FROM loadouts") == changed.version


async def test_a_frozen_backend_of_the_store_holds_the_worker_up_for_one_batch(
    backend: Backend, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_service.writebehind.worker.APPLY_S", 0.2)
    async with working(backend.settings, backend.clock, name="frozen"):
        login = await backend.login()
        await drained(backend)
        pids = await store.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COMMIT%'"
        )
        frozen = [row["pid"] for row in pids]
        assert frozen
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            await backend.client.set_loadout(login.session_token, "scout")
            await drained(backend)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


async def test_purchases_and_logins_go_on_after_every_connection_has_died(
    settings: Settings, clock: Clock, store: asyncpg.Connection
) -> None:
    await catalogue.put(store, [CRATE])
    async with dead_link(settings.store_url) as link:
        short = {"store_url": link.url, "store_answer_s": 0.2, "requests_per_player_s": 0.0}
        async with running(settings.model_copy(update=short), clock) as backend:
            login = await backend.login()
            await fund(backend, login, 1000)
            await asyncio.gather(*(backend.client.wallet(login.session_token) for _ in range(16)))
            link.kill()
            assert (await backend.client.login_device("somebody-new")).created
            await until(
                lambda: backend.client.purchase(login.session_token, "after-the-death", "crate"),
                ignore=MetaUnavailableError,
            )
            assert await backend.app.state.context.players.store.is_up()
    assert await store.fetchval("SELECT count(*) FROM purchases") == 1
