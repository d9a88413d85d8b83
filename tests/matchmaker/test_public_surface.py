"""What others may import of the matchmaker, and the trees of its errors as its documents draw them."""

from __future__ import annotations

import re
from types import ModuleType

import matchmaker
from matchmaker import client
from matchmaker.client import MatchmakerClient, MatchmakerClientError
from matchmaker.director.reach import TokenRefusedError
from matchmaker.errors import MatchmakerError
from matchmaker.queue.scripts.script import KeysUnsettledError
from matchmaker.rules.flexmatch.document import DocumentError

EXPORTED = {
    "Assignment",
    "CreatedTicket",
    "InMatchError",
    "MatchmakerClient",
    "MatchmakerClientError",
    "MatchmakerUnavailableError",
    "NoSuchTicketError",
    "TicketEndedError",
    "TicketExistsError",
    "TicketRefusedError",
    "TicketView",
}
CALLS = {
    "accept_match",
    "aclose",
    "cancel_ticket",
    "counters",
    "create_ticket",
    "create_tickets",
    "follow_ticket",
    "queue_depths",
    "read_ticket",
    "reject_match",
    "renew_token",
    "wait_for_end",
    "why",
    "with_token",
}


def test_the_client_exports_these_names() -> None:
    assert set(client.__all__) == EXPORTED
    assert all(hasattr(client, name) for name in EXPORTED)


def test_the_client_makes_these_calls() -> None:
    assert {name for name in vars(MatchmakerClient) if not name.startswith("_")} == CALLS


def test_the_trees_of_errors_are_drawn_as_they_are() -> None:
    assert {DocumentError, KeysUnsettledError, TokenRefusedError} <= set(MatchmakerError.__subclasses__())
    for module, root in ((matchmaker, MatchmakerError), (client, MatchmakerClientError)):
        assert _drawn(module, root.__name__) == _below(root)


def _below(error: type[Exception]) -> set[str]:
    return {name for each in error.__subclasses__() for name in (each.__name__, *_below(each))}


def _drawn(module: ModuleType, root: str) -> set[str]:
    tree = (module.__doc__ or "").partition(f"    {root}\n")[2].partition("\n\n")[0]
    return set(re.findall(r"[├└]── (\w+)", tree))
