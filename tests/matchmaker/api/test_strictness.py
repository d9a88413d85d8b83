"""Numbers are numbers: whatever else comes in a number's place is refused, with the pointer to it."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from launchday.identity import Signer
from matchmaker.api import schema
from matchmaker.client import MatchmakerClient
from tests.matchmaker.conftest import SECRET, WEST_EUROPE, token_of

TICKET: dict[str, Any] = {
    "mode": "battle_royale",
    "latencies_ms": WEST_EUROPE,
    "cross_play": True,
    "party": {"party_id": "p", "size": 2},
    "attributes": {"level": {"N": 12}, "ro/le~s": {"SDM": {"tracker": 3, "scout": 1.5}}},
}
BACKFILL: dict[str, Any] = {
    "mode": "battle_royale",
    "region": "west-europe",
    "address": "127.0.0.1",
    "port": 7000,
    "group": 0,
    "skill_lowest": 1.0,
    "skill_highest": 2.0,
    "opened_at": 1.0,
    "revision": 1,
    "slots": [{"entity": 1, "team": 0}],
    "excluded": [7],
    "over": False,
}
BODIES = {
    "POST /v1/tickets": TICKET,
    "POST /v1/internal/tickets": {
        "tickets": [copy.deepcopy(TICKET) | {"player_id": 1}, copy.deepcopy(TICKET) | {"player_id": 2}]
    },
    f"PUT /v1/internal/matches/{uuid.UUID(int=1)}/backfill": BACKFILL,
}
# As JSON text; `true` and `"1"` in a place of a truth value and of text would be right.
NO_NUMBERS = ["true", '"18"', '"NaN"', "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[1]", "{}"]
NO_TRUTHS = ["1", "0", '"true"', '"yes"', "null", "[]"]


def numbers(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Each number and truth value of a document, by its pointer."""
    if isinstance(value, bool | int | float):
        yield pointer, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from numbers(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for place, member in enumerate(value):
            yield from numbers(member, f"{pointer}/{place}")


def replaced(document: Any, pointer: str, text: str) -> str:
    """The document's JSON with ``text`` at a place."""
    turned = copy.deepcopy(document)
    node = turned
    *way, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in way:
        node = node[int(step) if isinstance(node, list) else step]
    node[int(last) if isinstance(node, list) else last] = "@here@"
    return json.dumps(turned).replace('"@here@"', text)


CASES = [
    (route, pointer, text)
    for route, body in BODIES.items()
    for pointer, value in numbers(body)
    for text in (NO_TRUTHS if isinstance(value, bool) else NO_NUMBERS)
]


def headers_of(route: str) -> dict[str, str]:
    token = Signer(SECRET).service_token("tests", time.time()) if "internal" in route else token_of(7)
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


@pytest.mark.parametrize("route", BODIES)
async def test_what_is_no_number_is_refused_wherever_a_number_comes_in(
    client: MatchmakerClient, api_url: str, route: str
) -> None:
    method, _, path = route.partition(" ")
    async with httpx2.AsyncClient(base_url=api_url, headers=headers_of(route), trust_env=False) as http:
        for _, pointer, text in (case for case in CASES if case[0] == route):
            answer = await http.request(method, path, content=replaced(BODIES[route], pointer, text))
            assert answer.status_code == 422, (pointer, text)
            problem = answer.json()
            assert problem["type"] == "urn:launchday:invalid-request"
            if text != "NaN" and "Infinity" not in text:  # that is no JSON: the body is what is wrong
                assert problem["errors"][0]["pointer"] == f"/body{pointer}", (pointer, text)
    assert (await client.counters())["queued"] == 0


@pytest.mark.parametrize("milliseconds", ["-1", "-0.001", "60000.1", "1e308"])
async def test_a_round_trip_is_within_its_bounds(api_url: str, milliseconds: str) -> None:
    body = replaced({"mode": "battle_royale", "latencies_ms": {"a/b": 1}}, "/latencies_ms/a~1b", milliseconds)
    async with httpx2.AsyncClient(
        base_url=api_url, headers=headers_of("POST /v1/tickets"), trust_env=False
    ) as http:
        answer = await http.post("/v1/tickets", content=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/body/latencies_ms/a~1b"


async def test_of_several_mistakes_the_first_is_pointed_at(api_url: str) -> None:
    wrong = [{"a": 1, "b": True, "c": "18"}, {"a": True, "b": True}]
    body = {
        "tickets": [
            {"player_id": player, "mode": "battle_royale", "latencies_ms": latencies}
            for player, latencies in enumerate(wrong, start=1)
        ]
    }
    route = "POST /v1/internal/tickets"
    async with httpx2.AsyncClient(base_url=api_url, headers=headers_of(route), trust_env=False) as http:
        answer = await http.post("/v1/internal/tickets", json=body)
    assert answer.json()["errors"][0]["pointer"] == "/body/tickets/0/latencies_ms/b"


async def test_the_one_wrong_member_of_very_many_is_found_in_a_few_looks(
    api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = schema._error

    def counted(decoder: Any, document: Any) -> str:
        nonlocal looks
        looks += 1
        return look(decoder, document)

    monkeypatch.setattr(schema, "_error", counted)
    latencies: dict[str, Any] = {str(place): 1 for place in range(3_000)}
    body = {"mode": "battle_royale", "latencies_ms": latencies | {"2998": True, "2999": "18"}}
    async with httpx2.AsyncClient(
        base_url=api_url, headers=headers_of("POST /v1/tickets"), trust_env=False
    ) as http:
        answer = await http.post("/v1/tickets", json=body)
    assert answer.json()["errors"][0]["pointer"] == "/body/latencies_ms/2998"
    assert 1 <= looks <= 12


async def test_what_is_wrong_is_said_however_deep_the_rest_of_the_body_is(api_url: str) -> None:
    async with httpx2.AsyncClient(
        base_url=api_url, headers=headers_of("POST /v1/tickets"), trust_env=False
    ) as http:
        for deep in ("[" * 30_000 + "]" * 30_000, '{"a":' * 9_000 + "1" + "}" * 9_000):
            body = '{"mode":"battle_royale","latencies_ms":{"here":true},"party":%s}' % deep  # noqa: UP031
            answer = await http.post("/v1/tickets", content=body)
            assert answer.status_code in (400, 422)
            assert answer.json()["errors"][0]["pointer"].startswith("/body")


@pytest.mark.parametrize("name", ["", "x" * 65])
async def test_a_regions_name_that_is_none_is_pointed_at(api_url: str, name: str) -> None:
    async with httpx2.AsyncClient(
        base_url=api_url, headers=headers_of("POST /v1/tickets"), trust_env=False
    ) as http:
        answer = await http.post(
            "/v1/tickets", json={"mode": "battle_royale", "latencies_ms": {"west-europe": 5, name: 5}}
        )
    assert answer.status_code == 422
    [mistake] = answer.json()["errors"]
    assert mistake["pointer"] == f"/body/latencies_ms/{name}"
    assert "length" in mistake["detail"]


@pytest.mark.parametrize(
    "query", ["wait_s=true", "wait_s=nan", "wait_s=inf", "wait_s=-1", "wait_s=31", "wait_s=1e999", "lost=2"]
)
async def test_a_wait_that_is_none_is_refused(client: MatchmakerClient, api_url: str, query: str) -> None:
    made = await client.with_token(token_of(7)).create_ticket("battle_royale", WEST_EUROPE)
    async with httpx2.AsyncClient(base_url=api_url, headers=headers_of(""), trust_env=False) as http:
        answer = await http.get(f"/v1/tickets/{made.ticket_id}?{query}")
    assert answer.status_code == 422


async def test_a_number_without_a_fraction_is_an_integer(api_url: str) -> None:
    route = f"PUT /v1/internal/matches/{uuid.UUID(int=2)}/backfill"
    body = json.dumps(BACKFILL | {"port": 7000.0, "slots": [{"entity": 1.0, "team": 0}], "excluded": [7e0]})
    async with httpx2.AsyncClient(base_url=api_url, headers=headers_of(route), trust_env=False) as http:
        answer = await http.put(route.partition(" ")[2], content=body)
        refused = await http.put(route.partition(" ")[2], content=body.replace("7000.0", "7000.5"))
    assert answer.status_code == 200
    assert refused.json()["errors"] == [{"pointer": "/body/port", "detail": "Expected `int`, got `float`"}]
