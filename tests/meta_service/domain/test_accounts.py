from __future__ import annotations

import time

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.settings import Settings
from meta_service.client import MetaRefusedError, MetaUnavailableError
from meta_service.domain import accounts
from tests.meta_service.conftest import Backend, Clock, drain, running

NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"  # port 1 refuses


@given(st.text(min_size=1))
def test_a_device_always_has_the_same_candidate_ids_and_they_are_63_bits(device_id: str) -> None:
    ids = accounts.candidate_ids(accounts.device_hash(device_id))
    assert ids == accounts.candidate_ids(accounts.device_hash(device_id))
    assert len(ids) == accounts.CANDIDATES
    assert all(0 < id_ < 2**63 for id_ in ids)


async def test_the_first_login_opens_the_account_and_the_second_finds_it(backend: Backend) -> None:
    first = await backend.client.login_device("a-device-of-mine")
    second = await backend.client.login_device("a-device-of-mine")
    assert first.created
    assert not second.created
    assert first.player_id == second.player_id


async def test_a_session_token_names_the_player_and_expires_when_it_says(backend: Backend) -> None:
    login = await backend.login()
    identity = backend.app.state.signer.verify(login.session_token, time.time())
    assert identity.player_id == login.player_id
    assert identity.expires_at == login.expires_at


async def test_a_new_player_wears_the_default_skin_at_level_one(backend: Backend) -> None:
    login = await backend.login()
    profile = await backend.client.profile(login.session_token)
    assert (profile.player_id, profile.skin, profile.level, profile.xp) == (login.player_id, "recruit", 1, 0)
    assert (profile.version, profile.sync, profile.ratings) == (0, "synced", {})


async def test_two_devices_that_fall_on_one_id_get_two_players(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter([[7], [7, 8]])
    monkeypatch.setattr(accounts, "candidate_ids", lambda _: next(ids))
    assert (await backend.client.login_device("first-device")).player_id == 7
    assert (await backend.client.login_device("second-device")).player_id == 8


async def test_accounts_reach_the_store(backend: Backend, store: asyncpg.Connection) -> None:
    login = await backend.client.login_device("stored-device")
    await drain(backend)
    row = await store.fetchrow("SELECT * FROM accounts")
    assert row["player_id"] == login.player_id
    assert row["device_hash"] == accounts.device_hash("stored-device")
    assert row["created_at"].timestamp() == pytest.approx(backend.clock.now(), abs=0.002)


async def test_a_player_survives_the_loss_of_the_cache(backend: Backend, store: asyncpg.Connection) -> None:
    login = await backend.client.login_device("cached-device")
    changed = await backend.client.set_loadout(login.session_token, "scout")
    await drain(backend)
    await store.execute("INSERT INTO progression (player_id, xp, level) VALUES ($1, 900, 4)", login.player_id)
    await store.execute("INSERT INTO ratings VALUES ($1, 'battle_royale', 31.5, 2.25)", login.player_id)
    await backend.app.state.context.players.cache.redis.flushall()

    profile = await backend.client.profile(login.session_token)
    assert (profile.skin, profile.version, profile.xp, profile.level) == (
        "scout",
        changed.version,
        900,
        4,
    )
    assert (profile.ratings["battle_royale"].mu, profile.ratings["battle_royale"].sigma) == (31.5, 2.25)
    again = await backend.client.login_device("cached-device")
    assert (again.player_id, again.created) == (login.player_id, False)


async def test_a_loadout_version_does_not_go_back_when_cache_and_clock_are_lost(backend: Backend) -> None:
    login = await backend.login()
    before = await backend.client.set_loadout(login.session_token, "scout")
    await drain(backend)
    await backend.app.state.context.players.cache.redis.flushall()
    backend.clock.advance(-3600)
    after = await backend.client.set_loadout(login.session_token, "recruit")
    assert after.version > before.version


async def test_players_log_in_and_dress_while_the_store_is_away(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        login = await backend.client.login_device("stubborn-device")
        assert login.created
        assert (await backend.client.set_loadout(login.session_token, "scout")).sync == "pending"
        profile = await backend.client.profile(login.session_token)
        assert (profile.skin, profile.sync) == ("scout", "pending")
        assert not (await backend.client.login_device("stubborn-device")).created


async def test_a_player_made_while_the_store_was_away_gets_back_what_it_knew(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    login = await backend.client.login_device("returning-device")
    await backend.client.set_loadout(login.session_token, "scout")
    await drain(backend)
    await backend.app.state.context.players.cache.redis.flushall()
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        again = await without_store.client.login_device("returning-device")
        assert again.player_id == login.player_id
        assert (await without_store.client.profile(again.session_token)).skin == "recruit"
    assert (await backend.client.profile(again.session_token)).skin == "scout"


async def test_a_player_that_only_the_store_could_know_is_told_to_try_again(
    settings: Settings, clock: Clock
) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        token = backend.app.state.signer.player_token(99, time.time(), 60)
        answer = await backend.http.get("/v1/profile", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["type"] == "urn:launchday:store-unavailable"
        with pytest.raises(MetaUnavailableError):
            await backend.client.profile(token)


async def test_a_player_whom_nobody_knows_is_told_to_log_in(backend: Backend) -> None:
    token = backend.app.state.signer.player_token(99, time.time(), 60)
    with pytest.raises(MetaRefusedError, match="log in") as caught:
        await backend.client.profile(token)
    assert (caught.value.status, caught.value.kind) == (404, "unknown-player")
    with pytest.raises(MetaRefusedError, match="log in"):
        await backend.client.set_loadout(token, "scout")
