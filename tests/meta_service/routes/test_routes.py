from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from launchday.engines import Postgres, Valkey
from launchday.settings import Settings, environment
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError
from tests.meta_service.conftest import Backend, Clock, new_match, running

pytestmark = pytest.mark.asyncio(
    loop_scope="module"
)  # one backend for all: no test here minds what others left

MATCH = "00000000-0000-4000-8000-000000000001"
CHECKOUT: dict[str, Any] = {
    "match_id": MATCH,
    "server": "server-1",
    "region": "east-us",
    "ttl_s": 60,
    "player_ids": ["7", "8"],
}
RESULT: dict[str, Any] = {"player_id": "7", "fence": 1, "placement": 1, "kills": 0, "played_s": 1.5}
COMMIT: dict[str, Any] = {"match_id": MATCH, "players": [RESULT]}
SKILLS = {"mode": "battle_royale", "player_ids": ["7"]}
LOGIN = {"device_id": "a-device-id"}
LOADOUT = {"skin": "scout"}
GRANT = {"player_id": "7", "currency": "coins", "amount": 5, "reason": "a test"}
POSTS: dict[str, dict[str, Any]] = {
    "/v1/internal/checkouts": CHECKOUT,
    "/v1/internal/commits": COMMIT,
    f"/v1/internal/matches/{MATCH}/close": {"player_ids": ["7"], "force": True},
    "/v1/internal/skills": SKILLS,
    "/v1/internal/revocations": {"player_id": "7"},
    "/v1/internal/grants": GRANT,
    "/v1/internal/refunds": {"purchase_id": MATCH},
    "/v1/login/device": LOGIN,
    "/v1/login/password": {"name": "nina.7", "password": "correct horse"},
    "/v1/session/refresh": {"refresh_token": "a-token"},
    "/v1/store/purchases": {"item_id": "supply-crate", "quantity": 1, "unit_price": 50},
    "/v1/account/logins/devices": {"device_id": "another-device-id"},
    "/v1/account/logins/platforms": {"issuer": "example", "token": "a-token"},
}
PUTS: dict[str, dict[str, Any]] = {
    "/v1/profile/loadout": LOADOUT,
    "/v1/account/password": {"name": "nina.7", "password": "correct horse", "current_password": None},
    "/v1/profile/name": {"display_name": "Nina"},
}
KEY = {"Idempotency-Key": "a-key-of-mine"}
INTERNAL = [
    *(("POST", path) for path in POSTS if path.startswith("/v1/internal/")),
    ("GET", "/v1/internal/counters"),
]
PLAYER = [
    *(("PUT", path) for path in PUTS),
    ("GET", "/v1/profile"),
    ("GET", "/v1/wallet"),
    ("GET", "/v1/wallet/entries"),
    ("GET", "/v1/inventory"),
    ("GET", "/v1/store/catalogue"),
    ("POST", "/v1/store/purchases"),
    ("POST", f"/v1/store/purchases/{MATCH}/refund"),
    ("DELETE", "/v1/session"),
    ("GET", "/v1/account/logins"),
    ("POST", "/v1/account/logins/devices"),
    ("POST", "/v1/account/logins/platforms"),
    ("DELETE", "/v1/account/logins/0123456789abcdef"),
    ("GET", "/v1/account/export"),
    ("DELETE", "/v1/account"),
]


@pytest.fixture(scope="module")
def shared_settings(
    tmp_path_factory: pytest.TempPathFactory,
    valkey_server: Valkey,
    postgres_server: Postgres,
    migrated_database: str,
) -> Iterator[Settings]:
    """Settings of a database for this module."""
    server, name = postgres_server.address.rsplit("/", 1)[0], f"routes_{uuid4().hex}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_server.address)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name} TEMPLATE {migrated_database}"))
    yield Settings(
        state_dir=tmp_path_factory.mktemp("routes"),
        cache_url=valkey_server.address,
        store_url=f"{server}/{name}",
        identity_secret=SecretStr(secrets.token_hex(32)),
        requests_per_player_s=0.0,  # the clock stands still
    )
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(shared_settings: Settings) -> AsyncIterator[Backend]:
    async with running(shared_settings, Clock()) as backend:
        yield backend


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"].startswith("urn:launchday:")
    assert body["title"]
    assert body["detail"]
    return body


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()  # NaN and lone surrogates included, as a hostile caller would


