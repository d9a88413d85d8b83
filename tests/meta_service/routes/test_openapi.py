"""The whole OpenAPI document, tried by Schemathesis over a real socket, as each kind of caller."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from pydantic import BaseModel, SecretStr
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from launchday.engines.base import free_port
from launchday.settings import Settings
from meta_service.app import build
from meta_service.client import MetaClient, Purchase, Session
from tests.waiting import until_sync

CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPEN = {
    *("/healthz", "/readyz", "/metrics"),
    *("/v1/login/device", "/v1/login/password", "/v1/login/platform", "/v1/session/refresh"),
}
Judge = Callable[[str, Any], None]

EXAMPLES = 7  # of each operation and caller, about half of them wrong

DOCUMENT = build(Settings(identity_secret=SecretStr("x" * 64))).openapi()
OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in from_dict(DOCUMENT).get_all_operations()
}


CASES: dict[str, list[schemathesis.Case]] = {}  # of each operation: making them takes longer than all calls


class Served:
    """An application on a port of its own, in a thread with an event loop of its own."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.app = app
        self.url = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(app, port=port, log_config=None, loop="asyncio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def start(self) -> None:
        self._thread.start()
        until_sync(lambda: self._server.started or not self._thread.is_alive(), "the server has started")
        assert self._thread.is_alive()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    server = Served(build(settings.model_copy(update={"requests_per_player_s": 0.0})), free_port())
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Victim:
    """A player who has something of everything, and what of it others must neither see nor change."""

    login: Session
    purchase: Purchase
    party: str
    state: dict[str, Any]


async def belongings(client: MetaClient, login: Session) -> dict[str, Any]:
    token = login.session_token
    party = await client.my_party(token)
    return {
        "profile": await client.profile(token),
        "wallet": await client.wallet(token),
        "entries": await client.statement(token),
        "inventory": await client.inventory(token),
        "friends": [friend for friend in await client.friends(token) if friend.relation == "friends"],
        "party": [member.player_id for member in party.members],
    }


async def make_victim(served: Served) -> Victim:
    service = served.app.state.signer.service_token("test", time.time())
    async with MetaClient(served.url, service) as client:
        login = await client.login_device(f"victim-{uuid4()}")
        friend = await client.login_device(f"friend-{uuid4()}")
        await client.grant("victims-money", login.player_id, "coins", 1000, "a test")
        purchase = await client.purchase(login.session_token, "victims-purchase", "supply-crate")
        await client.request_friendship(login.session_token, friend.player_id)
        await client.accept_friendship(friend.session_token, login.player_id)
        await client.set_loadout(login.session_token, "scout", settings={"secret": "of-the-victim"})
        party = await client.create_party(login.session_token)
        return Victim(login, purchase, str(party.party_id), await belongings(client, login))


async def look_again(served: Served, victim: Victim) -> dict[str, Any]:
    async with MetaClient(served.url) as client:
        return await belongings(client, victim.login)


async def log_in(served: Served) -> Session:
    async with MetaClient(served.url) as client:
        return await client.login_device(f"caller-{uuid4()}")


def try_all(served: Served, caller: str, judge: Judge, replace: Mapping[str, str] | None = None) -> None:
    """Try every operation with made-up input, right and wrong; ``judge`` checks each answer, too."""
    with requests.Session() as session:
        for name, operation in OPERATIONS.items():
            headers = {}
            if caller == "player":  # anew each time, for one of the operations ends the session
                headers["Authorization"] = f"Bearer {asyncio.run(log_in(served)).session_token}"
            elif caller == "service":
                token = served.app.state.signer.service_token("test", time.time())
                headers["Authorization"] = f"Bearer {token}"
            if name not in CASES:
                CASES[name] = cases_of(operation)
            try_one(served.url, name, CASES[name], headers, judge, replace, session)


def cases_of(operation: Any) -> list[schemathesis.Case]:
    """Right and wrong inputs of one operation, the same in every run."""
    inputs = operation.as_strategy()
    if operation.body or operation.query or operation.path_parameters:
        inputs = inputs | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    made: list[schemathesis.Case] = []

    @seed(20261125)
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=inputs)
    def make(case: schemathesis.Case) -> None:
        made.append(case)

    make()
    assert made
    return made


