"""A banned player comes in by no door, from the moment the operator is answered, until the ban's end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError, Session
from meta_service.domain.players import Players
from tests.meta_service.conftest import Backend, Clock, drain, new_match, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_shop import refused
from tests.meta_service.writebehind.test_regions import Regions, in_store, regions
from tests.waiting import until

__all__ = ["regions"]  # a fixture

PASSWORD = "correct horse battery staple"
DEVICE = "the-device-of-a-cheater"
SPAWN_CAMPING = "spawn camping"


@contextlib.asynccontextmanager
async def operating(
    backend: Backend, name: str = "nina", role: str = "operator"
) -> AsyncIterator[MetaClient]:
    token = backend.app.state.signer.service_token(name, backend.clock.now(), roles=(role,))
    transport = httpx2.ASGITransport(backend.app, raise_app_exceptions=False)
    async with MetaClient("http://meta", token, transport=transport) as client:
        yield client


@pytest.fixture
async def operator(backend: Backend) -> AsyncIterator[MetaClient]:
    async with operating(backend) as client:
        yield client


async def cheater(backend: Backend, name: str = "cheater.7") -> Session:
    """A player of whom the store has everything, with a device and a password."""
    login = await backend.client.login_device(DEVICE)
    await backend.client.set_password(login.session_token, name, PASSWORD)
    await drain(backend)
    return login


def doors(backend: Backend, login: Session) -> dict[str, Callable[[], Awaitable[object]]]:
    client = backend.client
    return {
        "device": lambda: client.login_device(DEVICE),
        "password": lambda: client.login_password("cheater.7", PASSWORD),
        "refresh": lambda: client.refresh(login.refresh_token),
        "profile": lambda: client.profile(login.session_token),
        "loadout": lambda: client.set_loadout(login.session_token, emotes=[]),
        "wallet": lambda: client.wallet(login.session_token),
        "party": lambda: client.create_party(login.session_token),
    }


async def test_a_ban_holds_at_every_door_says_why_and_until_when_and_ends_by_itself(
    backend: Backend, operator: MetaClient
) -> None:
    login = await cheater(backend)
    ends_at = backend.clock.now() + 3600
    ban = await operator.ban(login.player_id, SPAWN_CAMPING, ends_at)
    assert (ban.reason, ban.banned_by, ban.holds) == (SPAWN_CAMPING, "nina", True)
    assert await operator.ban(login.player_id, SPAWN_CAMPING, ends_at) == ban  # repeated: nothing new
    for name, door in doors(backend, login).items():
        with refused("banned") as caught:
            await door()
        assert caught.value.status == 403, name
        assert SPAWN_CAMPING in str(caught.value)
    answer = await backend.http.post("/v1/login/device", json={"device_id": DEVICE})
    assert (answer.json()["reason"], answer.json()["ends_at"]) == (SPAWN_CAMPING, pytest.approx(ends_at))
    skills = await backend.client.skills("duel", [login.player_id])
    assert skills.banned[login.player_id].reason == SPAWN_CAMPING
    taken = await backend.client.check_out(new_match(), "a-server", "local", 60.0, [login.player_id])
    assert [(refusal.reason, refusal.banned) for refusal in taken.refused] == [("unknown-player", True)]

    backend.clock.advance(3601)
    for door in doors(backend, login).values():  # the device comes first: it opens another session
        with contextlib.suppress(MetaRefusedError):
            await door()
    again = await backend.client.login_device(DEVICE)
    assert (await backend.client.profile(again.session_token)).player_id == login.player_id
    assert not (await backend.client.skills("duel", [login.player_id])).banned
    assert [one.holds for one in (await operator.player(login.player_id)).bans] == [False]


async def test_a_session_outlives_the_ban_of_its_player(backend: Backend, operator: MetaClient) -> None:
    login = await cheater(backend)
    await operator.ban(login.player_id, SPAWN_CAMPING)
    with refused("banned"):
        await backend.client.profile(login.session_token)
    assert await operator.lift_ban(login.player_id, "it was a replay bug")
    await backend.client.profile(login.session_token)
    assert not await operator.lift_ban(login.player_id, "once more")


async def test_each_act_of_an_operator_is_noted_and_the_newest_ban_counts(
    backend: Backend, operator: MetaClient
) -> None:
    login = await cheater(backend)
    other = await backend.login()
    await drain(backend)
    await operator.ban(login.player_id, SPAWN_CAMPING, backend.clock.now() + 60)
    await operator.ban(login.player_id, "and a speed hack")
    async with operating(backend, "otto") as otto:
        await otto.ban(other.player_id, "a bot")
        await otto.lift_ban(login.player_id, "pardoned")
    acts = await operator.audit(player_id=login.player_id)
    assert [(act.operator, act.action, act.reason) for act in acts] == [
        ("otto", "unban", "pardoned"),
        ("nina", "ban", "and a speed hack"),
        ("nina", "ban", SPAWN_CAMPING),
    ]
    assert [act.player_id for act in await operator.audit(operator="otto", limit=1)] == [login.player_id]
    older = await operator.audit(operator="otto", before=acts[0].action_no)
    assert [act.player_id for act in older] == [other.player_id]
    bans = (await operator.player(login.player_id)).bans
    assert [(ban.reason, ban.holds, ban.lifted_by, ban.lift_reason) for ban in bans] == [
        ("and a speed hack", False, "otto", "pardoned"),
        (SPAWN_CAMPING, False, "nina", "replaced by another ban"),
    ]
    async with operating(backend, "vera", "viewer") as viewer:
        assert (await viewer.player(login.player_id)).display_name
        with refused("forbidden"):
            await viewer.ban(other.player_id, SPAWN_CAMPING)
    with refused("unknown-player"):
        await operator.ban(4711, SPAWN_CAMPING)
    with refused("ban-over"):
        await operator.ban(other.player_id, SPAWN_CAMPING, backend.clock.now())
    assert [act.action for act in await operator.audit(player_id=other.player_id)] == ["ban"]


async def test_bans_come_back_from_the_store_before_anybody_gets_in(
    backend: Backend, operator: MetaClient, redis: Redis
) -> None:
    login = await cheater(backend)
    await operator.ban(login.player_id, SPAWN_CAMPING)
    for name, door in doors(backend, login).items():
        await redis.flushall()
        with refused("banned"):
            await door()
        assert name
    await redis.flushall()
    answer = await backend.client.check_out(new_match(), "a-server", "local", 60.0, [login.player_id])
    assert answer.refused[0].banned


async def test_a_ban_holds_while_the_store_is_away_and_none_is_made_then(
    backend: Backend, operator: MetaClient, settings: Settings, clock: Clock
) -> None:
    login = await cheater(backend)
    other = await backend.login()
    await operator.ban(login.player_id, SPAWN_CAMPING)
    away = settings.model_copy(update={"store_url": NOBODY, "requests_per_player_s": 0.0})
    async with running(away, clock) as alone, operating(alone) as operator_alone:
        for door in doors(alone, login).values():
            with refused("banned"):
                await door()
        with pytest.raises(MetaUnavailableError):
            await operator_alone.ban(other.player_id, SPAWN_CAMPING)
        await alone.client.profile(other.session_token)


async def test_the_servers_of_players_matches_are_told_whom_to_kick(
    backend: Backend, operator: MetaClient
) -> None:
    login, other = await cheater(backend), await backend.login()
    match_id = new_match()
    await backend.client.check_out(match_id, "a-server", "local", 60.0, [login.player_id, other.player_id])
    before = await backend.client.kicks(match_id)
    await operator.ban(login.player_id, SPAWN_CAMPING)
    told = await backend.client.kicks(match_id, before.cursor)
    assert [(kick.player_id, kick.why) for kick in told.kicks] == [(login.player_id, "banned")]
    assert not (await backend.client.kicks(match_id, told.cursor)).kicks
    assert not (await backend.client.kicks(new_match())).kicks
    ends = (await backend.client.session_ends()).ends
    assert [(end.player_id, end.why, end.live) for end in ends] == [(login.player_id, "revoked", False)]


async def test_whose_tokens_open_nothing_any_more_is_told_with_the_session_and_the_end(
    backend: Backend, operator: MetaClient
) -> None:
    older = await cheater(backend)
    cursor = (await backend.client.revocations()).cursor
    newer = await backend.client.login_device(DEVICE)
    await operator.ban(older.player_id, SPAWN_CAMPING, backend.clock.now() + 60)
    await operator.lift_ban(older.player_id, "pardoned")
    await backend.client.log_out(newer.session_token)
    told = await backend.client.revocations(cursor)
    verify = backend.app.state.signer.verify
    sessions = [verify(each.session_token, backend.clock.now()).session_id for each in (older, newer)]
    assert [(one.why, one.session_id) for one in told.revocations] == [
        ("superseded", sessions[0]), ("banned", ""), ("unbanned", ""), ("logged-out", sessions[1]),
    ]  # fmt: skip
    superseded, banned, _, _ = told.revocations
    assert superseded.until > older.expires_at
    assert banned.reason == SPAWN_CAMPING
    assert banned.until == pytest.approx(backend.clock.now() + 60, abs=0.01)
    cursor = told.cursor
    await backend.client.login_device(DEVICE)
    backend.clock.advance(2 * 3600)
    await backend.client.login_device(DEVICE)  # nobody holds a token of so long ago
    assert not (await backend.client.revocations(cursor)).revocations


async def test_a_ban_reaches_other_regions_and_the_match_that_is_played_there(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await regions.east.client.login_device(DEVICE)
    await in_store(store, "accounts")
    match_id = new_match()
    await regions.east.client.check_out(match_id, "a-server", "east", 60.0, [login.player_id])
    async with operating(regions.west) as operator:
        await operator.ban(login.player_id, SPAWN_CAMPING)

    async def kicked() -> bool:
        return bool((await regions.east.client.kicks(match_id)).kicks)

    await until(kicked, "the east hears of the ban")
    with refused("banned"):
        await regions.east.client.profile(login.session_token)
    with refused("banned"):
        await regions.west.client.login_device(DEVICE)


async def test_a_session_that_a_login_in_another_region_ended_is_told_in_the_region_of_its_tokens(
    regions: Regions, store: asyncpg.Connection
) -> None:
    older = await regions.east.client.login_device(DEVICE)
    await in_store(store, "sessions")
    regions.clock.advance(1)
    await regions.west.client.login_device(DEVICE)

    async def told() -> bool:
        found = (await regions.east.client.revocations()).revocations
        return [one.why for one in found] == ["superseded"]

    await until(told, "the east hears of the login in the west")
    with refused("session-superseded"):
        await regions.east.client.profile(older.session_token)


async def test_a_ban_whose_api_died_before_the_cache_heard_of_it_is_brought_by_the_worker(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await cheater(backend)
    await store.execute(
        "SELECT ban_player($1, 'a bot', NULL, 'nina', $2, NULL, false)", login.player_id, backend.clock.now()
    )
    players: Players = backend.app.state.context.players
    assert await players.cache.ban(login.player_id) is None
    await drain(backend)

    async def known() -> bool:
        return await players.cache.ban(login.player_id) is not None

    await until(known, "the worker brings the ban")
