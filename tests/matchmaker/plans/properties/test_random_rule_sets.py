"""Random rule sets and small pools: the plan's matches by the guide's words, and what it leaves over.

``launchday bench rule-sets --properties 10000`` tries more of the same.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from loadtest.bench.matchmaker.rule_sets.judge import Judge
from loadtest.bench.matchmaker.rule_sets.properties import NOW, attempt, may_meet, possible_match, run
from loadtest.bench.matchmaker.rule_sets.random_rules import draw_rule_set
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

TRIED = 150


@pytest.mark.timeout(300)
def test_no_match_is_wrong_and_none_is_missed_where_the_plan_is_exact() -> None:
    *mistakes, counts = run(TRIED)
    assert mistakes == []
    assert counts["rule_sets"] == TRIED
    assert counts["matches"] > TRIED
    assert counts["exact"] > TRIED // 2


def test_a_seed_draws_the_same_again() -> None:
    assert attempt(3) == attempt(3)


def test_every_drawn_rule_set_can_be_read_and_all_rule_types_are_drawn() -> None:
    texts = [draw_rule_set(np.random.default_rng(seed)) for seed in range(300)]
    types = {rule.type for text in texts for rule in read_rule_set(text).rules}
    measured = {"batchDistance", "distance", "comparison", "collection", "latency", "compound"}
    assert types == measured | {"distanceSort", "absoluteSort"}


def test_the_search_through_what_is_left_finds_a_match_that_is_there_and_none_else() -> None:
    rules = read_rule_set(
        json.dumps(
            {
                "ruleLanguageVersion": "1.0",
                "playerAttributes": [{"name": "skill", "type": "number"}],
                "teams": [{"name": "side", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}],
                "rules": [
                    {"name": "Near", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 1}
                ],
            }
        )
    )
    tickets = [
        FlexMatchTicket(name, NOW, (TicketPlayer(name, None, {"skill": skill}, {"near": 20.0}),))
        for name, skill in (("a", 1.0), ("b", 4.0), ("c", 5.0))
    ]
    assert possible_match(rules, Judge(rules), tickets) == (("b", 0), ("c", 1))
    assert possible_match(rules, Judge(rules), tickets[:2]) is None


def test_who_keeps_to_a_platform_meets_that_platform_alone() -> None:
    match, platform = np.zeros(2, np.int32), np.array([0, 1], np.int32)
    assert may_meet(match, np.array([0, 0], np.int32), platform)
    assert not may_meet(match, np.array([1, 0], np.int32), platform)
    assert may_meet(match, np.array([1, 0], np.int32), np.zeros(2, np.int32))
    assert not may_meet(match, np.array([1, 2], np.int32), platform)
