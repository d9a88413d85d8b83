from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.bench.matchmaker.expectations import EXPECTATIONS, Answer, mistakes_of
from loadtest.bench.matchmaker.rules import Case, cases, check, is_quick, run
from loadtest.errors import BenchError

ALL = cases()
OUTCOME = (
    '{"matches": [{"region": "eu", "teams": {"a": ["p"], "b": ["q"]}, "tickets": ["p", "q"]}], "left": []}'
)


@pytest.mark.parametrize("case", [case for case in ALL if is_quick(case)], ids=lambda case: case.name)
def test_the_command_answers_as_the_case_says(case: Case) -> None:
    assert not check(case, processes=False)


def test_there_are_cases_of_every_kind_and_each_is_there_once() -> None:
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)
    assert all(case.rules.is_file() and case.tickets.is_file() for case in ALL)
    assert set(EXPECTATIONS) <= {key for case in ALL for key in case.expected}


@pytest.mark.parametrize(
    ("expected", "right"),
    [
        ({"matches": 1, "size": 2, "team_sets": ["a", "b"], "sizes": {"a": 1}, "left": 0}, True),
        ({"matches": 2}, False),
        ({"size": 3}, False),
        ({"contains": ["p"], "together": [["q", "p"]], "apart": [["p", "r"]]}, True),
        ({"together": [["p"]]}, False),
        ({"apart": [["p", "q"]]}, False),
        ({"reason": {"r": "late"}}, False),
        ({"exit": 2}, False),
        ({"colour": "blue"}, False),
    ],
)
def test_an_answer_is_right_or_says_what_it_lacks(expected: dict[str, object], right: bool) -> None:
    assert (not mistakes_of(expected, Answer(0, OUTCOME, ""), Path("unread"))) == right


def test_a_traceback_and_a_refusal_without_a_reason_are_wrong() -> None:
    assert mistakes_of({"exit": 2}, Answer(2, "", "rules.json#: no"), Path("unread")) == []
    assert mistakes_of({"exit": 2}, Answer(2, "", ""), Path("unread")) == ["no reason"]
    assert mistakes_of({"exit": 1}, Answer(1, "", "Traceback …"), Path("unread")) == ["a traceback"]


def test_a_case_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(BenchError):
        list(run(("nothing",)))
