"""What an author is told of a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matchmaker.plans.compile import compile_plan
from matchmaker.plans.explain import Explanation, explain
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.modes import shipped_rule_set
from tests.matchmaker.plans.written import (
    ALL_SKILLS,
    HUNT,
    Rule,
    collection,
    comparison,
    compiled,
    distance,
    of,
)

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "hunt.json"
STEPS = [{"waitTimeSeconds": 10, "value": 8}, {"waitTimeSeconds": 30, "value": 8}]


def told(rules: list[Rule], **others: object) -> Explanation:
    return explain(compiled(rules, **others))  # type: ignore[arg-type]


def test_the_example_is_told_rule_by_rule() -> None:
    explained = explain(compile_plan(read_rule_set(EXAMPLE.read_text())))
    assert [(line.name, line.became, line.tested) for line in explained.rules] == [
        ("LikeLevel", ("spread of each level",), "as each joins"),
        ("CommonMap", ("strings that all share",), "as each joins"),
        ("SameVariant", ("bucket",), ""),
        ("StrongBeast", ("eligibility",), ""),
        ("Near", ("mask",), ""),
    ]
    assert explained.levels == (0.0, 50.0, 100.0)
    assert [(line.teams, line.sorted_by, line.walk) for line in explained.lists] == [
        (("hunters",), "level", "nearest first"),
        (("beast",), "level", "nearest first"),
    ]
    assert [(team.name, team.fewest, team.most) for team in explained.teams] == [
        ("hunters", (2, 2, 1), (3, 3, 3)),
        ("beast", (1, 1, 1), (1, 1, 1)),
    ]
    assert explained.not_indexed == (
        "BestTrackersFirst: lists are sorted by one number, the first sort key's",
    )
    assert not explained.kernel


@pytest.mark.parametrize("mode", ["battle_royale", "teams_of_five"])
def test_the_kernel_takes_what_ships_and_is_of_one_size(mode: str) -> None:
    explained = explain(compile_plan(shipped_rule_set(mode)))
    assert explained.kernel
    assert explained.not_kernel == ()
    assert explained.lines()[-1] == "a live queue of it is matched by the kernel of the modes that ship"


def test_sides_that_may_be_short_are_matched_by_a_plan() -> None:
    explained = explain(compile_plan(shipped_rule_set("capture_the_flag")))
    assert not explained.kernel
    assert any("EvenSides" in reason for reason in explained.not_kernel)


def test_why_the_kernel_does_not_take_a_rule_set_is_said_with_its_place() -> None:
    explained = told([comparison("players.attributes[mode]", "=")])
    assert any(reason.startswith("/rules/0: R0") for reason in explained.not_kernel)


def test_limits_stand_at_each_level_and_are_shown_where_they_change() -> None:
    explained = told(
        [distance(ALL_SKILLS, f"avg({ALL_SKILLS})", maxDistance=5)],
        expansions=[{"target": "rules[R0].maxDistance", "steps": STEPS}],
    )
    assert explained.rules[0].numbers == {"maxDistance": (5.0, 8.0, 8.0)}
    assert explained.rule_rows() == [
        ("R0", "distance", "each skill apart from mean of skill of all", "as each joins", "maxDistance 5 → 8")
    ]
    assert explained.list_rows() == [("red, blue", "", "skill", "nearest first", "10 → 16")]
    assert explained.lines()[0] == "changes after 10, 30 s, by the age of the match's newest ticket"


def test_what_is_asked_of_the_evaluator_is_called_slow() -> None:
    parts = [comparison(f"median({ALL_SKILLS})", ">", 3), comparison(f"avg({ALL_SKILLS})", ">", 3)]
    explained = told([*parts, {"type": "compound", "statement": "or(R0, R1)"}])
    assert [line.slow for line in explained.rules] == [True, False, True]
    assert explained.rules[0].became == ("part of a compound rule",)
    assert explained.lines()[0] == "asked of the evaluator, which is slow: R0, R2"


def test_roles_and_joins_are_named_in_the_lists() -> None:
    rules = [
        collection("teams[pack].players.attributes[mode]", "contains", "medic", minCount=1),
        distance(of("avg", "pack"), of("avg", "boss", "level"), maxDistance=5),
    ]
    explained = told(rules, teams=HUNT)
    assert [(line.teams, line.role, line.sorted_by, line.walk) for line in explained.lists] == [
        (("pack",), "medic", "skill", "nearest first to the level of boss"),
        (("pack",), "", "skill", "nearest first to the level of boss"),
        (("boss",), "", "level", "nearest first to the skill of pack"),
    ]


def test_a_rule_set_without_a_plan_says_why_it_is_searched() -> None:
    teams = [{"name": f"t{number}", "minPlayers": 1, "maxPlayers": 1} for number in range(64)]
    balanced = {"strategy": "balanced", "balancedAttribute": "skill"}
    explained = told([], teams=teams, algorithm=balanced)
    assert explained.lists == ()
    assert explained.lines() == ["searched depth first: it has 64 kinds of teams, and a plan at most 63"]


def test_copies_that_a_rule_tells_apart_have_lines_of_their_own() -> None:
    teams = [{"name": "squad", "minPlayers": 1, "maxPlayers": 2, "quantity": 3}]
    alike = told([], teams=teams)
    assert [(team.name, team.copies) for team in alike.teams] == [("squad", 3)]
    apart = told([comparison("teams[squad_2].players.attributes[skill]", ">", 3)], teams=teams)
    assert [(team.name, team.copies) for team in apart.teams] == [
        ("squad_1", 1), ("squad_2", 1), ("squad_3", 1),
    ]  # fmt: skip


def test_a_sort_by_text_is_told_as_far_as_it_goes() -> None:
    algorithm = {"batchingPreference": "sorted", "sortByAttributes": ["mode"]}
    explained = told([], algorithm=algorithm)
    assert explained.not_indexed == ("sortByAttributes mode: lists are sorted by the first 6 bytes alone",)
    assert explained.lists[0].sorted_by == "mode"


def test_an_explanation_is_a_document() -> None:
    document = explain(compile_plan(shipped_rule_set("teams_of_five"))).as_document()
    assert json.loads(json.dumps(document))["rules"][0]["name"] == "LikeSkill"
    assert set(document) >= {"levels", "rules", "teams", "lists", "not_indexed", "searched", "kernel"}
