"""What each form of rule becomes, and the levels of a plan."""

from __future__ import annotations

import json

import pytest

from matchmaker.plans.compile import MAX_LEVELS, compile_plan
from matchmaker.plans.layout import (
    ALIKE,
    BLOCK,
    COMPARE,
    COUNT,
    DEFERRABLE,
    DISTANCE,
    EACH,
    FINAL,
    GENERIC,
    INTERSECT,
    JOIN,
    LATENCY,
    LATENCY_DISTANCE,
    NONE,
    SPREAD,
)
from matchmaker.rules.flexmatch.reading import read_rule_set
from tests.matchmaker.plans.written import (
    ALL_MAPS,
    ALL_SKILLS,
    ONE,
    TWO,
    Rule,
    collection,
    comparison,
    compiled,
    distance,
    of,
    plan_of,
)

ABSORBED = [
    ("equality of every string", comparison("flatten(teams[*].players.attributes[mode])", "="), "bucket"),
    ("equality team by team", comparison("teams[*].players.attributes[mode]", "="), "bucket"),
    ("equality of every number", comparison("players.attributes[level]", "="), "bucket"),
    ("batchDistance of a string", {"type": "batchDistance", "batchAttribute": "mode"}, "bucket"),
    (
        "batchDistance of nought",
        {"type": "batchDistance", "batchAttribute": "level", "maxDistance": 0},
        "bucket",
    ),
    ("each against a number", comparison("teams[*].players.attributes[skill]", ">=", 20), "eligibility"),
    (
        "one team's against a string",
        comparison("teams[red].players.attributes[mode]", "=", "x"),
        "eligibility",
    ),
    (
        "each near a number",
        distance("teams[red].players.attributes[skill]", 50, maxDistance=5),
        "eligibility",
    ),
    ("each far from a number", distance("players.attributes[skill]", 50, minDistance=5), "eligibility"),
    ("the least of all", comparison(f"min({ALL_SKILLS})", ">=", 20), "eligibility"),
    (
        "the largest of each team",
        comparison(of("max", "*"), "<", 20),
        "eligibility",
    ),
    (
        "strings that each list must have",
        collection("teams[*].players.attributes[maps]", "reference_intersection_count", ["x"], minCount=1),
        "eligibility",
    ),
    (
        "a string that nobody may have",
        collection(ALL_MAPS, "contains", "x", maxCount=0),
        "eligibility",
    ),
    ("a longest round trip", {"type": "latency", "maxLatency": 80}, "mask"),
    ("one value compared with nothing", comparison(f"avg({ALL_SKILLS})", "="), "always holds"),
]


@pytest.mark.parametrize(
    ("rule", "became"), [each[1:] for each in ABSORBED], ids=[each[0] for each in ABSORBED]
)
def test_a_rule_of_this_form_is_never_tested(rule: Rule, became: str) -> None:
    made = compiled([rule])
    assert made.became == ((became,),)
    assert made.plan is not None
    assert not len(made.plan.rules)
    assert made.stages == (NONE,)


