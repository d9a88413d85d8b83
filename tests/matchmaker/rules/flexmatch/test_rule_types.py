from __future__ import annotations

from typing import Any

import pytest

from tests.matchmaker.rules.flexmatch.examples import play, rule_set, ticket, together

SKILLS = "flatten(teams[*].players.attributes[skill])"
TWO_AGAINST_TWO = [
    {"name": "red", "minPlayers": 2, "maxPlayers": 2},
    {"name": "blue", "minPlayers": 2, "maxPlayers": 2},
]


def duel(
    rule: dict[str, Any], one: dict[str, Any], other: dict[str, Any], **latencies: dict[str, float]
) -> bool:
    """Whether two players meet under one rule."""
    outcome = play(
        rule_set([rule]),
        ticket("a", one, latency=latencies.get("a")),
        ticket("b", other, latency=latencies.get("b")),
    )
    return len(outcome.matches) == 1


@pytest.mark.parametrize(
    ("rule", "forms", "does_not"),
    [
        (
            {
                "type": "distance",
                "measurements": ["avg(teams[red].players.attributes[skill])"],
                "referenceValue": "avg(teams[blue].players.attributes[skill])",
                "maxDistance": 5,
            },
            ({"skill": 10}, {"skill": 15}),
            ({"skill": 10}, {"skill": 16}),
        ),
        (
            {"type": "distance", "measurements": SKILLS, "referenceValue": 20, "minDistance": 5},
            ({"skill": 15}, {"skill": 25}),
            ({"skill": 15}, {"skill": 24}),
        ),
        (
            {"type": "comparison", "measurements": [SKILLS], "referenceValue": 20, "operation": ">="},
            ({"skill": 20}, {"skill": 40}),
            ({"skill": 20}, {"skill": 19}),
        ),
        (
            {
                "type": "comparison",
                "measurements": ["flatten(teams[*].players.attributes[mode])"],
                "operation": "=",
            },
            ({"mode": "ctf"}, {"mode": "ctf"}),
            ({"mode": "ctf"}, {"mode": "duel"}),
        ),
        (
            {
                "type": "comparison",
                "measurements": ["flatten(teams[*].players.attributes[mode])"],
                "operation": "!=",
            },
            ({"mode": "ctf"}, {"mode": "duel"}),
            ({"mode": "ctf"}, {"mode": "ctf"}),
        ),
        (
            {
                "type": "collection",
                "measurements": ["flatten(teams[*].players.attributes[maps])"],
                "operation": "intersection",
                "minCount": 2,
            },
            ({"maps": ["a", "b", "c"]}, {"maps": ["b", "c", "d"]}),
            ({"maps": ["a", "b", "c"]}, {"maps": ["c", "d"]}),
        ),
        (
            {
                "type": "collection",
                "measurements": ["flatten(teams[*].players.attributes[maps])"],
                "operation": "contains",
                "referenceValue": "medic",
                "minCount": 1,
                "maxCount": 1,
            },
            ({"maps": ["medic"]}, {"maps": ["tank"]}),
            ({"maps": ["medic"]}, {"maps": ["tank", "medic"]}),
        ),
        (
            {
                "type": "collection",
                "measurements": ["flatten(teams[*].players.attributes[maps])"],
                "operation": "reference_intersection_count",
                "referenceValue": "set_intersection(flatten(teams[*].players.attributes[rivals]))",
                "minCount": 1,
            },
            ({"maps": ["elf"], "rivals": ["orc", "elf"]}, {"maps": ["orc"], "rivals": ["elf", "orc"]}),
            ({"maps": ["elf"], "rivals": ["orc", "elf"]}, {"maps": ["orc"], "rivals": ["elf"]}),
        ),
        (
            {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 3},
            ({"skill": 10}, {"skill": 13}),
            ({"skill": 10}, {"skill": 14}),
        ),
        (
            {"type": "batchDistance", "batchAttribute": "mode"},
            ({"mode": "duel"}, {"mode": "duel"}),
            ({"mode": "duel"}, {"mode": "ctf"}),
        ),
    ],
)
def test_a_rule_lets_its_match_form_and_keeps_the_other_from_forming(
    rule: dict[str, Any], forms: tuple[Any, Any], does_not: tuple[Any, Any]
) -> None:
    assert duel(rule, *forms)
    assert not duel(rule, *does_not)


@pytest.mark.parametrize(
    ("statement", "meets"),
    [
        ("or(Low, High)", [True, True, False]),
        ("not(or(Low, High))", [False, False, True]),
        ("xor(Low, Any)", [False, True, True]),
        ("and(Any, not(High))", [True, False, True]),
    ],
)
def test_a_compound_rule_joins_rules_that_need_not_hold_alone(statement: str, meets: list[bool]) -> None:
    rules: list[dict[str, Any]] = [
        {
            "name": "Low",
            "type": "comparison",
            "measurements": [SKILLS],
            "referenceValue": 10,
            "operation": "<",
        },
        {
            "name": "High",
            "type": "comparison",
            "measurements": [SKILLS],
            "referenceValue": 30,
            "operation": ">",
        },
        {
            "name": "Any",
            "type": "comparison",
            "measurements": [SKILLS],
            "referenceValue": 0,
            "operation": ">=",
        },
        {"name": "All", "type": "compound", "statement": statement},
    ]
    rules = [rule for rule in rules if rule["name"] in statement or rule["name"] == "All"]
    pairs = [(1, 2), (40, 50), (5, 40)]
    found = [
        bool(play(rule_set(rules), ticket("a", {"skill": one}), ticket("b", {"skill": two})).matches)
        for one, two in pairs
    ]
    assert found == meets


