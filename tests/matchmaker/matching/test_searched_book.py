"""The book of a rule set that no plan can express: searched, with bounded work."""

from __future__ import annotations

import json

import numpy as np
import pytest

from launchday.clock import ManualClock
from matchmaker.matching import searched_book
from matchmaker.matching.searched_book import MIN_SHARE, SearchedBook
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.rules.flexmatch.examples import rule_set

EQUAL = {
    "type": "comparison",
    "measurements": ["flatten(teams[*].players.attributes[mode])"],
    "operation": "=",
}


def ticket(number: int, mode: str) -> FlexMatchTicket:
    player = TicketPlayer(str(number), None, {"mode": mode}, {"eu": 20.0})
    return FlexMatchTicket(f"t{number:03}", float(number), (player,))


def book(*modes: str) -> SearchedBook:
    document = rule_set([EQUAL])
    document["playerAttributes"] = [{"name": "mode", "type": "string"}]
    made = SearchedBook(read_rule_set(json.dumps(document)), ["eu"], ManualClock())
    tickets = [ticket(number, mode) for number, mode in enumerate(modes)]
    made.add(tickets, np.zeros(len(modes), np.int32), np.zeros(len(modes), np.int32))
    return made


def test_a_search_whose_work_is_used_up_goes_on_in_the_next_cycle_where_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searched_book, "BUDGET", SearchBudget(per_ticket=100, per_cycle=60))
    made = book(*(f"m{min(n, 30)}" for n in range(32)))  # thirty whom nobody suits, and two behind them
    for _cycle in range(32):
        found = made.form(100.0)
        if len(found.region):
            break
        assert found.cut > 0
    assert sorted(found.rows.tolist()) == [30, 31]
    assert _cycle > 0


def test_a_search_that_took_long_looks_at_less_next_time() -> None:
    made = book("a")
    made.follow(4.0)
    assert made.share == 0.25
    made.follow(0.8)
    assert made.share == 0.25
    for _ in range(9):
        made.follow(0.1)
    assert made.share == 1.0
    for _ in range(9):
        made.follow(1e6)
    assert made.share == MIN_SHARE


def test_a_searched_book_that_has_nothing_to_do_is_idle() -> None:
    made = book("a", "b")
    assert not made.is_idle(100.0)
    made.form(100.0)
    assert made.is_idle(101.0)
    made.hold(np.array([0]))
    assert made.is_idle(101.0)
    made.release(np.array([0]))
    assert not made.is_idle(101.0)


def test_held_and_removed_tickets_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searched_book, "MIN_GONE", 1)
    made = book("a", "a", "a", "a", "a")
    made.remove(np.array([0, 2, 4]))
    assert made.form(100.0).rows.tolist() == [1, 3]
    made.hold(np.array([1]))
    assert made.form(100.0).rows.tolist() == []
    [late] = made.add([ticket(9, "a")], np.zeros(1, np.int32), np.zeros(1, np.int32)).tolist()
    assert made.form(100.0).rows.tolist() == [3, late]
    made.wait_since(np.array([late]), np.array([1.0]))
    assert made.form(100.0).rows.tolist() == [late, 3]