TESTED = [
    ("likeness", {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}, SPREAD, JOIN),
    ("largest less least", distance(f"max({ALL_SKILLS})", f"min({ALL_SKILLS})", maxDistance=5), SPREAD, JOIN),
    (
        "largest far from least",
        distance(f"max({ALL_SKILLS})", f"min({ALL_SKILLS})", minDistance=5),
        DISTANCE,
        FINAL,
    ),
    ("each near the mean", distance(ALL_SKILLS, f"avg({ALL_SKILLS})", maxDistance=5), DISTANCE, JOIN),
    (
        "teams' means near the mean",
        distance(of("avg", "*"), f"avg({ALL_SKILLS})", maxDistance=5),
        DISTANCE,
        DEFERRABLE,
    ),
    (
        "one team's mean near the other's",
        distance(of("avg", "red"), of("avg", "blue"), maxDistance=5),
        DISTANCE,
        DEFERRABLE,
    ),
    (
        "one team's mean against a mean of another attribute",
        comparison(of("avg", "red"), "<", of("avg", "blue", "level")),
        COMPARE,
        JOIN,
    ),
    ("the mean of all", comparison(f"avg({ALL_SKILLS})", ">", 20), COMPARE, JOIN),
    ("a sum that may not be larger", comparison(f"sum({ALL_SKILLS})", "<=", 90), COMPARE, JOIN),
    ("a sum that must be larger", comparison(f"sum({ALL_SKILLS})", ">=", 90), COMPARE, FINAL),
    ("teams of one size", comparison("count(teams[*].players)", "="), COMPARE, FINAL),
    (
        "teams' sums near each other",
        distance(of("sum", "red"), of("sum", "blue"), maxDistance=5),
        DISTANCE,
        FINAL,
    ),
    ("one team alike", comparison("teams[red].players.attributes[mode]", "="), ALIKE, JOIN),
    ("all different", comparison("flatten(teams[*].players.attributes[mode])", "!="), BLOCK, JOIN),
    ("all numbers different", comparison("players.attributes[level]", "!="), BLOCK, JOIN),
    ("some of each team different", comparison("teams[red].players.attributes[mode]", "!="), GENERIC, JOIN),
    ("strings that all share", collection(ALL_MAPS, "intersection", minCount=1), INTERSECT, JOIN),
    (
        "few strings that all share",
        collection(f"set_intersection({ALL_MAPS})", "intersection", maxCount=1),
        INTERSECT,
        FINAL,
    ),
    (
        "one of a kind a team",
        collection("teams[*].players.attributes[mode]", "contains", "medic", minCount=1),
        COUNT,
        JOIN,
    ),
    (
        "ids that nobody names",
        collection(
            "flatten(teams[*].players.attributes[blocked])",
            "reference_intersection_count",
            "flatten(teams[*].players[playerId])",
            maxCount=0,
        ),
        BLOCK,
        JOIN,
    ),
    (
        "near in round trips",
        {"type": "latency", "maxDistance": 20, "distanceReference": "avg"},
        LATENCY_DISTANCE,
        JOIN,
    ),
    ("a median", comparison(f"median({ALL_SKILLS})", ">", 20), GENERIC, JOIN),
    (
        "teams' deviations",
        distance("stddev(teams[*].players.attributes[skill])", f"stddev({ALL_SKILLS})", maxDistance=1),
        GENERIC,
        DEFERRABLE,
    ),
]


@pytest.mark.parametrize(
    ("rule", "kind", "stage"), [each[1:] for each in TESTED], ids=[each[0] for each in TESTED]
)
def test_a_rule_of_this_form_is_one_atom(rule: Rule, kind: int, stage: int) -> None:
    made = compiled([rule])
    assert made.plan is not None
    [atom], [tested] = made.plan.atoms, made.plan.rules
    assert atom["kind"] == kind
    assert tested["stage"] == stage
    assert made.stages == (stage,)
    assert made.plan.generic == (kind == GENERIC)


def test_what_a_compound_rule_asks_by_and_stands_alone() -> None:
    parts = [
        comparison("players.attributes[mode]", "="),
        comparison("players.attributes[skill]", ">", 20),
        {"type": "latency", "maxLatency": 80},
        distance(ALL_SKILLS, f"avg({ALL_SKILLS})", maxDistance=5),
    ]
    made = compiled([*parts, {"type": "compound", "statement": "and(R0, R1, and(R2, R3))"}])
    assert made.became[4][:3] == ("bucket", "eligibility", "mask")
    assert made.plan is not None
    assert [rule.tolist() for rule in made.plan.rules] == [(4, JOIN, 0, 1)]


