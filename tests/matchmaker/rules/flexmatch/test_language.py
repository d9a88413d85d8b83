"""The language at its edges: names, literals, statements, and text that is no rule set at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matchmaker.rules.flexmatch.document import DocumentError, parse
from matchmaker.rules.flexmatch.expressions import (
    ExpressionError,
    meant_as_expression,
    named_teams,
    parse_expression,
)
from matchmaker.rules.flexmatch.json_text import JsonTextError, load
from matchmaker.rules.flexmatch.program import compile_rules
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.reading.statements import StatementError, parse_statement
from matchmaker.rules.flexmatch.table import Columns
from tests.matchmaker.rules.flexmatch.examples import rule_set

TEAMS = {"red": 1, "Red Team": 1, "": 1, "a, b": 1, "x]y": 1, "trio": 3}
TYPES = {"skill": "number", "mode": "string", "maps": "string_list", "": "number", "how strong": "number"}


def mistakes(document: Any) -> dict[str, str]:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(DocumentError) as refused:
        read_rule_set(text)
    return {mistake.pointer: mistake.reason for mistake in refused.value.mistakes}


@pytest.mark.parametrize(
    ("text", "teams", "depth"),
    [
        ("teams[*].players[playerId]", tuple(TEAMS), 2),
        ("teams[red].players[playerid]", ("red",), 1),
        ("teams[Red Team].players.attributes[how strong]", ("Red Team",), 1),
        ("teams[ red , Red Team ].players.attributes[ skill ]", ("red", "Red Team"), 2),
        ("teams[].players.attributes[]", ("",), 1),
        ("teams[a, b].players.attributes[skill]", ("a, b",), 1),
        ("teams[x]y].players.attributes[skill]", ("x]y",), 1),
        ("teams[trio_2].players.attributes[skill]", ("trio_2",), 1),
        ("flatten(set_intersection(teams[*].players.attributes[maps]))", tuple(TEAMS), 1),
        ("set_intersection(set_intersection(teams[*].players.attributes[maps]))", tuple(TEAMS), 1),
        ("count (teams[*].players)", tuple(TEAMS), 1),
        ("count(flatten(teams[*].players))", tuple(TEAMS), 0),
    ],
)
def test_names_of_any_characters_are_read_between_brackets(
    text: str, teams: tuple[str, ...], depth: int
) -> None:
    expression = parse_expression(text, TEAMS, TYPES)
    assert (expression.teams, expression.depth) == (teams, depth)


@pytest.mark.parametrize("text", ["red_1", "trio_0", "trio_4", "trio_02", "trio_x", "blue", "red, blue"])
def test_a_team_or_a_copy_that_there_is_none_of_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        named_teams(text, TEAMS)


@pytest.mark.parametrize(
    "text",
    [
        "teams[red].players.attributes[mode]",
        "min(teams[*].player.attributes[m])",
        "players.attributes[mode",
        "player.attributes[mode]",
        "Players.Attributes[mode]",
        "players[id]",
        "count(players)",
        "common(flatten(teams[*].players.attributes[maps]))",
        "attributes[mode]",
        "teams(red).players.attributes[mode]",
    ],
)
def test_what_was_meant_as_an_expression_is_never_a_literal(text: str) -> None:
    assert meant_as_expression(text)


@pytest.mark.parametrize(
    "text", ["4 players", "players", "for 4 players. Have fun", "duo (2 players) [ranked]", "teams", ""]
)
def test_what_only_sounds_like_an_expression_is_a_literal(text: str) -> None:
    assert not meant_as_expression(text)


def test_a_misspelt_reference_is_a_mistake_with_its_pointer() -> None:
    rules: list[dict[str, Any]] = [
        {
            "type": "comparison",
            "operation": "=",
            "measurements": ["flatten(teams[*].players.attributes[mode])"],
            "referenceValue": "min(teams[*].player.attributes[mode])",
        },
        {
            "type": "collection",
            "operation": "reference_intersection_count",
            "measurements": ["flatten(teams[*].players.attributes[maps])"],
            "referenceValue": ["dust", "players[playerId"],
            "maxCount": 0,
        },
    ]
    assert set(mistakes(rule_set(rules))) == {"/rules/0/referenceValue", "/rules/1/referenceValue/1"}


@pytest.mark.parametrize(
    ("text", "postfix"),
    [
        ("or(A, B)", ("A", "B", ("or", 2))),
        ("and(near (enough), yes, A)", ("near (enough), yes", "A", ("and", 2))),
        (" xor( not( A ) ,B ) ", ("A", ("not", 1), "B", ("xor", 2))),
        ("and(and, or(A, and))", ("and", "A", "and", ("or", 2), ("and", 2))),
    ],
)
def test_a_statement_names_rules_of_any_characters(text: str, postfix: tuple[Any, ...]) -> None:
    assert parse_statement(text, ["A", "B", "near (enough), yes", "and"]) == postfix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "or(A)",
        "not(A, B)",
        "or(A, C)",
        "nand(A, B)",
        "or(A, B",
        "or(A, B))",
        "or(A,, B)",
        "or(A B)",
        "not(" * 3_000 + "A" + ")" * 3_000,
        "or(" + "A," * 3_000 + "B)",
    ],
)
def test_what_is_no_statement_is_refused_however_deep_or_long(text: str) -> None:
    with pytest.raises(StatementError):
        parse_statement(text, ["A", "B"])


def test_a_name_that_is_there_twice_is_a_mistake_wherever_it_stands() -> None:
    text = json.dumps(rule_set([{"type": "latency", "maxLatency": 5}]))
    twice = text.replace('"maxLatency": 5', '"maxLatency": 5, "maxLatency": 900')
    assert set(mistakes(twice)) == {"/rules/0/maxLatency"}
    assert set(mistakes(text[:-1] + ', "rules": []}')) == {"/rules"}
    deep = '{"a/b": [{"x": 1, "x": 2}], "c": {"c": {"c": 1, "c": 1}}}'
    assert [mistake.pointer for mistake in parse(deep, "it").mistakes] == ["/a~1b/0/x", "/c/c/c"]


def test_comments_and_a_byte_order_mark_are_read_over_and_strings_kept() -> None:
    text = '\ufeff// boats\n{"a": "// no /* comment */", /* two\nlines */ "b": [1 // one\n]}'
    assert load(text) == ({"a": "// no /* comment */", "b": [1]}, False)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 5_000 + "]" * 5_000 + "x",
        '"' + '\\"' * 100_000,
        "/*" * 100_000,
        "[" + "9" * 5_000 + "]",
        "NaN",
        "[1, -Infinity]",
        '{"a": 1,}',
        "",
    ],
)
def test_text_that_is_no_json_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(JsonTextError) as refused:
        load(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_several_teams_or_rules_expand_at_once_and_none_of_them_twice() -> None:
    steps = [{"waitTimeSeconds": 5, "value": 0}]
    teams = [{"name": n, "minPlayers": 1, "maxPlayers": 2, "quantity": q} for n, q in [("a", 1), ("b", 2)]]
    rules = [{"type": "latency", "maxLatency": 5}, {"type": "latency", "maxLatency": 9}]

    def expanded(*targets: str) -> dict[str, Any]:
        return rule_set(rules, teams, expansions=[{"target": each, "steps": steps} for each in targets])

    read = read_rule_set(json.dumps(expanded("teams[a, b].minPlayers", "rules[Rule0, Rule1].maxLatency")))
    assert [(each.name, each.field) for each in read.expansions] == [
        ("a", "minPlayers"),
        ("b", "minPlayers"),
        ("Rule0", "maxLatency"),
        ("Rule1", "maxLatency"),
    ]
    assert read_rule_set(json.dumps(expanded("teams[*].minPlayers"))).expansions == read.expansions[:2]
    assert set(mistakes(expanded("teams[b].minPlayers", "teams[b_2].minPlayers"))) == {"/expansions/1/target"}
    assert set(mistakes(expanded("teams[b_1].minPlayers", "teams[a, b_1].minPlayers"))) == {
        "/expansions/1/target"
    }
    assert set(mistakes(expanded("rules[Rule0, Rule9].maxLatency"))) == {"/expansions/0/target"}


def test_copies_of_a_team_are_alike_until_one_of_them_is_named() -> None:
    teams = [{"name": "trio", "minPlayers": 1, "maxPlayers": 3, "quantity": 3}]
    rule = {
        "type": "comparison",
        "measurements": ["count(teams[trio_2].players)"],
        "referenceValue": 2,
        "operation": ">=",
    }

    def kinds(document: dict[str, Any]) -> list[int]:
        program = compile_rules(read_rule_set(json.dumps(document)), Columns([]))
        found: list[int] = program.teams["kind"].tolist()
        return found

    assert kinds(rule_set([], teams)) == [0, 0, 0]
    assert kinds(rule_set([rule], teams)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("teams", "expansions", "pointer"),
    [
        ([{"name": "a", "minPlayers": 1, "maxPlayers": 41}], [], ""),
        ([{"name": "a", "minPlayers": 1, "maxPlayers": 30}], [("teams[a].maxPlayers", 41)], ""),
        ([{"name": "a", "minPlayers": 1, "maxPlayers": 30}], [("teams[a].maxPlayers", 10**9)], "/expansions"),
        ([{"name": "a", "minPlayers": 1, "maxPlayers": 67, "quantity": 3}], [], "/teams"),
        ([{"name": " * ", "minPlayers": 1, "maxPlayers": 2}], [], "/teams/0/name"),
    ],
)
def test_sizes_are_bounded_as_they_are_and_as_they_grow(
    teams: list[dict[str, Any]], expansions: list[tuple[str, int]], pointer: str
) -> None:
    document = rule_set(
        teams=teams,
        expansions=[
            {"target": target, "steps": [{"waitTimeSeconds": 5, "value": value}]}
            for target, value in expansions
        ],
    )
    assert any(found.startswith(pointer) for found in mistakes(document))


def test_balanced_takes_every_rule_up_to_forty_players() -> None:
    rule = {
        "type": "comparison",
        "measurements": ["flatten(teams[*].players.attributes[mode])"],
        "operation": "=",
    }
    algorithm = {"strategy": "balanced", "balancedAttribute": "skill"}
    forty = [{"name": "side", "minPlayers": 10, "maxPlayers": 20, "quantity": 2}]
    assert read_rule_set(json.dumps(rule_set([rule], forty, algorithm=algorithm))).max_players == 40


@given(st.text(max_size=60) | st.text("([{\"'\\/*,:}])0aN \n\ufeff\ud800", max_size=80))
@example('{"a": "\\ud800", "\\ud800": 1, "\\ud800": 2}')
def test_any_text_is_read_or_refused_as_a_document(text: str) -> None:
    found = 0
    try:
        read = read_rule_set(text)
    except DocumentError as refused:
        read, found = None, len(refused.mistakes)
    assert (read is None) == (found > 0)


PIECES = st.sampled_from(
    ["teams[", "team[", "*", "red", "trio_2", "]", ".", "players", "attributes[", "maps", "playerId", "(",
     ")", "avg", "count", "flatten", "set_intersection", " ", ",", ""]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text, TEAMS, TYPES)
    except ExpressionError:
        return
    assert 0 <= expression.depth <= 3
    assert meant_as_expression(text)


@given(
    st.lists(
        st.sampled_from(["and", "or", "not", "xor", "(", ")", ",", "A", "near (enough), yes", " "]),
        max_size=20,
    )
)
def test_any_text_is_a_statement_or_refused(pieces: list[str]) -> None:
    names = ["A", "near (enough), yes"]
    try:
        postfix = parse_statement("".join(pieces), names)
    except StatementError:
        return
    height = 0
    for item in postfix:  # it leaves one verdict, and takes none that is not there
        height += 1 if isinstance(item, str) else 1 - item[1]
        assert height >= 1
    assert height == 1