def test_a_latency_rule_picks_the_region_that_is_below_its_maximum_for_all() -> None:
    rule = {"type": "latency", "maxLatency": 60}
    pool = [
        ticket("a", latency={"eu": 10, "us": 59, "asia": 200}),
        ticket("b", latency={"eu": 90, "us": 50, "asia": 10}),
    ]
    outcome = play(rule_set([rule]), *pool)
    assert [each.region for each in outcome.matches] == ["us"]
    pool[1]["Players"][0]["LatencyInMs"]["us"] = 61
    outcome = play(rule_set([rule]), *pool)
    assert not outcome.matches
    assert "Rule0" in outcome.unmatched[0].reason


@pytest.mark.parametrize(("reference", "most"), [("min", 40), ("avg", 20)])
def test_a_latency_rule_bounds_the_distance_between_round_trips(reference: str, most: float) -> None:
    rule = {"type": "latency", "maxDistance": most, "distanceReference": reference}
    assert duel(rule, {}, {}, a={"eu": 10}, b={"eu": 50})
    assert not duel(rule, {}, {}, a={"eu": 10}, b={"eu": 51})


def test_distance_sort_takes_the_most_alike_first_and_descending_the_least() -> None:
    pool = [ticket(name, {"skill": skill}) for name, skill in [("a", 20), ("b", 90), ("c", 23), ("d", 60)]]
    rule = {"type": "distanceSort", "sortAttribute": "skill", "sortDirection": "ascending"}
    assert together(play(rule_set([rule]), *pool)) == [{"a", "c"}, {"b", "d"}]
    rule["sortDirection"] = "descending"
    assert together(play(rule_set([rule]), *pool)) == [{"a", "b"}, {"c", "d"}]


def test_absolute_sort_takes_the_lowest_or_the_highest_first() -> None:
    pool = [ticket(name, {"skill": skill}) for name, skill in [("a", 50), ("b", 60), ("c", 5), ("d", 90)]]
    rule = {"type": "absoluteSort", "sortAttribute": "skill", "sortDirection": "ascending"}
    assert together(play(rule_set([rule]), *pool))[0] == {"a", "c"}
    rule["sortDirection"] = "descending"
    assert together(play(rule_set([rule]), *pool))[0] == {"a", "d"}


def test_a_sort_by_a_map_compares_the_key_that_the_first_ticket_likes_best() -> None:
    rule = {
        "type": "absoluteSort",
        "sortAttribute": "likes",
        "mapKey": "maxValue",
        "sortDirection": "descending",
    }
    pool = [
        ticket("a", {"likes": {"dust": 9, "ice": 1}}),
        ticket("b", {"likes": {"ice": 99}}),
        ticket("c", {"likes": {"dust": 3}}),
        ticket("d", {"likes": {"dust": 7}}),
    ]
    assert together(play(rule_set([rule]), *pool))[0] == {"a", "d"}


@pytest.mark.parametrize(("party", "forms"), [("min", True), ("avg", False), ("max", False)])
def test_a_party_counts_as_its_rule_aggregates_it(party: str, forms: bool) -> None:
    rule = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 2, "partyAggregation": party}
    outcome = play(
        rule_set([rule], TWO_AGAINST_TWO),
        ticket("a", {"skill": 10}, {"skill": 20}),
        ticket("b", {"skill": 11}, {"skill": 30}),
    )
    assert bool(outcome.matches) == forms


@pytest.mark.parametrize(("party", "forms"), [("union", True), ("intersection", False)])
def test_a_party_shares_its_lists_or_only_what_they_have_in_common(party: str, forms: bool) -> None:
    rule = {
        "type": "collection",
        "measurements": ["flatten(teams[*].players.attributes[maps])"],
        "operation": "intersection",
        "minCount": 1,
        "partyAggregation": party,
    }
    outcome = play(
        rule_set([rule], TWO_AGAINST_TWO),
        ticket("a", {"maps": ["x"]}, {"maps": ["y"]}),
        ticket("b", {"maps": ["y"]}, {"maps": ["y", "z"]}),
    )
    assert bool(outcome.matches) == forms


