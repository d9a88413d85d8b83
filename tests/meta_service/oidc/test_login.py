from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from tests.meta_service.conftest import Backend, Clock, drain, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_shop import refused
from tests.meta_service.oidc.conftest import Issuer


@pytest.fixture
def with_platform(settings: Settings, issuer: Issuer, tmp_path: Path) -> Settings:
    file = tmp_path / "oidc.yaml"
    file.write_text(f"platforms: [{{name: example, issuer: '{issuer.url}', audience: my-game}}]")
    return settings.model_copy(update={"oidc": str(file), "requests_per_player_s": 0.0})


@pytest.fixture
async def backend(with_platform: Settings, clock: Clock) -> AsyncIterator[Backend]:
    async with running(with_platform, clock) as backend:
        yield backend


async def test_a_platforms_token_opens_one_account_whatever_is_lost(
    backend: Backend, issuer: Issuer, redis: Redis, with_platform: Settings, clock: Clock
) -> None:
    token = issuer.token(clock.wall())
    first = await backend.client.login_platform("example", token)
    assert first.created
    assert (await backend.client.login_platform("example", issuer.token(clock.wall(), sub="eva"))).created
    await drain(backend)
    for lost in (False, True):
        if lost:
            await redis.flushall()
        again = await backend.client.login_platform("example", token)
        assert (again.player_id, again.created) == (first.player_id, False)
    (login,) = (await backend.client.logins(again.session_token)).logins
    assert (login.kind, login.issuer, login.subject) == ("platform", issuer.url, "nina")
    with refused("last-login"):
        await backend.client.unlink(again.session_token, login.login)
    async with running(with_platform.model_copy(update={"store_url": NOBODY}), clock) as without_store:
        assert (await without_store.client.login_platform("example", token)).player_id == first.player_id


async def test_an_identity_belongs_to_one_account(backend: Backend, issuer: Issuer, clock: Clock) -> None:
    token = issuer.token(clock.wall())
    one, other = await backend.logins(2)
    await backend.client.link_platform(one.session_token, "example", token)
    with refused("login-taken"):
        await backend.client.link_platform(other.session_token, "example", token)
    assert (await backend.client.login_platform("example", token)).player_id == one.player_id
    moved = await backend.client.link_platform(other.session_token, "example", token, take=True)
    assert (await backend.client.login_platform("example", token)).player_id == other.player_id
    (platform,) = (login for login in moved.logins if login.kind == "platform")
    await drain(backend)
    again = await backend.client.login_platform("example", token)
    await backend.client.unlink(again.session_token, platform.login)
    assert (await backend.client.login_platform("example", token)).created


async def test_what_is_wrong_with_a_token_is_said(backend: Backend, issuer: Issuer, clock: Clock) -> None:
    with refused("platform-token-invalid"):
        await backend.client.login_platform("example", issuer.token(clock.wall(), aud="another-game"))
    with refused("unknown-issuer"):
        await backend.client.login_platform("elsewhere", issuer.token(clock.wall()))
    issuer.broken = True
    token = issuer.token(clock.wall(), kid="new")
    answer = await backend.http.post("/v1/login/platform", json={"issuer": "example", "token": token})
    assert answer.status_code == 401  # asked a moment ago: it has no such key
