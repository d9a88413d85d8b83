"""When a book has nothing to do: between two tries of all, beside running matches that have not changed, and
with too few players for any match.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from matchmaker.plans import book
from matchmaker.plans.book import AGAIN_S
from matchmaker.plans.cycle import CAPS
from matchmaker.plans.running import RunningMatch
from tests.matchmaker.plans.pools import NOW, Pool, player, ticket
from tests.matchmaker.plans.written import ONE, TWO

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are


def test_who_was_tried_in_vain_is_left_alone_until_all_are_tried_again() -> None:
    pool = Pool()
    pool.add(ticket("a", 0.0))
    assert pool.form() == []
    pool.add(ticket("b", 50.0))
    assert pool.form(NOW + 0.1) == []
    assert pool.book.is_idle(NOW + 0.2)
    assert not pool.book.is_idle(NOW + AGAIN_S)
    assert pool.form(NOW + AGAIN_S) == []
    assert pool.book.is_idle(NOW + 10 * AGAIN_S)


def test_a_cycle_whose_matches_have_been_taken_leaves_the_next_nothing_to_try() -> None:
    pool = Pool()
    pool.add(ticket("a", 0.0), ticket("b", 1.0), ticket("c", 50.0))
    assert pool.take() == [["a", "b"]]
    assert pool.form(NOW + 0.1) == []
    assert pool.last is not None
    assert pool.last.looks == 0
    assert pool.book.is_idle(NOW + 0.2)


def test_running_matches_of_which_nothing_has_changed_are_not_asked_again() -> None:
    pool = Pool(teams=TWO)
    pool.add(ticket("far", 90.0))
    seated = tuple(player(f"{team}{seat}", 0.0, team) for team in ("red", "blue") for seat in range(2))
    match = RunningMatch("m", "eu", 0, -1, NOW, seated, (1, 1))
    assert pool.form(running=[match]) == []
    assert pool.last is not None
    assert pool.last.looks > 0
    assert pool.form(NOW + 0.1, running=[match]) == []
    assert pool.last.looks == 0
    pool.form(NOW + 0.2, running=[replace(match, room=(1, 0))])
    assert pool.last.looks > 0
    pool.add(ticket("near", 1.0))
    assert pool.form(NOW + 0.3, running=[match]) == [["near"]]


def test_too_few_players_for_any_match_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("searched")

    monkeypatch.setattr(book, "search_through", refuse)
    pool = Pool(teams=ONE, caps=CAPS)
    pool.add(ticket("a", 0.0))
    assert pool.form() == []
    assert pool.last is not None
    assert pool.last.exact
    pool.add(ticket("b", 0.0))
    with pytest.raises(AssertionError, match="searched"):
        pool.form()
