"""A service's routes and its callers' tokens: refused in words, and by the keys as they are now."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from launchday.clock import ManualClock
from launchday.identity import Key, key_folder, signer_of
from launchday.identity.claims import encoded
from launchday.service import PlayerCaller, create_app
from launchday.settings import Settings

SECRET = "s" * 32


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


def application(settings: Settings, clock: ManualClock) -> tuple[FastAPI, httpx2.AsyncClient]:
    app = create_app("a service", settings, nothing, clock=clock)

    @app.get("/me")
    async def me(caller: PlayerCaller) -> int:
        return caller.player_id

    return app, httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service")


@pytest.mark.parametrize(
    "claims",
    [
        '{"sub": "42", "roles": ["player"], "exp": NaN}',
        '{"sub": ["42"], "roles": ["player"], "exp": 9e9}',
        '{"sub": {}, "roles": ["player"], "exp": 9e9}',
        r'{"sub": "ni\u0000na", "roles": ["operator"], "exp": 9e9}',
        r'{"sub": "nina\n", "roles": ["operator"], "exp": 9e9}',
        '{"sub": "", "roles": ["operator"], "exp": 9e9}',
        '{"sub": "ann", "roles": ["player"], "exp": 9e9}',
        '{"sub": "42", "roles": [["player"]], "exp": 9e9}',
        '{"sub": "42", "roles": {"player": 1}, "exp": 9e9}',
        '{"sub": "42", "roles": ["player"], "exp": 1e999}',
        '{"sub": "42", "roles": ["player"], "exp": 9e9, "sid": 7}',
    ],
)
async def test_odd_claims_that_the_key_has_signed_are_no_valid_token(claims: str) -> None:
    _, http = application(Settings(identity_secret=SecretStr(SECRET)), ManualClock())
    signed = encoded(b'{"alg":"HS256"}') + b"." + encoded(claims.encode())
    token = (signed + b"." + encoded(Key.of_secret(SECRET).signature(signed))).decode()
    async with http:
        answer = await http.get("/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:launchday:invalid-token")


async def test_a_service_follows_its_keys_when_it_is_told_to(tmp_path: Path) -> None:
    numbers = itertools.count(1)

    def random(length: int) -> bytes:
        return next(numbers).to_bytes(length)

    key_folder.make(tmp_path, random)
    settings, clock = Settings(identity_keys=str(tmp_path)), ManualClock()
    app, http = application(settings, clock)
    now = clock.wall()

    async def status_of(token: str) -> int:
        return (await http.get("/me", headers={"Authorization": f"Bearer {token}"})).status_code

    async with http:
        old = signer_of(settings, "meta").player_token(42, now, 60)
        key_folder.rotate(tmp_path, "meta", random, now, lead_s=0.0, keep_s=3600.0)
        new = signer_of(settings, "meta").player_token(42, now, 60)
        assert [await status_of(old), await status_of(new)] == [200, 401]
        assert await app.state.reloading.reload() == {}
        assert [await status_of(old), await status_of(new)] == [200, 200]
        key_folder.revoke(tmp_path, jwt.get_unverified_header(old)["kid"], random, now)
        assert await app.state.reloading.reload() == {}
        assert [await status_of(old), await status_of(new)] == [401, 200]
        (tmp_path / "public.json").write_text(json.dumps({"keys": [{"kid": "1"}]}))
        assert "kty" in (await app.state.reloading.reload())["keys"]
        assert await status_of(new) == 200