@pytest.mark.parametrize(("selection", "forms"), [("newest", False), ("oldest", True)])
def test_a_rule_widens_with_the_newest_or_the_oldest_ticket(selection: str, forms: bool) -> None:
    rules = rule_set(
        [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}],
        algorithm={"expansionAgeSelection": selection},
        expansions=[{"target": "rules[Rule0].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 50}]}],
    )
    pool = [ticket("a", {"skill": 10}), ticket("b", {"skill": 40}, start=5)]
    assert bool(play(rules, *pool, now=10).matches) == forms
    assert play(rules, *pool, now=15).matches


def test_a_team_may_start_smaller_after_a_while() -> None:
    rules = rule_set(
        teams=[{"name": "all", "minPlayers": 3, "maxPlayers": 4}],
        expansions=[{"target": "teams[all].minPlayers", "steps": [{"waitTimeSeconds": 30, "value": 2}]}],
    )
    pool = [ticket("a"), ticket("b")]
    assert not play(rules, *pool, now=29).matches
    assert together(play(rules, *pool, now=30)) == [{"a", "b"}]


def test_copies_of_a_team_are_numbered_and_parties_stay_whole() -> None:
    rules = rule_set(teams=[{"name": "trio", "minPlayers": 3, "maxPlayers": 3, "quantity": 2}])
    outcome = play(rules, ticket("a", {}, {}), ticket("b", {}, {}), ticket("c"), ticket("d"))
    assert len(outcome.matches) == 1
    teams = outcome.matches[0].teams
    assert set(teams) == {"trio_1", "trio_2"}
    assert sorted(map(len, teams.values())) == [3, 3]
    for party in (["a.0", "a.1"], ["b.0", "b.1"]):
        assert any(set(party) <= set(team) for team in teams.values())


def test_a_party_larger_than_any_team_can_never_match() -> None:
    outcome = play(rule_set(), ticket("a", {}, {}), ticket("b"), ticket("c"))
    assert together(outcome) == [{"b", "c"}]
    assert "can never match" in outcome.unmatched[0].reason


@pytest.mark.parametrize(("priority", "filled"), [("high", True), ("low", False)])
def test_a_running_match_is_filled_before_or_after_others(priority: str, filled: bool) -> None:
    rules = rule_set(
        teams=[TWO_AGAINST_TWO[0], {"name": "blue", "minPlayers": 0, "maxPlayers": 2}],
        algorithm={"backfillPriority": priority},
    )
    running = ticket("running", {}, start=9, teams=["red"])
    outcome = play(rules, running, ticket("a"), ticket("b"), ticket("c"), ticket("d"), now=10)
    assert any("running" in each for each in together(outcome)) == filled


def test_balanced_deals_the_strong_and_the_weak_to_level_teams() -> None:
    rules = rule_set(
        teams=[{"name": "side", "minPlayers": 30, "maxPlayers": 30, "quantity": 2}],
        algorithm={
            "strategy": "balanced",
            "balancedAttribute": "skill",
            "batchingPreference": "fastestRegion",
        },
    )
    pool = [ticket(f"t{n}", {"skill": n}, latency={"eu": 20, "us": 90}) for n in range(60)]
    outcome = play(rules, *pool)
    assert [each.region for each in outcome.matches] == ["eu"]
    sums = [sum(int(player[1:]) for player in team) for team in outcome.matches[0].teams.values()]
    assert abs(sums[0] - sums[1]) <= 30


def test_balanced_keeps_like_with_like() -> None:
    rules = rule_set(
        [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 10}],
        teams=[{"name": "all", "minPlayers": 50, "maxPlayers": 50}],
        algorithm={"strategy": "balanced", "balancedAttribute": "skill"},
    )
    pool = [ticket(f"low{n}", {"skill": n % 10}) for n in range(50)]
    others = [ticket(f"high{n}", {"skill": 20 + n % 10}) for n in range(49)]
    outcome = play(rules, *pool, *others)
    assert together(outcome) == [{f"low{n}" for n in range(50)}]
    assert len(outcome.unmatched) == 49


@pytest.mark.parametrize("algorithm", [{}, {"strategy": "balanced", "balancedAttribute": "skill"}])
def test_two_running_matches_never_become_one(algorithm: dict[str, Any]) -> None:
    rules = rule_set(teams=[{"name": "all", "minPlayers": 2, "maxPlayers": 3}], algorithm=algorithm)
    running = [ticket(name, {}, start=1, teams=["all"]) for name in ("one", "two")]
    assert not play(rules, *running, now=10).matches
    assert together(play(rules, *running, ticket("late"), now=10)) == [{"late", "one"}]


def test_a_player_near_no_region_can_never_match_unless_the_limit_will_widen() -> None:
    rules = rule_set([{"type": "latency", "maxLatency": 60}])
    far = [ticket("a", latency={"eu": 100, "us": 70}), ticket("b")]
    assert all("can never match" in left.reason for left in play(rules, *far).unmatched)
    widening = rule_set(
        [{"type": "latency", "maxLatency": 60}],
        expansions=[{"target": "rules[Rule0].maxLatency", "steps": [{"waitTimeSeconds": 30, "value": 80}]}],
    )
    outcome = play(widening, far[0], ticket("c", latency={"us": 20}))
    assert "can never match" not in outcome.unmatched[0].reason
    assert play(widening, far[0], ticket("c", latency={"us": 20}), now=30).matches[0].region == "us"
