from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from launchday.settings import Settings
from loadtest.errors import BackendUnavailableError, PlayerInMatchError
from loadtest.players import backend_client
from loadtest.players.backend_client import HttpBackendClient, match_of
from matchmaker.client import (
    Assignment,
    InMatchError,
    MatchmakerUnavailableError,
    TicketEndedError,
    TicketView,
)

IN_MATCH = Assignment("m-1", "east-us", "127.0.0.1", 7001, "dG9rZW4=", 0, 0)
PROPOSED = TicketView("t-1", "proposed", None, None)
CANCELLED = TicketView("t-1", "cancelled", None, None)


class FakeMatchmaker:
    """A matchmaker's client that gives its answers in turn, and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def _answer(self, what: str) -> Any:
        self.asked.append(what)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def cancel_ticket(self, ticket_id: str) -> TicketView:
        found: TicketView = self._answer("cancel")
        return found

    async def wait_for_end(self, ticket_id: str, timeout_s: float) -> TicketView:
        found: TicketView = self._answer("wait")
        return found

    async def create_ticket(self, *_: Any, **__: Any) -> Any:
        return self._answer("create")

    async def renew_token(self, ticket_id: str) -> Assignment:
        found: Assignment = self._answer("renew")
        return found


@pytest.fixture
async def client() -> AsyncIterator[HttpBackendClient]:
    async with HttpBackendClient(Settings(), 1) as made:
        yield made


def answering(client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> FakeMatchmaker:
    matchmaker = FakeMatchmaker(*answers)
    monkeypatch.setattr(client, "_matchmaker", lambda _token: matchmaker)
    return matchmaker


async def test_a_ticket_that_is_being_placed_is_cancelled_again_until_it_has_its_end(
    client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    matchmaker = answering(
        client, monkeypatch, PROPOSED, PROPOSED, TicketEndedError("409"), PROPOSED, PROPOSED, CANCELLED
    )
    assert await client.cancel("token", "t-1") == CANCELLED
    assert matchmaker.asked == ["cancel", "wait"] * 3


async def test_a_ticket_that_never_has_its_end_is_shown_as_it_is(
    client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_client, "CANCEL_RACE_TIMEOUT_S", 0.0)
    answering(client, monkeypatch, PROPOSED, PROPOSED)
    assert await client.cancel("token", "t-1") == PROPOSED


async def test_a_player_who_is_in_a_match_is_told_how_to_come_back(
    client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(client, monkeypatch, InMatchError("409", "m-1", IN_MATCH))
    with pytest.raises(PlayerInMatchError) as caught:
        await client.open_ticket("token", mode="m", latencies_ms={}, client_key="k")
    assert caught.value.match == match_of(IN_MATCH)


async def test_a_token_is_renewed_while_the_match_lasts(
    client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(client, monkeypatch, IN_MATCH, TicketEndedError("409"))
    assert await client.renew_token("token", "t-1") == IN_MATCH
    assert await client.renew_token("token", "t-1") is None


async def test_what_a_service_says_of_coming_again_is_handed_on(
    client: HttpBackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(client, monkeypatch, MatchmakerUnavailableError("503", 1.5))
    with pytest.raises(BackendUnavailableError) as caught:
        await client.open_ticket("token", mode="m", latencies_ms={}, client_key="k")
    assert caught.value.retry_after_s == 1.5
