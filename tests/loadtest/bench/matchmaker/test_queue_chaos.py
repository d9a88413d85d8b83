"""The queue under faults, in short; ``launchday bench queue-chaos`` does the same with fifty kills and five
restarts.
"""

from __future__ import annotations

from dataclasses import fields

import pytest

from loadtest.bench.matchmaker import queue_chaos
from loadtest.bench.matchmaker.queue_chaos import Audit, audit
from matchmaker.client import Assignment, TicketView

pytestmark = pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are


def assigned(ticket: str, match: str, entity: int = 0) -> TicketView:
    slot = Assignment(match, "west-europe", "127.0.0.1", 7000, "", 0, entity)
    return TicketView(ticket, "assigned", None, slot)


def test_killed_and_stopped_directors_and_a_killed_cache_cost_no_ticket_no_player_and_no_server() -> None:
    found = queue_chaos.run(kills=2, restarts=1, pauses=1, seed=4)
    assert found["faults"] == 0, found
    assert sum(found["final_states"].values()) == found["tickets"] > 0
    assert found["final_states"]["assigned"] > 0


@pytest.mark.parametrize(
    ("notified", "stored", "allocated", "fault"),
    [
        ({}, {"a": "assigned"}, [], "unfinished"),
        ({"a": (1, assigned("a", "m"))}, {"a": "searching"}, ["m"], "unfinished"),
        ({"a": (1, assigned("a", "m"))}, {"a": "cancelled"}, ["m"], "conflicting_ends"),
        (
            {"a": (1, assigned("a", "m")), "b": (1, assigned("b", "n"))},
            {"a": "assigned", "b": "assigned"},
            ["m", "n"],
            "double_assigned",
        ),
        (
            {"a": (1, assigned("a", "m", 3)), "b": (2, assigned("b", "m", 3))},
            {"a": "assigned", "b": "assigned"},
            ["m"],
            "double_assigned",
        ),
        ({"a": (1, assigned("a", "m"))}, {"a": "assigned"}, ["m", "n"], "unused_servers"),
        ({"a": (1, assigned("a", "m"))}, {"a": "assigned"}, [], "matches_without_server"),
    ],
)
def test_the_audit_sees_what_is_wrong(
    notified: dict[str, tuple[int, TicketView]],
    stored: dict[str, str | None],
    allocated: list[str],
    fault: str,
) -> None:
    found = audit(notified, stored, allocated)
    assert {each.name: len(getattr(found, each.name)) for each in fields(Audit)} == {
        each.name: int(each.name == fault) for each in fields(Audit)
    }


def test_the_audit_is_content_with_a_run_that_went_well() -> None:
    notified = {"a": (1, assigned("a", "m", 0)), "b": (2, assigned("b", "m", 1))}
    assert audit(notified, {"a": "assigned", "b": "assigned"}, ["m"]).faults == 0
