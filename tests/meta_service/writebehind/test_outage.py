"""The store stops and comes back: what goes on meanwhile, and that nothing is missing after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from meta_service.cache import keys
from meta_service.client import MetaUnavailableError
from meta_service.store import catalogue
from tests.meta_service.conftest import Backend, drained, new_match, result, working
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
        changed = await backend.client.set_loadout(again.session_token, "nightfall")
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
        assert (profile.skin, profile.sync, profile.balances) == ("nightfall", "pending", {"coins": 100})
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
            return bool(await redis.hget(keys.player(login.player_id), "lease_state") == "expired")

        await until(expired)


async def test_a_connection_cut_off_in_the_middle_is_an_outage_and_no_failure(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg then raises an error of its own that is none of those it documents."""

    async def cut(*_: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    login = await backend.login()
    monkeypatch.setattr("meta_service.domain.idempotency.run_once", cut)
    headers = {"Authorization": f"Bearer {login.session_token}", "Idempotency-Key": "cut-off-here"}
    answer = await backend.http.post("/v1/store/purchases", json={"item_id": "crate"}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:launchday:store-unavailable")