def body_of(path: str) -> dict[str, Any] | None:
    return POSTS.get(path) or PUTS.get(path)


@pytest.mark.parametrize(("method", "path"), INTERNAL)
async def test_a_players_token_does_not_open_the_service_routes(
    backend: Backend, method: str, path: str
) -> None:
    login = await backend.login()
    headers = {"Authorization": f"Bearer {login.session_token}", **KEY}
    answer = await backend.http.request(method, path, json=body_of(path), headers=headers)
    assert answer.status_code == 403
    assert problem(answer)["type"] == "urn:launchday:forbidden"


@pytest.mark.parametrize(("method", "path"), PLAYER)
async def test_a_services_token_does_not_open_the_players_routes(
    backend: Backend, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {backend.service_token}", **KEY}
    answer = await backend.http.request(method, path, json=body_of(path), headers=headers)
    assert answer.status_code == 403
    problem(answer)


@pytest.mark.parametrize(("method", "path"), [*INTERNAL, *PLAYER])
@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer nonsense", "Basic bmluYTpuaW5h"])
async def test_without_a_valid_token_nothing_opens(
    backend: Backend, method: str, path: str, header: str | None
) -> None:
    headers = {"Authorization": header, **KEY} if header else KEY
    answer = await backend.http.request(method, path, json=body_of(path), headers=headers)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    problem(answer)


async def test_an_expired_token_is_told_to_log_in_again(backend: Backend) -> None:
    token = backend.app.state.signer.player_token(7, time.time() - 100, 60)
    answer = await backend.http.get("/v1/profile", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "log in again" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("path", "change", "pointer"),
    [
        ("/v1/login/device", {"device_id": "short"}, "/body/device_id"),
        ("/v1/login/device", {"device_id": "with a space"}, "/body/device_id"),
        ("/v1/login/device", {"device_id": "trailing-newline\n"}, "/body/device_id"),
        ("/v1/login/device", {"device_id": "lone-\ud800-surrogate"}, "/body/device_id"),
        ("/v1/internal/checkouts", {"match_id": "seven"}, "/body/match_id"),
        ("/v1/internal/checkouts", {"player_ids": []}, "/body/player_ids"),
        ("/v1/internal/checkouts", {"player_ids": ["7", "7"]}, "/body/player_ids"),
        ("/v1/internal/checkouts", {"player_ids": [7]}, "/body/player_ids/0"),
        ("/v1/internal/checkouts", {"player_ids": ["0"]}, "/body/player_ids/0"),
        ("/v1/internal/checkouts", {"player_ids": [str(2**63)]}, "/body/player_ids/0"),
        ("/v1/internal/checkouts", {"player_ids": [str(n) for n in range(1, 1602)]}, "/body/player_ids"),
        ("/v1/internal/checkouts", {"ttl_s": 0}, "/body/ttl_s"),
        ("/v1/internal/checkouts", {"ttl_s": "NaN"}, "/body/ttl_s"),
        ("/v1/internal/checkouts", {"region": "East US"}, "/body/region"),
        ("/v1/internal/checkouts", {"server": ""}, "/body/server"),
        ("/v1/internal/commits", {"players": [RESULT, RESULT]}, "/body/players"),
        ("/v1/internal/skills", {"mode": "Battle Royale"}, "/body/mode"),
    ],
)
async def test_bad_input_is_a_problem_that_points_at_the_field(
    backend: Backend, path: str, change: dict[str, Any], pointer: str
) -> None:
    headers = {"Authorization": f"Bearer {backend.service_token}", "Content-Type": "application/json"}
    answer = await backend.http.post(path, content=_json({**POSTS[path], **change}), headers=headers)
    assert answer.status_code == 422
    assert [error["pointer"] for error in problem(answer)["errors"]] == [pointer]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"9" * 5000, b"[" * 100_000, b'"\xff"'])
