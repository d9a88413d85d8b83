"""From which lists seats are filled, how they are sorted, and where a walk ends."""

from __future__ import annotations

import numpy as np
import pytest

from matchmaker.plans.layout import BACKWARD, FARTHEST, FORWARD, NEAREST, NONE
from tests.matchmaker.plans.written import (
    ALL_SKILLS,
    HUNT,
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


@pytest.mark.parametrize(("selection", "widest"), [("newest", [5, 8, 8]), ("oldest", [8, 8, 2])])
def test_a_window_is_as_wide_as_any_match_with_the_seed_allows(selection: str, widest: list[float]) -> None:
    rules = [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}]
    steps = [{"waitTimeSeconds": 10, "value": 8}, {"waitTimeSeconds": 30, "value": 2}]
    plan = plan_of(
        rules,
        algorithm={"expansionAgeSelection": selection},
        expansions=[{"target": "rules[R0].maxDistance", "steps": steps}],
    )
    [row] = plan.lists
    assert plan.windowed
    assert np.allclose(plan.number[:, row["window"]], widest, atol=1e-7)
    assert (plan.number[:, row["window"]] > widest).all()


WINDOWS = [
    ("the mean", TWO, distance(ALL_SKILLS, f"avg({ALL_SKILLS})", maxDistance=5), 2.0),
    ("the least", TWO, distance(ALL_SKILLS, f"min({ALL_SKILLS})", maxDistance=5), 1.0),
    ("a number of some", TWO, distance(ALL_SKILLS, of("avg", "red"), maxDistance=5), 2.0),
    ("the other of two", ONE, distance(of("avg", "red"), of("avg", "blue"), maxDistance=5), 1.0),
    (
        "the one that all fight",
        HUNT,
        distance("teams[pack].players.attributes[skill]", of("max", "boss"), maxDistance=5),
        2.0,
    ),
]


@pytest.mark.parametrize(
    ("teams", "rule", "reach"), [each[1:] for each in WINDOWS], ids=[each[0] for each in WINDOWS]
)
def test_players_near_this_are_near_each_other(teams: list[Rule], rule: Rule, reach: float) -> None:
    for row in plan_of([rule], teams).lists:
        assert row["window"] != NONE
        assert row["reach"] == reach
        assert row["walk"] == NEAREST


def test_means_of_teams_sort_but_end_no_walk() -> None:
    [row] = plan_of([distance(of("avg", "*"), f"avg({ALL_SKILLS})", maxDistance=5)]).lists
    assert (row["axis"], row["walk"], row["window"]) == (0, NEAREST, NONE)


def test_without_a_rule_that_sorts_a_list_goes_by_age() -> None:
    [row] = plan_of([]).lists
    assert (row["axis"], row["walk"], row["role"], row["teams"]) == (NONE, FORWARD, NONE, 3)


@pytest.mark.parametrize(
    ("kind", "direction", "walk"),
    [
        ("distanceSort", "ascending", NEAREST),
        ("distanceSort", "descending", FARTHEST),
        ("absoluteSort", "ascending", FORWARD),
        ("absoluteSort", "descending", BACKWARD),
    ],
)
def test_the_first_sort_rule_decides_how_a_list_is_walked(kind: str, direction: str, walk: int) -> None:
    sorts: list[Rule] = [
        {"type": kind, "sortAttribute": "level", "sortDirection": direction},
        {"type": "absoluteSort", "sortAttribute": "skill", "sortDirection": "ascending"},
        {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
    ]
    made = compiled(sorts)
    assert made.plan is not None
    [row] = made.plan.lists
    assert row["walk"] == walk
    assert made.values[row["axis"]].column == made.program.sorts[0]["column"]
    assert row["window"] == NONE
    assert [text.split(":")[0] for text in made.not_indexed] == ["R1", "R2"]


def test_a_sort_by_a_map_is_named_as_not_indexed() -> None:
    sort = {
        "type": "absoluteSort",
        "sortAttribute": "likes",
        "sortDirection": "ascending",
        "mapKey": "maxValue",
    }
    made = compiled([sort])
    assert [text.split(":")[0] for text in made.not_indexed] == ["R0"]


def test_kinds_that_other_tickets_may_be_in_have_lists_of_their_own() -> None:
    plan = plan_of([comparison("teams[boss].players.attributes[mode]", "=", "boss")], HUNT)
    assert plan.lists["teams"].tolist() == [1, 2]


def test_a_join_of_two_attributes_walks_each_list_from_what_the_other_asks_for() -> None:
    rule = distance(
        of("avg", "pack"),
        of("avg", "boss", "level"),
        maxDistance=5,
    )
    plan = plan_of([rule], HUNT)
    pack, boss = plan.lists
    own, other = plan.atoms[0]["column"], plan.atoms[0]["reference_column"]
    assert (pack["teams"], pack["axis"], pack["target_teams"], pack["target_column"]) == (1, own, 2, other)
    assert (boss["teams"], boss["axis"], boss["target_teams"], boss["target_column"]) == (2, other, 1, own)


def test_a_role_that_a_match_needs_has_a_list_before_the_others() -> None:
    rules = [
        collection("teams[red].players.attributes[mode]", "contains", "medic", minCount=1, maxCount=2),
        collection("teams[blue].players.attributes[mode]", "contains", "sniper", maxCount=1),
    ]
    plan = plan_of(rules)
    role, general = plan.lists
    assert (role["role"], role["teams"], general["role"], general["teams"]) == (0, 1, NONE, 3)
    assert plan.once[plan.atoms[0]["column"]]


def test_the_role_of_a_team_of_one_is_eligibility() -> None:
    made = compiled([collection("teams[boss].players.attributes[maps]", "contains", "x", minCount=1)], HUNT)
    assert made.became == (("eligibility",),)
    assert made.plan is not None
    assert made.plan.lists["teams"].tolist() == [1, 2]


def test_teams_are_levelled_by_what_a_rule_compares_of_them() -> None:
    assert plan_of([distance(of("avg", "*"), f"avg({ALL_SKILLS})", maxDistance=5)]).balance == 0
    assert plan_of([{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}]).balance == NONE
