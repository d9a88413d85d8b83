"""The judge of the bench ``rule-sets``: planted mistakes, and agreement with the product's evaluator."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from loadtest.bench.matchmaker.rule_sets.catalogue import catalogue, chosen
from loadtest.bench.matchmaker.rule_sets.judge import Judge, JudgedMatch
from loadtest.bench.matchmaker.rule_sets.plain_greedy import broken_rule, grow_match, plain_greedy, table_of
from loadtest.bench.matchmaker.rule_sets.pools import NOW, draw_pool, pool
from loadtest.bench.matchmaker.rule_sets.random_rules import draw_rule_set, draw_tickets
from loadtest.errors import BenchError
from matchmaker.rules.flexmatch.evaluate import new_candidate
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

HERE = {"here": 30.0}


def one(name: str, wait_s: float = 0.0, here_ms: float = 30.0, **attributes: Any) -> FlexMatchTicket:
    player = TicketPlayer(name, None, attributes, {"here": here_ms})
    return FlexMatchTicket(name, 100.0 - wait_s, (player,))


def said(
    rule: dict[str, Any] | None,
    *seats: tuple[FlexMatchTicket, int],
    region: str | None = "here",
    most: int = 2,
) -> str | None:
    """What the judge says of two teams of one or two under one rule."""
    document = {
        "ruleLanguageVersion": "1.0",
        "playerAttributes": [
            {"name": "skill", "type": "number"},
            {"name": "mode", "type": "string"},
            {"name": "maps", "type": "string_list"},
        ],
        "teams": [
            {"name": "red", "minPlayers": 1, "maxPlayers": most},
            {"name": "blue", "minPlayers": 1, "maxPlayers": most},
        ],
        "rules": [{"name": "Rule", **rule}] if rule else [],
    }
    return Judge(read_rule_set(json.dumps(document))).broken(JudgedMatch(100.0, region, seats))


SKILL = "players.attributes[skill]"
PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # rule; one player; another who suits them; another who does not
    "batch_distance": (
        {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
        {"skill": 1.0}, {"skill": 6.0}, {"skill": 6.01},
    ),
    "batch_string": (
        {"type": "batchDistance", "batchAttribute": "mode"}, {"mode": "a"}, {"mode": "a"}, {"mode": "b"},
    ),
    "distance": (
        {"type": "distance", "measurements": [f"avg(teams[red].{SKILL})"],
         "referenceValue": f"avg(teams[blue].{SKILL})", "maxDistance": 2},
        {"skill": 4.0}, {"skill": 6.0}, {"skill": 6.5},
    ),
    "least_distance": (
        {"type": "distance", "measurements": [f"max(flatten(teams[*].{SKILL}))"],
         "referenceValue": f"min(flatten(teams[*].{SKILL}))", "minDistance": 3},
        {"skill": 4.0}, {"skill": 7.0}, {"skill": 6.0},
    ),
    "comparison": (
        {"type": "comparison", "measurements": [f"teams[blue].{SKILL}"], "operation": ">=",
         "referenceValue": 10},
        {"skill": 4.0}, {"skill": 10.0}, {"skill": 9.0},
    ),
    "all_equal": (
        {"type": "comparison", "measurements": ["flatten(teams[*].players.attributes[mode])"],
         "operation": "="},
        {"mode": "a"}, {"mode": "a"}, {"mode": "b"},
    ),
    "all_different": (
        {"type": "comparison", "measurements": [f"flatten(teams[*].{SKILL})"], "operation": "!="},
        {"skill": 4.0}, {"skill": 5.0}, {"skill": 4.0},
    ),
    "intersection": (
        {"type": "collection", "operation": "intersection",
         "measurements": ["flatten(teams[*].players.attributes[maps])"], "minCount": 2},
        {"maps": ("x", "y", "z")}, {"maps": ("y", "z")}, {"maps": ("z", "w")},
    ),
    "contains": (
        {"type": "collection", "operation": "contains", "referenceValue": "a", "maxCount": 1,
         "measurements": ["flatten(teams[*].players.attributes[mode])"]},
        {"mode": "a"}, {"mode": "b"}, {"mode": "a"},
    ),
    "reference_intersection_count": (
        {"type": "collection", "operation": "reference_intersection_count", "maxCount": 0,
         "measurements": ["flatten(teams[*].players.attributes[maps])"],
         "referenceValue": "flatten(teams[*].players[playerId])"},
        {"maps": ()}, {"maps": ("someone",)}, {"maps": ("first",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("party", "wrong"), [("union", None), ("intersection", "Rule")])
def test_what_all_have_in_common_counts_a_party_as_one_list(party: str, wrong: str | None) -> None:
    rule = {
        "type": "collection", "operation": "reference_intersection_count", "referenceValue": ["dune"],
        "measurements": ["set_intersection(flatten(teams[*].players.attributes[maps]))"], "minCount": 1,
        "partyAggregation": party,
    }  # fmt: skip
    others: dict[str, Any] = {"skill": 0.0, "mode": ""}
    of_two = tuple(
        TicketPlayer(name, None, {**others, "maps": maps}, HERE)
        for name, maps in (("a", ("dune", "lake")), ("b", ("lake",)))
    )
    seats = ((FlexMatchTicket("party", 100.0, of_two), 0), (one("c", **others, maps=("dune",)), 1))
    assert said(rule, *seats) == wrong


@pytest.mark.parametrize("name", PLANTED)
def test_a_match_that_breaks_its_one_rule_is_called_wrong_and_its_neighbour_right(name: str) -> None:
    rule, first, right, wrong = PLANTED[name]
    other = {"skill": 0.0, "mode": "", "maps": ()}
    anchor = one("first", **{**other, **first})
    assert said(rule, (anchor, 0), (one("second", **{**other, **right}), 1)) is None
    assert said(rule, (anchor, 0), (one("second", **{**other, **wrong}), 1)) == "Rule"


def test_latency_is_judged_in_the_region_of_the_match() -> None:
    rule = {"type": "latency", "maxLatency": 50}
    assert said(rule, (one("a"), 0), (one("b", here_ms=50.0), 1)) is None
    assert said(rule, (one("a"), 0), (one("b", here_ms=50.1), 1)) == "Rule"
    apart = {"type": "latency", "maxDistance": 5, "distanceReference": "avg"}
    assert said(apart, (one("a", here_ms=20.0), 0), (one("b", here_ms=30.0), 1)) is None
    assert said(apart, (one("a", here_ms=20.0), 0), (one("b", here_ms=31.0), 1)) == "Rule"


def test_sizes_regions_and_a_ticket_that_is_there_twice_are_judged_before_rules() -> None:
    a, b = one("a"), one("b")
    assert said(None, (a, 0)) == "team blue"
    assert said(None, (a, 0), (b, 1), (one("c"), 1), (one("d"), 1)) == "team blue"
    assert said(None, (a, 0), (a, 1)) == "a ticket is in it twice"
    assert said(None, (a, 0), (b, 1), region="elsewhere") == "region"
    assert said(None, (a, 0), (b, 1), region=None) == "region"


def test_limits_widen_by_the_ticket_that_the_rule_set_chooses() -> None:
    document = {
        "ruleLanguageVersion": "1.0",
        "playerAttributes": [{"name": "skill", "type": "number"}],
        "algorithm": {"expansionAgeSelection": "newest"},
        "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}],
        "rules": [{"name": "Near", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 1}],
        "expansions": [{"target": "rules[Near].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 9}]}],
    }
    seats = ((one("a", 10.0, skill=1.0), 0), (one("b", 9.9, skill=9.0), 0))
    newest = read_rule_set(json.dumps(document))
    document["algorithm"] = {"expansionAgeSelection": "oldest"}
    oldest = read_rule_set(json.dumps(document))
    assert Judge(newest).broken(JudgedMatch(100.0, "here", seats)) == "Near"
    assert Judge(oldest).broken(JudgedMatch(100.0, "here", seats)) is None


def test_a_party_weighs_its_members_in_means_and_is_one_collection() -> None:
    players = tuple(
        TicketPlayer(f"p{skill}", None, {"skill": skill, "mode": "a", "maps": ()}, HERE)
        for skill in (0.0, 6.0)
    )
    party, alone = FlexMatchTicket("party", 100.0, players), one("alone", skill=3.0, mode="b", maps=())
    mean = {
        "type": "distance",
        "measurements": [f"teams[red].{SKILL}"],
        "referenceValue": 3,
        "maxDistance": 0,
    }
    assert said(mean, (party, 0), (alone, 1)) is None
    once = {"type": "collection", "operation": "contains", "referenceValue": "a", "maxCount": 1,
            "measurements": ["teams[red].players.attributes[mode]"]}  # fmt: skip
    assert said(once, (party, 0), (alone, 1)) is None
    different = {"type": "comparison", "measurements": [f"teams[red].{SKILL}"], "operation": "!="}
    assert said(different, (party, 0), (alone, 1)) is None


def test_the_judge_and_the_evaluator_agree_about_random_matches_of_random_rule_sets() -> None:
    """`broken_rule` composes a match and asks the evaluator; `plain_greedy` is built of it."""
    compared = right = 0
    regions = ["near", "far"]
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rules = read_rule_set(draw_rule_set(rng))
        tickets = draw_tickets(rng, 6, NOW, rules.largest_team, regions)
        program, table = table_of(rules, tickets, regions, NOW)
        teams = sum(team.quantity for team in rules.teams)
        match = new_candidate(program, table, 40)
        judge = Judge(rules)
        names = [rule.name for rule in rules.rules if not rule.type.endswith("Sort")]
        for _ in range(12):
            count = int(rng.integers(1, 6))
            rows = rng.permutation(6)[:count].astype(np.int32)
            seats = rng.integers(0, teams, count).astype(np.int32)
            region = int(rng.integers(0, 2))
            judged = tuple((tickets[row], int(team)) for row, team in zip(rows, seats, strict=True))
            verdict = judge.broken(JudgedMatch(NOW, regions[region], judged))
            if verdict == "region":
                continue
            found = broken_rule(program, table, rows, seats, count, region, np.zeros(teams, np.int32), match)
            compared += 1
            right += verdict is None
            other = names[found] if found >= 0 else None if found == -1 else "team"
            agree = (verdict or "").startswith("team") if other == "team" else verdict == other
            assert agree, (seed, verdict, other, judged, rules.rules)
    assert compared > 1_000
    assert right > 100


def test_the_plain_greedy_forms_no_match_that_the_judge_calls_wrong() -> None:
    for name in ("even_fives", "few_maps", "one_stalker", "uneven_sides"):
        entry = catalogue()[name]
        drawn = draw_pool(entry, 120, 3)
        found = plain_greedy(entry.rules, drawn.tickets, drawn.regions, NOW)
        judge = Judge(entry.rules)
        assert len(found.region_of) > 2
        assert not found.cut
        for number, region in enumerate(found.region_of):
            rows = np.flatnonzero(found.match_of == number).tolist()
            seats = tuple((drawn.tickets[row], int(found.team_of[row])) for row in rows)
            assert judge.broken(JudgedMatch(NOW, drawn.regions[region], seats)) is None


def test_a_match_grows_around_its_seed_with_the_oldest_who_fit() -> None:
    rules = catalogue()["few_maps"].rules
    wishes = [("map 1",), ("map 2",), ("map 1", "map 2"), ("map 1",), ("map 1",), ("map 1",)]
    tickets = [one(str(number), maps=maps) for number, maps in enumerate(wishes)]
    program, table = table_of(rules, tickets, ["here"], 100.0)
    chosen_rows, seats = np.zeros(9, np.int32), np.zeros(9, np.int32)
    free, filled = np.full(6, -1, np.int32), np.zeros(2, np.int32)
    match = new_candidate(program, table, 8)
    grown = grow_match(program, program, table, match, free, 4, 0, chosen_rows, seats, filled)
    assert chosen_rows[:grown].tolist() == [4, 0, 2, 3]
    assert filled.tolist() == [2, 2]


def test_there_are_forty_rule_sets_in_the_shares_that_studios_write() -> None:
    forms = [entry.form for entry in chosen(None)]
    assert len(forms) == 40
    cheap = [sum(form.startswith(kind) for form in forms) for kind in ("sizes", "equality", "means")]
    assert cheap == [9, 4, 8]


def test_a_rule_set_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(BenchError, match="there is no rule set nothing; there are duel_open, "):
        chosen("nothing")


def test_a_pool_is_the_same_for_the_same_seed_and_every_ticket_fits_into_a_team() -> None:
    for name, entry in catalogue().items():
        tickets = pool(name, 60, 5)
        assert tickets == pool(name, 60, 5)
        assert max(len(ticket.players) for ticket in tickets) <= entry.rules.largest_team
