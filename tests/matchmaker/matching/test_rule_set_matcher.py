from __future__ import annotations

import json

import numpy as np
import pytest

from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.matching import rule_set_matcher
from matchmaker.matching.pool import Pool
from matchmaker.matching.rule_set_matcher import RuleSetMatcher
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.modes import SearchRules, make_mode
from matchmaker.tickets.ticket import RecordFormat
from tests.matchmaker.rules.flexmatch.examples import rule_set

FORMAT = RecordFormat(1)


def fill(pool: Pool, matcher: RuleSetMatcher, players: range, attributes: list[str]) -> None:
    records = np.zeros(len(players), FORMAT.dtype)
    records["ticket_id"][:, 1] = records["player_id"] = players
    records["enqueued_at"], records["expires_at"] = players, 1e9
    records["party_size"], records["latency_ms"], records["skill_mean"] = 1, 20.0, 25.0
    matcher.add_tickets(pool.add(b"1-1", records, attributes), attributes)


def searched(wanted: int) -> SearchRules:
    """Duels of two whose modes add up to the same text, which the kernel has no numbers for."""
    rule = {
        "type": "comparison",
        "measurements": ["flatten(teams[*].players.attributes[mode])"],
        "operation": "=",
    }
    rules = make_mode("own", "own", read_rule_set(json.dumps(rule_set([rule] * wanted))), Settings()).rules
    assert isinstance(rules, SearchRules)
    return rules


async def test_a_search_whose_work_is_used_up_goes_on_in_the_next_cycle_where_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_set_matcher, "BUDGET", SearchBudget(per_ticket=100, per_cycle=60))
    pool, matcher = Pool(1), RuleSetMatcher(searched(1), ["eu"], SystemClock())
    # Thirty that nobody suits, and behind them two that suit each other.
    fill(pool, matcher, range(1, 33), [json.dumps({"mode": {"S": f"m{min(n, 30)}"}}) for n in range(32)])
    for _cycle in range(32):
        found = await matcher.match(pool, 100.0, 0)
        if len(found.region_of):
            break
    assert sorted(pool.player_id[found.rows[found.match_of == 0]].tolist()) == [31, 32]
    assert _cycle > 0


async def test_matching_changes_nothing_and_gives_the_same_again() -> None:
    pool, matcher = Pool(1), RuleSetMatcher(searched(1), ["eu"], SystemClock())
    fill(pool, matcher, range(1, 7), ['{"mode":{"S":"a"}}', '{"mode":{"S":"b"}}'] * 3)
    first, second = [await matcher.match(pool, 100.0, 3) for _ in range(2)]
    assert len(first.region_of) == 2
    for name in ("rows", "match_of", "team_of", "region_of"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert (pool.state[first.rows] == 1).all()


async def test_tickets_that_ended_are_swept_out_and_their_rows_are_others_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_set_matcher, "MIN_ENDED_TO_SWEEP", 2)
    pool, matcher = Pool(1), RuleSetMatcher(searched(1), ["eu"], SystemClock())
    fill(pool, matcher, range(1, 9), [json.dumps({"mode": {"S": f"m{n}"}}) for n in range(8)])
    assert not len((await matcher.match(pool, 100.0, 0)).region_of)
    pool.remove(np.arange(8))
    fill(pool, matcher, range(11, 13), ['{"mode":{"S":"m1"}}'] * 2)
    found = await matcher.match(pool, 100.0, 0)
    assert sorted(pool.player_id[found.rows].tolist()) == [11, 12]
    assert len(found.region_of) == 1
    assert len(matcher._table) == 2


async def test_attributes_that_suit_the_rules_no_more_end_their_ticket() -> None:
    pool, matcher = Pool(1), RuleSetMatcher(searched(1), ["eu"], SystemClock())
    fill(pool, matcher, range(1, 3), ['{"mode":{"N":4}}', '{"mode":{"S":"a"}}'])
    found = await matcher.match(pool, 100.0, 0)
    assert {reason: rows.tolist() for reason, rows in found.unmatchable.items()} == {
        rule_set_matcher.RULES_CHANGED: [0]
    }
