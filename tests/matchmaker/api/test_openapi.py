"""What the OpenAPI document says is what the API does, and what docs/matchmaking.md says."""

from __future__ import annotations

import ast
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from launchday.clock import SystemClock
from launchday.identity import OPERATOR, Signer
from launchday.settings import Settings
from matchmaker.api.app import create_api
from matchmaker.messages import FINAL_STATES, PLATFORMS
from tests.matchmaker.conftest import SECRET, token_of

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "matchmaking.md").read_text()
STATUS = re.compile(r"\b[45]\d\d\b")
SLUG = re.compile(r"``([a-z]+(?:-[a-z]+)+)``")


@pytest.fixture
def document(mm_settings: Settings) -> dict[str, Any]:
    return create_api(mm_settings, SystemClock()).openapi()


def routes(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each route that is about tickets and matches."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1/"):
                yield method.upper(), path, operation


def raised() -> dict[str, int]:
    """The status of each problem that the API's code raises, by its slug."""
    found = {}
    for file in (ROOT / "matchmaker" / "api").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "ProblemError"
            ):
                values = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                match values:
                    case [int(status), str(slug)]:
                        found[slug] = status
    return found


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("`", ""))


def test_each_problem_that_a_route_names_is_one_that_it_raises_with_that_status(
    document: dict[str, Any],
) -> None:
    problems = raised()
    assert len(problems) > 15
    for method, path, operation in routes(document):
        text = operation["description"]
        for slug in SLUG.findall(text):
            if slug in problems:
                assert str(problems[slug]) in STATUS.findall(text), (method, path, slug)
            else:
                assert slug in ("session-revoked", "session-superseded"), (method, path, slug)


def test_each_conflict_is_named_where_clients_read_it(document: dict[str, Any]) -> None:
    named = {slug for *_, operation in routes(document) for slug in SLUG.findall(operation["description"])}
    conflicts = {slug for slug, status in raised().items() if status == 409}
    assert conflicts - named == set()


def test_each_route_of_players_and_of_those_who_watch_is_in_the_guide(document: dict[str, Any]) -> None:
    for method, path, _ in routes(document):
        short = path.replace("{ticket_id}", "{id}")
        deleted = method == "DELETE" and "`DELETE`" in GUIDE
        read = path == "/v1/tickets/{ticket_id}" and "?wait_s=" in GUIDE
        assert deleted or read or path in GUIDE or short in GUIDE, (method, path)


def test_cross_play_says_what_the_guide_says(document: dict[str, Any]) -> None:
    words = "those who say so too, and those of it who would cross-play"
    assert words in one_line(GUIDE)
    for message in ("TicketRequest", "PlayerTicketRequest"):
        said = document["components"]["schemas"][message]["properties"]["cross_play"]["description"]
        assert words in one_line(said)


def test_states_and_platforms_are_all_of_them(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    states = schemas["TicketView"]["properties"]["state"]["enum"]
    assert set(FINAL_STATES) < set(states)
    assert all(f"`{state}`" in GUIDE for state in states)
    assert schemas["TicketRequest"]["properties"]["platform"]["enum"] == sorted(PLATFORMS)


def test_every_route_has_a_text_and_its_answer_a_message(document: dict[str, Any]) -> None:
    for method, path, operation in routes(document):
        assert len(operation["description"]) > 30, (method, path)
        for status, answer in operation["responses"].items():
            assert status in ("204", "4XX", "5XX") or answer.get("content"), (method, path, status)


async def test_each_route_is_for_whom_its_tags_and_text_say(document: dict[str, Any], api_url: str) -> None:
    signer, now = Signer(SECRET), time.time()
    tokens = {
        "player": token_of(7),
        "service": signer.service_token("tests", now),
        "operator": signer.service_token("console", now, roles=(OPERATOR,)),
    }
    async with httpx2.AsyncClient(base_url=api_url, trust_env=False) as http:
        for method, path, operation in routes(document):
            wanted = {"service"} if "internal" in operation["tags"] else {"player"}
            if "operators" in operation["description"]:
                wanted.add("operator")
            url = re.sub(r"\{\w+\}", str(uuid.UUID(int=9)), path)
            for who, token in tokens.items():
                answer = await http.request(method, url, headers={"Authorization": f"Bearer {token}"})
                assert (answer.status_code == 403) == (who not in wanted), (method, path, who)
            assert (await http.request(method, url)).status_code == 401