def test_a_statement_is_postfix_code_over_atoms() -> None:
    parts = [
        comparison("players.attributes[mode]", "="),
        comparison(f"avg({ALL_SKILLS})", ">", 20),
        {"type": "latency", "maxLatency": 80, "maxDistance": 10, "distanceReference": "min"},
    ]
    plan = plan_of([*parts, {"type": "compound", "statement": "or(R0, not(R1), R2)"}])
    assert [tuple(code) for code in plan.code.tolist()] == [
        (0, 0),
        (1, 0),
        (-4, 1),
        (2, 0),
        (3, 0),
        (-1, 2),
        (-2, 3),
    ]
    assert plan.atoms["kind"].tolist() == [ALIKE, COMPARE, LATENCY, LATENCY_DISTANCE]
    assert plan.masks == 2


@pytest.mark.parametrize(
    ("statement", "stage"),
    [("or(R0, R1)", FINAL), ("or(R1, R2)", JOIN), ("not(R2)", FINAL), ("or(R1, R3)", DEFERRABLE)],
)
def test_a_statement_is_tested_at_the_latest_stage_of_its_atoms(statement: str, stage: int) -> None:
    parts = [
        collection("players.attributes[maps]", "contains", "x", minCount=1),
        comparison("players.attributes[mode]", "="),
        comparison("players.attributes[level]", "="),
        distance(of("avg", "*"), f"avg({ALL_SKILLS})", maxDistance=5),
    ]
    plan = plan_of([*parts, {"type": "compound", "statement": statement}])
    assert plan.rules["stage"].tolist()[-1] == stage


def test_levels_are_all_waits_and_numbers_stand_at_each() -> None:
    rules = [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}]
    expansions = [
        {
            "target": "rules[R0].maxDistance",
            "steps": [{"waitTimeSeconds": 10, "value": 8}, {"waitTimeSeconds": 30, "value": 2}],
        },
        {"target": "teams[red].minPlayers", "steps": [{"waitTimeSeconds": 20, "value": 1}]},
    ]
    plan = plan_of(rules, expansions=expansions)
    assert plan.wait_s.tolist() == [0.0, 10.0, 20.0, 30.0]
    assert plan.number[:, plan.atoms[0]["first"]].tolist() == [5.0, 8.0, 8.0, 2.0]
    assert plan.fewest.tolist() == [[2, 2], [2, 2], [1, 2], [1, 2]]


def test_a_rule_of_several_measurements_is_tested_part_by_part() -> None:
    rule = collection("teams[red].players.attributes[mode]", "contains", "medic", minCount=1)
    rule["measurements"].append("teams[blue].players.attributes[mode]")
    plan = plan_of([rule])
    assert plan.rules["rule"].tolist() == [0, 0]
    assert plan.atoms["teams"].tolist() == [1, 2]
    assert plan.lists["role"].tolist() == [0, 1, NONE]


def test_more_kinds_of_teams_than_bits_are_searched() -> None:
    teams = [{"name": f"t{number}", "minPlayers": 1, "maxPlayers": 1} for number in range(64)]
    algorithm = {
        "strategy": "balanced",
        "balancedAttribute": "skill",
        "batchingPreference": "largestPopulation",
    }
    made = compiled([], teams, algorithm=algorithm)
    assert made.plan is None
    assert made.searched == ("has 64 kinds of teams, and a plan at most 63",)


def test_more_levels_than_a_plan_holds_are_searched() -> None:
    steps = [{"waitTimeSeconds": wait, "value": wait} for wait in range(1, MAX_LEVELS + 1)]
    made = compiled(
        [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}],
        expansions=[{"target": "rules[R0].maxDistance", "steps": steps}],
    )
    assert made.plan is None
    assert made.searched == (f"widens at {MAX_LEVELS} times, and a plan at most at {MAX_LEVELS - 1}",)


def test_a_live_queue_always_has_a_region() -> None:
    rules = read_rule_set(json.dumps({"ruleLanguageVersion": "1.0", "teams": TWO}))
    for live in (False, True):
        plan = compile_plan(rules, live).plan
        assert plan is not None
        assert plan.by_region == live


def test_each_player_is_measured_in_one_shape() -> None:
    plan = plan_of([distance(of("avg", "*"), f"avg({ALL_SKILLS})", maxDistance=5)], ONE)
    assert plan.atoms["shape"].tolist() == [EACH]
