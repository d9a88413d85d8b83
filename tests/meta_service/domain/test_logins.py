from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.domain import accounts
from meta_service.domain.logins import MAX_LOGINS
from meta_service.errors import PlaceholderDeviceError
from tests.meta_service.conftest import Backend, Clock, drain, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_sessions import PASSWORD
from tests.meta_service.domain.test_shop import refused


@pytest.mark.parametrize(
    "device_id",
    [
        "00000000-0000-0000-0000-000000000000",
        "00000000-0000-4000-8000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "02:00:00:00:00:00",
        "9774d56d682e549c",
        "9774D56D682E549C",
        "000000000000000",
        "11111111",
        "--------",
        "0123456789abcdef",
        "1234567890123456",
        "123456789",
        "UNKNOWN_",
        "undefined",
        "nullnull",
        "N/A-N/A-",
        "deadbeef-dead-beef-dead-beefdeadbeef",
        "12121212-1212-1212-1212-121212121212",
        "01234567-89ab-cdef-0123-456789abcdef",
        "ABCDEFGH",
    ],
)
def test_a_device_id_that_stands_for_nobody_is_refused(device_id: str) -> None:
    with pytest.raises(PlaceholderDeviceError, match="random"):
        accounts.check_device(device_id)


def test_a_random_device_id_is_taken() -> None:
    for _ in range(2_000):
        accounts.check_device(str(uuid4()))
        accounts.check_device(uuid4().hex[:16])


async def test_a_placeholder_opens_no_account(backend: Backend) -> None:
    with refused("placeholder-device"):
        await backend.client.login_device("00000000-0000-0000-0000-000000000000")


async def test_every_linked_device_logs_the_same_player_in_until_it_is_unlinked(
    backend: Backend, redis: Redis
) -> None:
    client = backend.client
    first = await client.login_device("the-first-phone")
    await drain(backend)
    (own,) = (await client.logins(first.session_token)).logins
    linked = await client.link_device(first.session_token, "the-second-phone")
    assert [login.kind for login in linked.logins] == ["device", "device"]
    assert await client.link_device(first.session_token, "the-second-phone") == linked
    for lost in (False, True):
        if lost:
            await redis.flushall()
        for phone in ("the-first-phone", "the-second-phone"):
            login = await client.login_device(phone)
            assert (login.player_id, login.created) == (first.player_id, False)
    await client.unlink(login.session_token, own.login)  # the one that the id follows from
    with refused("last-login"):
        await client.unlink(login.session_token, linked.logins[1].login)
    with refused("unknown-login"):
        await client.unlink(login.session_token, own.login)
    for lost in (False, True):
        if lost:
            await drain(backend)
            await redis.flushall()
        other = await client.login_device("the-first-phone")
        assert other.player_id != first.player_id
        assert other.created is not lost
        assert (await client.login_device("the-second-phone")).player_id == first.player_id


async def test_a_password_is_a_way_to_log_in_beside_which_the_last_device_may_go(backend: Backend) -> None:
    login = await backend.client.login_device("the-only-phone")
    await drain(backend)
    (device,) = (await backend.client.logins(login.session_token)).logins
    with refused("last-login"):
        await backend.client.unlink(login.session_token, device.login)
    await backend.client.set_password(login.session_token, "nina.7", PASSWORD)
    left = await backend.client.unlink(login.session_token, device.login)
    assert (left.logins, left.password_name) == ([], "nina.7")
    assert (await backend.client.login_password("nina.7", PASSWORD)).player_id == login.player_id


async def test_a_device_with_an_account_of_its_own_is_moved_only_where_that_is_asked_for(
    backend: Backend, redis: Redis
) -> None:
    client = backend.client
    old = await client.login_device("the-old-phone")
    guest = await client.login_device("the-new-phone")
    await drain(backend)
    with refused("login-taken"):
        await client.link_device(old.session_token, "the-new-phone")
    await client.link_device(old.session_token, "the-new-phone", take=True)
    for lost in (False, True):
        if lost:
            await redis.flushall()
        assert (await client.login_device("the-new-phone")).player_id == old.player_id
    assert (await client.logins(guest.session_token)).logins == []  # its session goes on


async def test_of_two_accounts_that_link_one_device_at_once_one_gets_it(
    backend: Backend, store: asyncpg.Connection
) -> None:
    logins = await backend.logins(6)
    answers = await asyncio.gather(
        *(backend.client.link_device(login.session_token, "a-wanted-phone") for login in logins),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    one = await backend.login()
    answers = await asyncio.gather(
        *(backend.client.link_device(one.session_token, f"one-of-many-{n}") for n in range(MAX_LOGINS + 4)),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == MAX_LOGINS
    assert await store.fetchval("SELECT count(*) FROM logins WHERE player_id = $1", one.player_id) == 16


async def test_a_linked_device_that_was_seen_logs_in_while_the_store_is_away(
    backend: Backend, settings: Settings, clock: Clock
) -> None:
    first = await backend.client.login_device("the-first-phone")
    await backend.client.link_device(first.session_token, "the-second-phone")
    await drain(backend)
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        for phone in ("the-first-phone", "the-second-phone"):
            login = await without_store.client.login_device(phone)
            assert (login.player_id, login.created) == (first.player_id, False)


async def test_an_account_that_was_opened_while_the_store_was_away_does_not_keep_a_linked_device(
    backend: Backend, settings: Settings, clock: Clock, redis: Redis
) -> None:
    first = await backend.client.login_device("the-first-phone")
    await backend.client.link_device(first.session_token, "the-second-phone")
    await drain(backend)
    await redis.flushall()
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        stray = await without_store.client.login_device("the-second-phone")
        assert stray.player_id != first.player_id  # nobody there could know
    await drain(backend)
    assert (await backend.client.login_device("the-second-phone")).player_id == first.player_id