def try_one(
    url: str,
    name: str,
    cases: Iterable[schemathesis.Case],
    headers: dict[str, str],
    judge: Judge = lambda _name, _answer: None,
    replace: Mapping[str, str] | None = None,
    session: requests.Session | None = None,
) -> None:
    for case in cases:
        made = dict(case.path_parameters)
        for parameter in made.keys() & (replace or {}).keys():
            case.path_parameters[parameter] = (replace or {})[parameter]
        answer = case.call(base_url=url, session=session, headers=headers)
        case.validate_response(answer, checks=CHECKS)
        judge(name, answer)
        case.path_parameters.update(made)


class Small(BaseModel):
    number: int


def test_an_answer_outside_the_schema_and_a_failure_are_found() -> None:
    app = FastAPI()

    @app.get("/honest")
    def honest() -> Small:
        return Small(number=1)

    @app.get("/outside", response_model=Small)
    def outside() -> JSONResponse:
        return JSONResponse({"number": "seven"})

    @app.get("/undeclared", response_model=Small)
    def undeclared() -> JSONResponse:
        return JSONResponse({}, status_code=418)

    @app.get("/failing")
    def failing() -> Small:
        raise RuntimeError("planted")

    server = Served(app, free_port())
    server.start()
    try:
        for found in from_dict(app.openapi()).get_all_operations():
            operation = found.ok()
            if operation.path == "/honest":
                try_one(server.url, "honest", cases_of(operation), {})
                continue
            with pytest.raises(FailureGroup):
                try_one(server.url, operation.path, cases_of(operation), {})
    finally:
        server.stop()


@pytest.mark.timeout(120)
def test_nobody_without_a_token_gets_anything_and_nothing_fails(served: Served) -> None:
    def judge(name: str, answer: Any) -> None:
        if name.split()[1] not in OPEN:
            assert answer.status_code >= 400, name

    try_all(served, "nobody", judge)


@pytest.mark.timeout(120)
def test_a_service_makes_nothing_fail_whatever_it_sends(served: Served) -> None:
    def judge(name: str, answer: Any) -> None:
        path = name.split()[1]
        if path not in OPEN and not path.startswith("/v1/internal/"):
            assert answer.status_code >= 400, name

    try_all(served, "service", judge)


@pytest.mark.timeout(120)
def test_a_player_neither_sees_nor_changes_what_is_anothers(served: Served) -> None:
    victim = asyncio.run(make_victim(served))
    secret = [
        victim.login.session_token,
        victim.login.refresh_token,
        str(victim.purchase.purchase_id),
        "of-the-victim",
        *(str(entry.transfer_id) for entry in victim.state["entries"]),
    ]

    def judge(name: str, answer: Any) -> None:
        if name.split()[1].startswith("/v1/internal/"):
            assert answer.status_code >= 400, name
        if answer.status_code < 400:
            assert not [word for word in secret if word in answer.text], name

    theirs = {
        "player_id": str(victim.login.player_id),
        "party_id": victim.party,
        "purchase_id": str(victim.purchase.purchase_id),
    }
    try_all(served, "player", judge, theirs)
    assert asyncio.run(look_again(served, victim)) == victim.state


def test_every_operation_has_a_summary_and_every_body_an_example() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
    missing = {
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if name.endswith(("Login", "Change", "Request", "Choice"))
        for field, detail in schema["properties"].items()
        if not _has_example(detail)
    }
    assert missing == set()


def _has_example(detail: Any) -> bool:
    if isinstance(detail, dict):
        return any(word in detail for word in ("examples", "default", "$ref", "minimum", "format")) or any(
            _has_example(inner) for inner in detail.values()
        )
    return isinstance(detail, list) and any(map(_has_example, detail))
