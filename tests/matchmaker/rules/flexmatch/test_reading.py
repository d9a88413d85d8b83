from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.cli.main import app
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.flexmatch.expressions import ExpressionError, parse_expression
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import read_tickets
from tests.matchmaker.rules.flexmatch.examples import rule_set, ticket

TEAMS = {"red": 1, "blue": 1, "trio": 3}
TYPES = {"skill": "number", "mode": "string", "maps": "string_list", "likes": "string_number_map"}


def pointers(document: Any) -> dict[str, str]:
    with pytest.raises(DocumentError) as refused:
        read_rule_set(document if isinstance(document, str) else json.dumps(document))
    return {mistake.pointer: mistake.reason for mistake in refused.value.mistakes}


def test_every_mistake_is_found_at_once_each_with_its_pointer() -> None:
    broken = rule_set(
        [
            {
                "type": "distance",
                "measurements": ["avg(teams[green].players.attributes[skill])"],
                "referenceValue": 1,
            },
            {"type": "latency", "maxLatency": -1},
            {"type": "teleport"},
            {"type": "batchDistance", "batchAttribute": "skill"},
            {"type": "compound", "statement": "or(Rule1, Nobody)"},
        ],
        teams=[{"name": "red", "minPlayers": 3, "maxPlayers": 2}],
        expansions=[
            {"target": "rules[Rule9].maxDistance", "steps": [{"waitTimeSeconds": 5, "value": 1}]},
            {
                "target": "rules[Rule1].maxLatency",
                "steps": [{"waitTimeSeconds": 9, "value": 1}, {"waitTimeSeconds": 5, "value": 2}],
            },
        ],
        acceptance=True,
    )
    found = pointers(broken)
    assert set(found) == {
        "/acceptance",
        "/teams/0/minPlayers",
        "/rules/0",
        "/rules/0/measurements/0",
        "/rules/1/maxLatency",
        "/rules/2/type",
        "/rules/3",
        "/rules/4/statement",
        "/expansions/0/target",
        "/expansions/1/steps/1/waitTimeSeconds",
    }
    assert "no team green" in found["/rules/0/measurements/0"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ruleLanguageVersion": "2.0"}, "/ruleLanguageVersion"),
        ({"teams": []}, "/teams"),
        ({"teams": [{"name": "all", "minPlayers": 41, "maxPlayers": 41}]}, ""),
        ({"algorithm": {"strategy": "magic"}}, "/algorithm/strategy"),
        ({"algorithm": {"strategy": "balanced"}}, "/algorithm"),
        ({"algorithm": {"batchingPreference": "sorted"}}, "/algorithm"),
        (
            {"playerAttributes": [{"name": "a", "type": "number", "default": "x"}]},
            "/playerAttributes/0/default",
        ),
        ({"teams": [{"name": "a~b/c", "minPlayers": 0, "maxPlayers": 1, "colour": 1}]}, "/teams/0/colour"),
    ],
)
def test_what_is_wrong_or_unsupported_is_refused_at_load(change: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers({**rule_set(), **change})


def test_the_balanced_strategy_refuses_the_rules_that_it_does_not_have() -> None:
    rule = {
        "type": "distance",
        "measurements": ["players.attributes[skill]"],
        "referenceValue": 1,
        "maxDistance": 1,
    }
    large = rule_set(
        [rule],
        teams=[{"name": "all", "minPlayers": 50, "maxPlayers": 50}],
        algorithm={"strategy": "balanced", "balancedAttribute": "skill"},
    )
    assert set(pointers(large)) == {"/rules/0/type"}


def test_text_that_is_no_json_is_one_mistake_of_the_whole_document() -> None:
    assert set(pointers("{")) == {""}
    assert set(pointers("[]")) == {""}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "type",
                        "teams",
                        "rules",
                        "steps",
                        "target",
                        "algorithm",
                        "expansions",
                        "playerAttributes",
                        "minPlayers",
                        "maxPlayers",
                        "measurements",
                        "statement",
                        "ruleLanguageVersion",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused_and_nothing_else(document: Any) -> None:
    mistakes = 0
    try:
        read = read_rule_set(json.dumps(document))
    except DocumentError as refused:
        mistakes, read = len(refused.mistakes), None
    assert (read is None) == (mistakes > 0)


@pytest.mark.parametrize(
    ("text", "depth", "element"),
    [
        ("teams[red].players.attributes[skill]", 1, "number"),
        ("teams[*].players.attributes[skill]", 2, "number"),
        ("avg(teams[red, blue].players.attributes[skill])", 1, "number"),
        ("max(avg(teams[*].players.attributes[skill]))", 0, "number"),
        ("count(teams[trio].players)", 1, "number"),
        ("flatten(teams[*].players.attributes[maps])", 2, "string"),
        ("set_intersection(flatten(teams[*].players.attributes[maps]))", 1, "string"),
        ("teams[*].players.playerId", 2, "string"),
        ("players.attributes[mode]", 1, "string"),
        ("stddev(flatten(teams[*].players.attributes[skill]))", 0, "number"),
    ],
)
def test_an_expression_knows_what_it_gives(text: str, depth: int, element: str) -> None:
    expression = parse_expression(text, TEAMS, TYPES)
    assert (expression.depth, expression.element) == (depth, element)


@pytest.mark.parametrize(
    "text",
    [
        "teams[green].players.attributes[skill]",
        "teams[red].players.attributes[nothing]",
        "teams[red].players.attributes[likes]",
        "teams[red].players",
        "mode(teams[red].players.attributes[skill])",
        "flatten(teams[red].players.attributes[skill])",
        "avg(teams[red].players.attributes[mode])",
        "max(avg(teams[red].players.attributes[skill]))",
        "set_intersection(teams[*].players.attributes[skill])",
        "avg(teams[red].players.attributes[skill]",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text, TEAMS, TYPES)


def test_every_mistake_of_a_ticket_file_is_found_at_once() -> None:
    rules = read_rule_set(json.dumps(rule_set()))
    broken = [
        ticket("a", {"skill": 1}),
        ticket("a", {"skill": "strong"}),
        ticket("b", {"colour": 1}, latency={"eu": -1}),
        {"TicketId": "c", "Players": []},
        {"TicketId": "d", "Players": [{"PlayerId": "d", "Team": "green"}], "Hurry": True},
        ticket("e", *[{}] * 11),
    ]
    with pytest.raises(DocumentError) as refused:
        read_tickets(json.dumps(broken), rules)
    assert {mistake.pointer for mistake in refused.value.mistakes} == {
        "/1/TicketId",
        "/1/Players/0",
        "/1/Players/0/PlayerAttributes/skill/S",
        "/2/Players/0/PlayerAttributes/colour",
        "/2/Players/0/LatencyInMs/eu",
        "/3/Players",
        "/4/Hurry",
        "/4/Players/0/Team",
        "/5/Players",
    }


def test_the_command_prints_every_mistake_with_its_pointer_and_exits_with_2(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, tickets = tmp_path / "rules.json", tmp_path / "tickets.json"
    rules.write_text(json.dumps(rule_set([{"type": "latency"}], teams=[{"name": "a", "minPlayers": 1}])))
    tickets.write_text("[]")
    with pytest.raises(SystemExit) as ended:
        app(["match", str(rules), str(tickets)])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "#/teams/0: needs maxPlayers" in errors
    assert "#/rules/0: needs maxLatency or maxDistance" in errors


@pytest.mark.parametrize("option", [["--now", "nan"], ["--now", "inf"], ["--seed", "-1"]])
def test_the_command_refuses_a_time_and_a_seed_that_are_none(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    rules, tickets = tmp_path / "rules.json", tmp_path / "tickets.json"
    rules.write_text(json.dumps(rule_set()))
    tickets.write_text("[]")
    with pytest.raises(SystemExit) as ended:
        app(["match", str(rules), str(tickets), *option])
    assert ended.value.code == 2
    assert "finite" in capsys.readouterr().err


def test_half_a_pair_of_surrogates_is_shown_as_an_escape(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, tickets = tmp_path / "rules.json", tmp_path / "tickets.json"
    rules.write_text(json.dumps(rule_set(teams=[{"name": "\ud83d", "minPlayers": 1, "maxPlayers": 1}])))
    tickets.write_text(json.dumps([ticket("\ud800"), ticket("b", {"colour": 1})]))
    with pytest.raises(SystemExit) as ended:
        app(["match", str(rules), str(tickets)])
    assert ended.value.code == 2
    tickets.write_text(json.dumps([ticket("\ud800")]))
    with pytest.raises(SystemExit) as ended:
        app(["match", str(rules), str(tickets)])
    assert ended.value.code == 0
    assert "\\ud800" in capsys.readouterr().out


def test_the_command_prints_the_matches_and_why_the_others_were_left(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, tickets = tmp_path / "rules.json", tmp_path / "tickets.json"
    rules.write_text(json.dumps(rule_set()))
    tickets.write_text(json.dumps([ticket(name, latency={"eu": 20}) for name in "abc"]))
    for options in (["--json"], []):
        with pytest.raises(SystemExit) as ended:
            app(["match", str(rules), str(tickets), *options])
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        if options:
            assert json.loads(printed) == {
                "matches": [{"region": "eu", "teams": {"red": ["a"], "blue": ["b"]}, "tickets": ["a", "b"]}],
                "left": [{"ticket": "c", "reason": "not enough players left who could fill the teams"}],
            }
        else:
            assert "region eu" in printed
            assert "c: not enough players" in printed
