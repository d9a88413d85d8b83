from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.watching.allocations import LostServer
from loadtest.players.requests import RequestLog
from loadtest.report import charts, incidents, quality, server_charts
from loadtest.scenario.faults import KillServer, StopCache
from loadtest.scenario.population import draw_population
from tests.loadtest.sample_run import sample_outcome


def run_with_players() -> RunOutcome:
    run = sample_outcome()
    population = draw_population(run.scenario)
    run.records.player_id[:] = np.arange(1, 201)
    kills = {bot + 1: int(population.skill[bot] / 5) for bot in range(200)}
    return replace(run, population=population, kills_by_player=kills)


def test_bands_of_skill_hold_a_quarter_of_the_players_each() -> None:
    population = draw_population(sample_outcome().scenario)
    band, names = quality.skill_bands(population.skill)
    assert np.bincount(band).tolist() == [50] * 4
    assert len(names) == 4
    means = [population.skill[band == number].mean() for number in range(4)]
    assert means == sorted(means)


def test_the_better_kill_more_and_it_is_shown() -> None:
    names, means, correlation = quality.kills_by_skill(run_with_players())
    assert len(names) == 4
    assert means == sorted(means)
    assert correlation is not None
    assert correlation > 0.95
    assert quality.kills_by_skill(sample_outcome()) == ([], [], None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_that_of_the_textbooks(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(values, float) for values in zip(*pairs, strict=True))
    found = quality.spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
    else:
        ranks = [
            [1 + sum(b < a for b in values) + (sum(b == a for b in values) - 1) / 2 for a in values]
            for values in (x, y)
        ]
        means = [sum(rank) / len(rank) for rank in ranks]
        apart = [[one - mean for one in rank] for rank, mean in zip(ranks, means, strict=True)]
        together = sum(a * b for a, b in zip(*apart, strict=True))
        expected = together / math.sqrt(math.prod(sum(one * one for one in each) for each in apart))
        assert found is not None
        assert abs(found - expected) < 1e-3


def test_match_quality_is_the_spread_inside_each_match() -> None:
    run = run_with_players()
    found = quality.quality_by_match(run)
    assert [match["players"] for match in found] == [100, 100]
    assert all(0 < match["skill_deviation"] < 12 and match["rtt_ms"] > 0 for match in found)
    for figure in (
        charts.waits_by_band(run),
        charts.match_quality(run),
        charts.skill_and_kills(run),
        server_charts.fleet(run),
    ):
        assert figure is not None
        assert figure.data


def test_two_alike_round_trips_are_beside_each_other_on_the_axis() -> None:
    figure = charts.match_quality(run_with_players())
    assert figure is not None
    reached = max(x for trace in figure.data for x in trace.x)
    assert figure.layout.xaxis.range[0] == 0
    assert figure.layout.xaxis.range[1] > reached


def test_what_broke_first_is_told_with_what_the_scenario_had_done_before() -> None:
    assert incidents.describe_first(sample_outcome()) == "Nothing broke."
    fault = StopCache(do="stop_cache", at_s=20.0, for_s=3.0)
    planned = FaultRecord(fault, "cache killed", began_s=20.0, ended_s=23.0)
    assert incidents.describe_first(replace(sample_outcome(), fault_records=[planned])).startswith(
        "Nothing broke except"
    )
    requests = RequestLog()
    requests.failed_at_s = [22.0, 21.0]
    run = replace(sample_outcome(), fault_records=[planned], requests=requests)
    assert incidents.describe_first(run) == (
        "Broke first, at 21 s: a request failed and was repeated; 2 in all, after this fault: cache killed."
    )
    assert [each.planned for each in incidents.find_incidents(run)] == [True, False]


def test_servers_that_a_signal_killed_are_what_broke_unless_the_scenario_killed_them() -> None:
    killed = [LostServer(3.0, "a", "killed by SIGBUS"), LostServer(2.0, "b", "killed by SIGBUS")]
    run = replace(sample_outcome(), lost_servers=killed)
    assert incidents.describe_first(run) == (
        "Broke first, at 2 s: a game server ended by itself: killed by SIGBUS; 2 in all."
    )
    fault = KillServer(do="kill_server", at_s=1.0, count=2)
    record = FaultRecord(fault, "2 game servers killed", began_s=1.0, ended_s=1.0, killed=["a", "b"])
    planned = replace(run, fault_records=[record])
    assert incidents.describe_first(planned).startswith("Nothing broke except")


def test_histograms_of_all_matches_are_added_up() -> None:
    run = sample_outcome()
    for report in run.reports:
        report["histograms"] = {"tick": [0, 3, 1] + [0] * 29, "send": [0, 2, 2] + [0] * 29}
    figure = server_charts.stage_histograms(run)
    assert figure is not None
    assert list(figure.data[0].y) == [0.0, 75.0, 25.0]
    assert server_charts.stage_histograms(sample_outcome()) is None
