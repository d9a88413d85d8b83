"""Ten tickets without a match, each for another reason. What `why` says of each is worked out by hand here,
and what it says would have matched is tried: with it a match forms, with a little less none.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from matchmaker.plans.why import Why, why
from matchmaker.plans.why.changes import Change
from matchmaker.plans.why.report import RuleTally
from matchmaker.rules.flexmatch.cycle import match
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import read_tickets
from tests.matchmaker.rules.flexmatch.examples import rule_set, ticket

Document = dict[str, Any]


def team(name: str, fewest: int, most: int, **others: int) -> Document:
    return {"name": name, "minPlayers": fewest, "maxPlayers": most, **others}


def ask(rules: Document, tickets: list[Document], ticket_id: str, now: float = 0.0) -> Why:
    read = read_rule_set(json.dumps(rules))
    return why(read, read_tickets(json.dumps(tickets), read), ticket_id, now)


def forms(rules: Document, tickets: list[Document], ticket_id: str, now: float = 0.0) -> bool:
    """Whether a whole cycle matches the ticket."""
    read = read_rule_set(json.dumps(rules))
    outcome = match(read, read_tickets(json.dumps(tickets), read), now)
    return any(ticket_id in each.tickets for each in outcome.matches)


def with_number(rules: Document, target: str, value: float, wait_s: float = 0.0) -> Document:
    """The document with the number that ``target`` names changed, as an author would do it by hand."""
    new = copy.deepcopy(rules)
    place, _, field = target.partition("].")
    kind, _, name = place.partition("[")
    if wait_s:
        steps = next(each["steps"] for each in new["expansions"] if each["target"] == target)
        next(step for step in steps if step["waitTimeSeconds"] == wait_s)["value"] = value
    else:
        next(each for each in new[kind] if each["name"] == name)[field] = value
    return new


def change_of(told: Why, target: str) -> Change:
    return next(each for each in told.changes if [place.target for place in each.places] == [target])


def rule(told: Why, name: str) -> RuleTally:
    return next(each for each in told.rules if each.rule == name)


def check_least(
    rules: Document, tickets: list[Document], ticket_id: str, change: Change, little: float, now: float = 0.0
) -> None:
    """With the change the ticket is matched, with a little less of it not. The sign of ``little``: where less
    of the change is.
    """
    [place] = change.places
    assert change.confirmed
    changed = with_number(rules, place.target, place.new, place.wait_s)
    assert forms(changed, tickets, ticket_id, now)
    less = with_number(rules, place.target, place.new - little, place.wait_s)
    assert not forms(less, tickets, ticket_id, now)


def test_a_player_too_far_from_the_mean_is_told_the_distance_that_would_do() -> None:
    rules = rule_set(
        [
            {
                "type": "distance",
                "measurements": ["teams[*].players.attributes[skill]"],
                "referenceValue": "avg(flatten(teams[*].players.attributes[skill]))",
                "maxDistance": 4,
            }
        ],
        [team("all", 3, 3)],
    )
    tickets = [ticket(name, {"skill": skill}) for name, skill in (("a", 10), ("b", 12), ("c", 20))]
    told = ask(rules, tickets, "c")
    # Mean of 10, 12 and 20: 42 / 3 = 14. 20 lies 6 above it, 10 lies 4 below.
    assert told.matched is None
    assert change_of(told, "rules[Rule0].maxDistance").places[0].new == pytest.approx(20 - 42 / 3)
    # Beside 20 alone: of (12, 20) the mean is 16, 4 away, which holds; then 10 is tried, and 20 is 6 away.
    assert rule(told, "Rule0").turned_away == 1
    nearest = rule(told, "Rule0").nearest
    assert nearest is not None
    assert (nearest.ticket, nearest.measured, nearest.allowed) == ("a", 6.0, 4.0)
    check_least(rules, tickets, "c", change_of(told, "rules[Rule0].maxDistance"), 0.001)


def test_a_player_whose_round_trips_are_too_long_is_told_the_limit_that_would_do() -> None:
    rules = rule_set([{"type": "latency", "maxLatency": 50}])
    tickets = [
        ticket("here", latency={"eu": 30, "us": 140}),
        ticket("there", latency={"eu": 95, "us": 45}),
    ]
    told = ask(rules, tickets, "there")
    # Both measure eu at 30 and 95, us at 140 and 45: the longer of the two is 95 in eu and 140 in us.
    [apart] = told.never_asked
    assert (apart.because, apart.rule, apart.tickets, apart.nearest) == ("region", "Rule0", 1, "here")
    assert told.asked == 0
    assert change_of(told, "rules[Rule0].maxLatency").places[0].new == min(max(30, 95), max(140, 45))
    check_least(rules, tickets, "there", change_of(told, "rules[Rule0].maxLatency"), 0.01)


def test_a_team_without_a_healer_is_told_how_many_there_are() -> None:
    rules = rule_set(
        [
            {
                "type": "collection",
                "operation": "contains",
                "measurements": ["flatten(teams[*].players.attributes[mode])"],
                "referenceValue": "healer",
                "minCount": 2,
            }
        ],
        [team("red", 2, 2), team("blue", 2, 2)],
    )
    tickets = [
        ticket(name, {"mode": mode})
        for name, mode in zip("abcd", ("healer", "dps", "dps", "dps"), strict=True)
    ]
    told = ask(rules, tickets, "d")
    # One of the four brings "healer", two are asked for.
    assert [(lack.what, lack.needed, lack.there) for lack in told.short] == [("Rule0: healer", 2, 1)]
    assert rule(told, "Rule0").at_end
    end = rule(told, "Rule0").end
    assert end is not None
    assert (end.limit, end.measured, end.allowed) == ("minCount", 1.0, 2.0)
    check_least(rules, tickets, "d", change_of(told, "rules[Rule0].minCount"), -1)


def test_a_player_on_a_block_list_is_told_that_no_other_number_helps() -> None:
    rules = rule_set(
        [
            {
                "type": "collection",
                "operation": "reference_intersection_count",
                "measurements": ["flatten(teams[*].players.attributes[rivals])"],
                "referenceValue": "set_intersection(flatten(teams[*].players.attributes[maps]))",
                "maxCount": 0,
            }
        ]
    )
    # Each brings his own name as a list, and those whom he blocks: "b" blocks "a".
    tickets = [
        ticket("a", {"maps": ["x", "a"], "rivals": ["nobody"]}),
        ticket("b", {"maps": ["x", "a"], "rivals": ["a"]}),
    ]
    told = ask(rules, tickets, "b")
    # Common to both lists of maps: x, a. Of b's rivals one is among them, "a"; none is allowed.
    assert rule(told, "Rule0").alone
    change = change_of(told, "rules[Rule0].maxCount")
    assert change.places[0].new == len({"x", "a"} & {"a"})
    check_least(rules, tickets, "b", change, 1)


def test_a_player_of_another_mode_is_never_asked() -> None:
    rules = rule_set(
        [
            {
                "type": "comparison",
                "operation": "=",
                "measurements": ["flatten(teams[*].players.attributes[mode])"],
            },
            {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
        ]
    )
    tickets = [ticket("a", {"mode": "ctf"}), ticket("b", {"mode": "koth"}), ticket("c", {"mode": "tdm"})]
    told = ask(rules, tickets, "a")
    # "ctf" is neither "koth" nor "tdm": both are kept apart by the first rule, nobody is asked.
    [apart] = told.never_asked
    assert (apart.because, apart.rule, apart.tickets) == ("equality", "Rule0", 2)
    assert apart.reads in ({"mode": ["koth"]}, {"mode": ["tdm"]})
    assert told.asked == 0
    # No limit of any rule is in the way; a team of nobody is.
    assert {place.target for each in told.changes for place in each.places} <= {
        "teams[red].minPlayers",
        "teams[blue].minPlayers",
    }
    check_least(rules, tickets, "a", change_of(told, "teams[blue].minPlayers"), -1)


def test_a_party_too_large_for_what_is_left_is_told_the_size_that_would_do() -> None:
    rules = rule_set([], [team("red", 3, 3), team("blue", 3, 3)])
    tickets = [
        ticket("two", {}, {}),
        ticket("also_two", {}, {}),
        ticket("as_well", {}, {}),
    ]
    told = ask(rules, tickets, "also_two")
    # Six players for six seats; but into a team of three goes one party of two, and one seat stays empty: two
    # of the three parties are seated, four players of six.
    assert told.seated == 2 + 2
    assert told.fewest == 3 + 3
    # Teams of two suit both, and one team of four with one of two as well: 4 - 3 = 1 more, 3 - 2 = 1 less.
    assert not [each for each in told.changes if len(each.places) == 1]
    [change] = told.changes
    assert {place.target for place in change.places} == {"teams[red].minPlayers", "teams[blue].minPlayers"}
    assert [place.new for place in change.places] == [2.0, 2.0]
    changed = with_number(with_number(rules, "teams[red].minPlayers", 2), "teams[blue].minPlayers", 2)
    assert forms(changed, tickets, "also_two")
    assert not forms(with_number(rules, "teams[red].minPlayers", 2), tickets, "also_two")


def test_where_players_are_too_few_it_says_how_many_are_short() -> None:
    rules = rule_set([], [team("all", 4, 8)])
    tickets = [ticket(name) for name in "abc"]
    told = ask(rules, tickets, "b")
    # Three wait, four are the fewest of the one team.
    assert [(lack.what, lack.needed, lack.there) for lack in told.short] == [("players", 4, 3)]
    [change] = told.changes
    assert (change.places[0].target, change.places[0].new) == ("teams[all].minPlayers", 3.0)
    check_least(rules, tickets, "b", change, -1)


def test_teams_that_would_be_unfair_are_told_the_difference_that_would_do() -> None:
    rules = rule_set(
        [
            {
                "type": "distance",
                "measurements": ["avg(teams[red].players.attributes[skill])"],
                "referenceValue": "avg(teams[blue].players.attributes[skill])",
                "maxDistance": 2,
            }
        ],
        [team("red", 2, 2), team("blue", 2, 2)],
    )
    tickets = [ticket(name, {"skill": skill}) for name, skill in (("a", 10), ("b", 20), ("c", 31), ("d", 47))]
    told = ask(rules, tickets, "a")
    # Ways to halve 10, 20, 31, 47: (10+20)/2 = 15 and 39: 24 apart; (10+31)/2 = 20.5 and 33.5: 13 apart;
    # (10+47)/2 = 28.5 and 25.5: 3 apart, which is the least.
    least = min(abs((10 + x) / 2 - (108 - 10 - x) / 2) for x in (20, 31, 47))
    assert least == 3
    change = change_of(told, "rules[Rule0].maxDistance")
    assert change.places[0].new == least
    check_least(rules, tickets, "a", change, 0.001)


def test_a_compound_rule_is_told_by_the_limit_of_the_rule_within_it() -> None:
    rules = rule_set(
        [
            {
                "name": "Near",
                "type": "distance",
                "measurements": ["max(flatten(teams[*].players.attributes[skill]))"],
                "referenceValue": "min(flatten(teams[*].players.attributes[skill]))",
                "maxDistance": 5,
            },
            {
                "name": "Veterans",
                "type": "comparison",
                "operation": ">=",
                "measurements": ["min(flatten(teams[*].players.attributes[skill]))"],
                "referenceValue": 40,
            },
            {"name": "Either", "type": "compound", "statement": "or(Near, Veterans)"},
        ]
    )
    tickets = [ticket("a", {"skill": 30}), ticket("b", {"skill": 38})]
    told = ask(rules, tickets, "a")
    # 38 - 30 = 8 is more than 5, and the lower of the two, 30, is less than 40. Relative to what is:
    # 8 instead of 5 is 3/5 more, 30 instead of 40 a quarter less.
    assert (8 - 5) / 5 > (40 - 30) / 40
    assert change_of(told, "rules[Near].maxDistance").places[0].new == 38 - 30
    assert change_of(told, "rules[Veterans].referenceValue").places[0].new == min(30, 38)
    assert told.changes[0].places[0].target == "rules[Veterans].referenceValue"
    check_least(rules, tickets, "a", change_of(told, "rules[Near].maxDistance"), 0.001)
    check_least(rules, tickets, "a", change_of(told, "rules[Veterans].referenceValue"), -0.001)


def test_an_expansion_that_is_not_reached_yet_says_how_many_seconds_are_left() -> None:
    rules = rule_set(
        [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}],
        expansions=[
            {
                "target": "rules[Rule0].maxDistance",
                "steps": [{"waitTimeSeconds": 10, "value": 15}, {"waitTimeSeconds": 30, "value": 40}],
            }
        ],
    )
    tickets = [ticket("old", {"skill": 10}), ticket("young", {"skill": 35}, start=4.0)]
    told = ask(rules, tickets, "young", now=20.0)
    # 35 - 10 = 25. The newest of the two has waited 20 - 4 = 16 s: 15 are allowed. 40 are from 30 s on, which
    # is 30 - 16 = 14 s from now.
    waiting = told.changes[0]
    assert (waiting.places, waiting.seconds, waiting.confirmed) == ((), 14.0, True)
    assert forms(rules, tickets, "young", 20.0 + 14.0)
    assert not forms(rules, tickets, "young", 20.0 + 14.0 - 0.01)
    steps = rule(told, "Rule0").steps
    assert [(step.wait_s, step.limits["maxDistance"], step.in_force, step.turned_away) for step in steps] == [
        (0.0, 5.0, False, 1),
        (10.0, 15.0, True, 1),
        (30.0, 40.0, False, 0),
    ]
    change = change_of(told, "rules[Rule0].maxDistance")
    assert (change.places[0].wait_s, change.places[0].old, change.places[0].new) == (10.0, 15.0, 25.0)
    check_least(rules, tickets, "young", change, 0.001, now=20.0)


def test_a_ticket_that_has_a_match_is_told_with_whom() -> None:
    told = ask(rule_set(), [ticket("a"), ticket("b")], "a")
    assert told.matched is not None
    assert told.matched.tickets == ["a", "b"]
    assert "a has a match" in next(told.lines())