async def test_what_is_not_the_json_asked_for_is_a_problem(backend: Backend, body: bytes) -> None:
    answer = await backend.http.post(
        "/v1/login/device", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    problem(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/v1/profile", 405)]
)
async def test_a_wrong_address_is_a_problem_too(
    backend: Backend, method: str, path: str, status: int
) -> None:
    answer = await backend.http.request(method, path)
    assert answer.status_code == status
    problem(answer)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["7", MATCH, "east-us"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, valid: dict[str, Any]) -> Any:
    """A valid body with some fields replaced, left out or added; or something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(anything)
    body = dict(valid)
    for name in draw(st.lists(st.sampled_from([*valid, "more"]), max_size=3)):
        if draw(st.booleans()):
            body[name] = draw(anything)
        else:
            body.pop(name, None)
    if "players" in body and draw(st.booleans()):
        body["players"] = [{**RESULT, draw(st.sampled_from(list(RESULT))): draw(anything)}]
    return body


@pytest.mark.parametrize("path", [*POSTS, *PUTS])
async def test_no_body_whatsoever_makes_the_service_fail(backend: Backend, path: str) -> None:
    login = await backend.login()
    token = backend.service_token if path.startswith("/v1/internal/") else login.session_token
    method = "PUT" if path in PUTS else "POST"
    valid = body_of(path)
    assert valid is not None
    loop = asyncio.get_running_loop()

    @given(mutated(valid))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def send(body: Any) -> None:
        answer = asyncio.run_coroutine_threadsafe(
            backend.http.request(
                method,
                path,
                content=_json(body),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", **KEY},
            ),
            loop,
        ).result()
        assert answer.status_code in (200, 400, 401, 404, 409, 422, 429)
        if answer.status_code != 200:
            problem(answer)

    await asyncio.to_thread(send)


async def test_the_client_tells_a_refusal_from_an_outage() -> None:
    answers = iter([httpx2.Response(503), httpx2.Response(503), httpx2.Response(503), httpx2.Response(418)])
    async with MetaClient(
        "http://meta", "t", transport=httpx2.MockTransport(lambda _: next(answers))
    ) as client:
        with pytest.raises(MetaUnavailableError, match="503"):
            await client.counters()
        with pytest.raises(MetaRefusedError) as refused:
            await client.counters()
        assert refused.value.status == 418


async def test_the_client_tries_again_when_the_connection_breaks(backend: Backend) -> None:
    real = httpx2.ASGITransport(backend.app)
    failures = iter([httpx2.ReadError("cut off")])

    class Flaky(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await real.handle_async_request(request)
            for failure in failures:  # after the service has done its work: the worst moment
                raise failure
            return answer

    player_id = (await backend.login()).player_id
    before = (await backend.client.counters()).checkouts
    async with MetaClient("http://meta", backend.service_token, transport=Flaky()) as client:
        checkout = await client.check_out(new_match(), "server-1", "east-us", 60, [player_id])
    assert [player.player_id for player in checkout.checked_out] == [player_id]
    assert (await backend.client.counters()).checkouts == before + 1


CERTIFICATES = Path(__file__).parent / "data"  # of the loopback address, made for these tests alone


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_service_starts_alone_and_stops_when_told(settings: Settings, scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tls = {
        "tls_certificate": str(CERTIFICATES / "loopback.pem"),
        "tls_key": str(CERTIFICATES / "loopback.key"),
    }
    own = settings.model_copy(update={"meta_port": port, **(tls if scheme == "https" else {})})
    trust = ssl.create_default_context(cafile=str(CERTIFICATES / "loopback.pem"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meta_service"),
        env={**os.environ, **environment(own)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        transport = httpx2.AsyncHTTPTransport(verify=trust)
        async with MetaClient(f"{scheme}://127.0.0.1:{port}", transport=transport) as client:
            while True:
                try:
                    login = await client.login_device("over-a-real-socket")
                    break
                except MetaUnavailableError:
                    assert child.returncode is None
            assert (await client.profile(login.session_token)).player_id == login.player_id
        child.send_signal(signal.SIGTERM)
        assert await child.wait() in (0, -signal.SIGTERM)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
