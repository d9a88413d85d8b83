from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.rate_limit import RateLimit
from launchday.settings import Settings
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError, MetaUnavailableError, SessionEnds
from meta_service.domain import credentials
from meta_service.domain.hashing import Passwords
from meta_service.rate_limit import BURST_S
from tests.meta_service.conftest import Backend, Clock, drain, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_shop import refused

PASSWORD = "correct horse battery staple"


async def test_a_login_elsewhere_ends_the_older_session_and_tells_it(backend: Backend) -> None:
    older = await backend.client.login_device("a-shared-device")
    newer = await backend.client.login_device("a-shared-device")
    client, stale = backend.client, older.session_token
    for call in (client.profile(stale), client.set_loadout(stale, "scout"), client.wallet(stale)):
        with pytest.raises(MetaRefusedError, match="logged in elsewhere") as told:
            await call
        assert (told.value.status, told.value.kind) == (401, "session-superseded")
    with refused("session-superseded"):
        await client.refresh(older.refresh_token)
    assert (await client.profile(newer.session_token)).skin == "recruit"


async def test_of_many_logins_at_once_one_session_lives(backend: Backend) -> None:
    logins = await asyncio.gather(*(backend.client.login_device("a-busy-device") for _ in range(12)))
    answers = await asyncio.gather(
        *(backend.client.profile(login.session_token) for login in logins), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1


async def test_a_refresh_token_gives_the_next_pair(backend: Backend) -> None:
    login = await backend.login()
    for _ in range(3):
        backend.clock.advance(60)
        login = await backend.client.refresh(login.refresh_token)
        assert (await backend.client.profile(login.session_token)).player_id == login.player_id


async def test_an_exchange_whose_answer_was_lost_may_be_repeated_until_its_outcome_is_used(
    backend: Backend,
) -> None:
    login = await backend.login()
    for slept_s in (0, 11, 289, 300):
        backend.clock.advance(slept_s)
        again = await backend.client.refresh(login.refresh_token)
        await backend.client.profile(login.session_token)  # of the pair before: it says nothing of the answer
    backend.clock.advance(500)
    assert (await backend.client.refresh(again.refresh_token)).player_id == login.player_id


async def test_an_exchange_is_not_repeated_after_the_time_for_it(backend: Backend) -> None:
    login = await backend.login()
    await backend.client.refresh(login.refresh_token)
    backend.clock.advance(600.1)
    with refused("refresh-token-reused"):
        await backend.client.refresh(login.refresh_token)


@pytest.mark.parametrize("use", ["profile", "loadout", "wallet", "refresh"])
async def test_a_copy_beside_a_successor_that_is_used_ends_the_session_for_thief_and_owner(
    backend: Backend, use: str
) -> None:
    login = await backend.login()
    owners = await backend.client.refresh(login.refresh_token)
    match use:
        case "profile":
            await backend.client.profile(owners.session_token)
        case "loadout":
            await backend.client.set_loadout(owners.session_token, "scout")
        case "wallet":
            await backend.client.wallet(owners.session_token)
        case _:
            await backend.client.refresh(owners.refresh_token)
    with refused("refresh-token-reused"):
        await backend.client.refresh(login.refresh_token)
    for call in (backend.client.profile(owners.session_token), backend.client.refresh(owners.refresh_token)):
        with refused("session-revoked"):
            await call


async def test_four_exchanges_at_once_give_pairs_that_are_all_good(backend: Backend) -> None:
    login = await backend.login()
    pairs = await asyncio.gather(*(backend.client.refresh(login.refresh_token) for _ in range(4)))
    for pair in pairs:
        await backend.client.profile(pair.session_token)
    assert (await backend.client.refresh(pairs[0].refresh_token)).player_id == login.player_id


async def test_a_lost_cache_forgets_neither_a_lost_answer_nor_that_a_successor_was_used(
    backend: Backend, redis: Redis
) -> None:
    lost, copied = await backend.logins(2)
    await backend.client.refresh(lost.refresh_token)
    owners = await backend.client.refresh(copied.refresh_token)
    await backend.client.wallet(owners.session_token)
    await drain(backend)
    await redis.flushall()
    backend.clock.advance(300)
    assert (await backend.client.refresh(lost.refresh_token)).player_id == lost.player_id
    with refused("refresh-token-reused"):
        await backend.client.refresh(copied.refresh_token)


async def test_without_the_store_a_lost_answer_is_repeated_and_a_copy_is_found(
    settings: Settings, clock: Clock
) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        lost, copied = await backend.logins(2)
        await backend.client.refresh(lost.refresh_token)
        owners = await backend.client.refresh(copied.refresh_token)
        await backend.client.profile(owners.session_token)
        clock.advance(300)
        assert (await backend.client.refresh(lost.refresh_token)).player_id == lost.player_id
        with refused("refresh-token-reused"):
            await backend.client.refresh(copied.refresh_token)


async def test_the_use_of_a_pair_is_noted_once(backend: Backend, redis: Redis) -> None:
    login = await backend.login()
    pair = await backend.client.refresh(login.refresh_token)
    changes = await redis.xlen(ONE.home.stream)
    for _ in range(3):
        await backend.client.profile(login.session_token)
        await backend.client.profile(pair.session_token)
    assert await redis.xlen(ONE.home.stream) == changes + 1


async def test_neither_token_does_the_others_work(backend: Backend) -> None:
    login = await backend.login()
    with pytest.raises(MetaRefusedError) as told:
        await backend.client.profile(login.refresh_token)
    assert told.value.status == 403
    with refused("invalid-token"):
        await backend.client.refresh(login.session_token)
    with refused("invalid-token"):
        await backend.client.refresh("nonsense")


async def test_who_logged_out_is_out_and_may_log_in_again(backend: Backend) -> None:
    login = await backend.client.login_device("a-device-of-mine")
    assert await backend.client.log_out(login.session_token)
    with refused("session-revoked"):
        await backend.client.set_loadout(login.session_token, "scout")
    with refused("session-revoked"):
        await backend.client.log_out(login.session_token)
    login = await backend.client.login_device("a-device-of-mine")
    await backend.client.profile(login.session_token)


async def test_a_service_ends_whichever_session_a_player_has(backend: Backend) -> None:
    login = await backend.login()
    assert await backend.client.revoke(login.player_id)
    assert not await backend.client.revoke(login.player_id)
    with refused("session-revoked"):
        await backend.client.profile(login.session_token)


async def test_the_matchmaker_is_told_who_was_logged_out_and_who_is_back(backend: Backend) -> None:
    one, two, three = [await backend.client.login_device(f"a-device-of-{n}") for n in range(3)]
    await backend.client.login_device("a-device-of-0")  # elsewhere: nobody is logged out
    cursor = (await backend.client.session_ends()).cursor
    assert cursor == "0-0"
    await backend.client.log_out(two.session_token)
    await backend.client.revoke(three.player_id)
    backend.clock.advance(1)
    await backend.client.login_device("a-device-of-1")
    told = await backend.client.session_ends(cursor)
    assert [(end.player_id, end.why, end.live) for end in told.ends] == [
        (two.player_id, "logged-out", True),
        (three.player_id, "revoked", False),
    ]
    assert all(0 <= end.ended_at - (backend.clock.now() - 1) <= 0.001 for end in told.ends)
    assert (await backend.client.session_ends(told.cursor)) == SessionEnds([], told.cursor)
    await backend.client.revoke(three.player_id)  # once more: a superseded device may have queued them since
    again = await backend.client.session_ends(told.cursor)
    assert [end.player_id for end in again.ends] == [three.player_id]
    later = (
        f"{int(again.cursor.partition('-')[0]) + 60_000}-0"  # the cache lost the stream, its clock went back
    )
    assert len((await backend.client.session_ends(later)).ends) == 3
    skills = await backend.client.skills("duel", [one.player_id, two.player_id, three.player_id])
    assert skills.logged_out == [three.player_id]


async def test_a_lost_cache_does_not_revive_an_ended_session(backend: Backend, redis: Redis) -> None:
    login = await backend.login()
    other = await backend.login()
    await backend.client.revoke(login.player_id)
    await drain(backend)
    await redis.flushall()
    with refused("session-revoked"):
        await backend.client.wallet(login.session_token)
    assert (await backend.client.refresh(other.refresh_token)).player_id == other.player_id
    await drain(backend)
    await redis.flushall()
    assert await backend.client.revoke(other.player_id)


async def test_a_player_logs_in_by_name_and_password(backend: Backend) -> None:
    login = await backend.login()
    account = await backend.client.set_password(login.session_token, "Nina.7", PASSWORD)
    assert (account.player_id, account.name) == (login.player_id, "nina.7")
    again = await backend.client.login_password("NINA.7", PASSWORD)
    assert (again.player_id, again.created) == (login.player_id, False)
    with refused("session-superseded"):
        await backend.client.profile(login.session_token)


async def test_a_wrong_name_and_a_wrong_password_are_told_alike(backend: Backend) -> None:
    login = await backend.login()
    await backend.client.set_password(login.session_token, "nina.7", PASSWORD)
    told = []
    for name, password in (("nina.7", "wrong password"), ("nobody.7", PASSWORD)):
        with refused("wrong-password") as caught:
            await backend.client.login_password(name, password)
        told.append(str(caught.value))
    assert told[0] == told[1]


async def test_a_password_changes_only_with_the_one_before(backend: Backend) -> None:
    login = await backend.login()
    token = login.session_token
    await backend.client.set_password(token, "nina.7", PASSWORD)
    with refused("wrong-password"):
        await backend.client.set_password(token, "nina.7", "another password", "not the one")
    with refused("wrong-password"):
        await backend.client.set_password(token, "nina.7", "another password")
    await backend.client.set_password(token, "nina.7", "another password", PASSWORD)
    with refused("wrong-password"):
        await backend.client.login_password("nina.7", PASSWORD)
    await backend.client.login_password("nina.7", "another password")


async def test_a_name_belongs_to_one_account_for_good(backend: Backend) -> None:
    logins = await backend.logins(4)
    answers = await asyncio.gather(
        *(backend.client.set_password(login.session_token, "nina.7", PASSWORD) for login in logins),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    winner = next(
        login for login, answer in zip(logins, answers, strict=True) if not isinstance(answer, BaseException)
    )
    with refused("name-taken"):
        await backend.client.set_password(winner.session_token, "other.name", PASSWORD, PASSWORD)


async def test_guessing_passwords_ends_after_a_few_attempts_and_the_owner_elsewhere_is_let_in(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, redis: Redis
) -> None:
    monkeypatch.setattr(credentials, "MAX_ATTEMPTS", 2)
    login = await backend.login()
    await backend.client.set_password(login.session_token, "nina.7", PASSWORD)
    for _ in range(2):
        with refused("wrong-password"):
            await backend.client.login_password("nina.7", "a wrong guess")
    answer = await backend.http.post("/v1/login/password", json={"name": "nina.7", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert 0 < await redis.ttl(backend.keys.attempts("nina.7", "127.0.0.1")) <= credentials.ATTEMPTS_WINDOW_S
    elsewhere = httpx2.ASGITransport(backend.app, client=("192.0.2.7", 1234))
    async with httpx2.AsyncClient(base_url="http://meta", transport=elsewhere) as owner:
        answer = await owner.post("/v1/login/password", json={"name": "nina.7", "password": PASSWORD})
        assert answer.status_code == 200


async def test_a_password_login_works_while_the_store_is_away(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    login = await backend.login()
    await backend.client.set_password(login.session_token, "nina.7", PASSWORD)
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        again = await without_store.client.login_password("nina.7", PASSWORD)
        assert again.player_id == login.player_id
        with refused("wrong-password"):
            await without_store.client.login_password("nina.7", "a wrong guess")
        with pytest.raises(MetaUnavailableError):
            await without_store.client.login_password("unseen.7", PASSWORD)


async def test_passwords_are_kept_as_argon2id_and_nowhere_else(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await backend.client.set_password(login.session_token, "nina.7", PASSWORD)
    kept = await store.fetchval("SELECT password_hash FROM credentials")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    passwords = Passwords(SystemClock())
    who = ("192.0.2.1", "nina.7")
    assert await passwords.matches(kept, PASSWORD, who)
    assert not await passwords.matches(kept, PASSWORD + " ", who)
    assert not await passwords.matches(None, "the password of nobody", who)
    await passwords.close()


def test_a_rate_limit_passes_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(10, burst_s=BURST_S)
    assert [limit.wait_s("nina", 100.0) for _ in range(40)] == [0.0] * 40
    assert limit.wait_s("nina", 100.0) == pytest.approx(0.1)
    assert limit.wait_s("otto", 100.0) == 0.0
    assert limit.wait_s("nina", 100.11) == 0.0
    assert limit.wait_s("nina", 100.11) > 0.0
    assert [limit.wait_s("nina", 100.11 + BURST_S + 0.1) for _ in range(40)] == [0.0] * 40


def test_a_rate_below_one_in_a_burst_still_passes_single_requests() -> None:
    limit = RateLimit(0.1, burst_s=BURST_S)
    assert limit.wait_s("nina", 100.0) == 0.0
    assert limit.wait_s("nina", 100.0) == pytest.approx(10.0)
    assert limit.wait_s("nina", 110.0) == 0.0


def test_a_limit_does_not_remember_without_end() -> None:
    limit = RateLimit(1, burst_s=BURST_S, max_callers=100)
    for caller in range(1000):
        limit.wait_s(caller, float(caller))
    assert len(limit._whole_at) <= 100


async def test_a_player_who_asks_too_often_is_told_to_wait(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"requests_per_player_s": 1.0}), clock) as backend:
        login = await backend.login()
        headers = {"Authorization": f"Bearer {login.session_token}"}
        answers = [await backend.http.get("/v1/profile", headers=headers) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
        assert answers[-1].headers["Retry-After"] == "1"
        assert answers[-1].json()["type"] == "urn:launchday:too-many-requests"
        assert (await backend.client.login_device(f"another-{uuid4()}")).created


async def test_an_address_is_held_to_its_rate_and_services_are_not(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"requests_per_address_s": 0.01}), clock) as backend:
        assert (await backend.http.get("/healthz")).status_code == 200
        answer = await backend.http.get("/healthz")
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:launchday:too-many-requests")
        assert answer.headers["X-Request-Id"]
        for _ in range(3):
            await backend.client.counters()


async def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(
    settings: Settings, clock: Clock
) -> None:
    async with running(settings.model_copy(update={"max_request_bytes": 2000}), clock) as backend:

        async def unannounced() -> object:
            for _ in range(30):
                yield b" " * 100

        for content in (b" " * 3000, unannounced()):
            answer = await backend.http.post("/v1/login/device", content=content)  # type: ignore[arg-type]
            assert (answer.status_code, answer.json()["type"]) == (413, "urn:launchday:request-too-large")
            assert answer.headers["X-Request-Id"]


async def test_a_token_signed_without_a_session_still_opens_the_routes(backend: Backend) -> None:
    login = await backend.login()
    token = backend.app.state.signer.player_token(login.player_id, time.time(), 60)
    assert (await backend.client.profile(token)).player_id == login.player_id
