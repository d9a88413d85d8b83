"""The matchmaker's benchmarks, tiny: their shape, and that their figures agree with each other.

No clock is judged.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from openskill.models import PlackettLuce
from typer.testing import CliRunner

from loadtest.bench import cli
from loadtest.bench.matchmaker.baseline_matchers import first_come_first_served, nearest_in_skill
from loadtest.bench.matchmaker.matching import BETA, NOW, make_pool, win_probability
from matchmaker.matching.arrays import UNMATCHED, FormedMatches, limits_of, make_tickets
from matchmaker.rules.modes import shipped_rule_set
from matchmaker.rules.rules import rules_of

pytestmark = pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are


def printed(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_matching_shows_what_quality_costs_and_gains() -> None:
    found = printed("matching", "--tickets", "2000")
    assert found["tickets"] == 2000
    fives = found["rule_sets"]["teams_of_five"]
    simple = fives["baselines"]["first_come_first_served"]
    assert fives["skill_spread"]["p50"] < simple["skill_spread"]["p50"]
    assert fives["win_probability_error"]["p50"] < simple["win_probability_error"]["p50"]
    assert fives["matched"] > simple["matched"]
    assert fives["players_per_match"] == 10
    assert found["cycle_ms"]["p99"] >= found["cycle_ms"]["p50"] > 0


def test_the_matchers_beside_ours_keep_regions_platforms_parties_and_teams() -> None:
    rules = rules_of(shipped_rule_set("teams_of_five"), 250.0, 60.0)
    pool, _ = make_pool(600, 3)
    assert pool.size is not None
    assert pool.platform is not None
    arrays = make_tickets(
        pool.latency_ms, pool.skill, pool.enqueued_at, pool.group, pool.player_id, pool.size, pool.platform
    )
    for matcher in (first_come_first_served, nearest_in_skill):
        none, zero = np.full(600, UNMATCHED, np.int32), np.zeros(600, np.int32)
        seating = FormedMatches(none, none.copy(), zero, zero.copy())
        formed = matcher(arrays, 4, limits_of(rules, NOW), seating)
        assert formed > 0
        for match in range(formed):
            members = seating.match_of == match
            assert len(set(pool.group[members])) == 1
            assert set(pool.latency_ms[members].argmin(axis=1)) == {seating.region_of[match]}
            for team in (0, 1):
                assert pool.size[members & (seating.team_of == team)].sum() == 5


def test_the_predicted_win_probability_is_openskills() -> None:
    model = PlackettLuce()
    teams = [[model.rating(mu=mu, sigma=4.0) for mu in mus] for mus in ((27.0, 25.0), (24.0, 22.5))]
    apart = np.array([27.0 + 25.0 - 24.0 - 22.5])
    variance = np.array([2 * BETA**2 + 4 * 4.0**2])
    assert win_probability(apart, variance)[0] == pytest.approx(model.predict_win(teams)[0], abs=1e-6)


def test_queue_loses_nobody_and_seats_nobody_twice() -> None:
    found = printed("queue", "--rate", "200", "--seconds", "3")
    assert found["offered_per_s"] == found["accepted_per_s"] == 200
    assert (found["lost"], found["duplicated"], found["refused"]) == (0, 0, 0)
    assert found["counters"]["queued"] == found["counters"]["matched"] == 600
    ratio = found["api_us_a_ticket"] / found["bare_us_a_request"]
    assert found["api_ratio"] == pytest.approx(ratio, rel=0.02)
    for name in ("wait_s", "create_ms", "notify_ms"):
        assert found[name]["p99"] >= found[name]["p50"] > 0
