from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, read_tickets
from tests.matchmaker.rules.flexmatch.examples import rule_set, ticket

RULES = read_rule_set(json.dumps(rule_set()))


def read(document: Any) -> list[FlexMatchTicket]:
    return read_tickets(json.dumps(document), RULES)


def pointers(document: Any) -> list[str]:
    with pytest.raises(DocumentError) as refused:
        read(document)
    return [mistake.pointer for mistake in refused.value.mistakes]


def described(name: str, start: Any, status: str, **more: Any) -> dict[str, Any]:
    return {**ticket(name), "StartTime": start, "Status": status, "ConfigurationName": "boats", **more}


def test_what_describe_matchmaking_answers_is_read_without_those_that_are_over() -> None:
    over = [
        described("a", 5, status, EndTime="2026-03-01T10:00:00Z", StatusReason="it ended")
        for status in ("CANCELLED", "COMPLETED", "FAILED", "TIMED_OUT", "PLACING")
    ]
    waiting = [described("a", "2026-03-01T10:00:00.500Z", "SEARCHING"), described("b", 9.5, "QUEUED")]
    found = read({"TicketList": over + waiting, "ResponseMetadata": {"RetryAttempts": 0}})
    assert [each.ticket_id for each in found] == ["a", "b"]
    assert [each.start_time for each in found] == [1772359200.5, 9.5]


@pytest.mark.parametrize(
    ("start", "seconds"),
    [
        ("2026-03-01T10:00:00Z", 1772359200.0),
        ("2026-03-01T11:00:00+01:00", 1772359200.0),
        ("2026-03-01 10:00:00", 1772359200.0),
        ("1772359200.25", 1772359200.25),
        (17, 17.0),
        (None, 0.0),
    ],
)
def test_a_start_time_is_seconds_or_a_time_without_zone_utc(start: Any, seconds: float) -> None:
    assert read([{**ticket("a"), "StartTime": start}])[0].start_time == seconds


def test_a_request_and_its_answer_are_one_ticket() -> None:
    request = {"ConfigurationName": "boats", **ticket("a")}
    assert [each.ticket_id for each in read(request)] == ["a"]
    assert [each.ticket_id for each in read({"MatchmakingTicket": described("a", 1, "QUEUED")})] == ["a"]


def test_a_request_for_backfill_is_a_running_match() -> None:
    running = ticket("a", {}, {}, teams=["red", "blue"])
    assert read({"GameSessionArn": "arn:…", "ConfigurationName": "boats", **running})[0].backfill


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"Tickets": []}, ""),
        ({"TicketList": {}}, "/TicketList"),
        ({"TicketList": [], "Hurry": True}, "/Hurry"),
        ({"TicketList": [described("a", "soon", "QUEUED")]}, "/TicketList/0/StartTime"),
        ({"TicketList": [described("a", 0, "WONDERING")]}, "/TicketList/0/Status"),
        ({"TicketList": [described("a", 0, "QUEUED", Hurry=1)]}, "/TicketList/0/Hurry"),
        ({"MatchmakingTicket": [ticket("a")]}, "/MatchmakingTicket"),
        ([{**ticket("a"), "StartTime": True}], "/0/StartTime"),
        ([{**ticket("a"), "StartTime": "9" * 400}], "/0/StartTime"),
        ([ticket("a", latency={"eu": True})], "/0/Players/0/LatencyInMs/eu"),
        ([ticket("a", latency={"eu": "18"})], "/0/Players/0/LatencyInMs/eu"),  # type: ignore[dict-item]
    ],
)
def test_a_mistake_is_told_at_its_place(document: Any, pointer: str) -> None:
    assert pointer in pointers(document)


KEYS = ["TicketId", "Players", "StartTime", "Status", "PlayerId", "Team", "PlayerAttributes", "LatencyInMs",
        "TicketList", "MatchmakingTicket", "skill", "N", "SL", "SDM"]  # fmt: skip
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@given(
    st.recursive(
        VALUES | st.sampled_from(["QUEUED", "2026-03-01", "a"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused_as_tickets(document: Any) -> None:
    found = 0
    try:
        tickets: list[FlexMatchTicket] | None = read(document)
    except DocumentError as refused:
        tickets, found = None, len(refused.mistakes)
    assert (tickets is None) == (found > 0)
