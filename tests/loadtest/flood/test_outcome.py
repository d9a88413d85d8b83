from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from launchday.percentiles import percentiles
from launchday.terminal import Terminal
from loadtest.flood.ledger import MatchCounts
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.watching.allocations import FailedMatch
from loadtest.players.player_records import PlayerState, Wait
from loadtest.report import summary
from loadtest.report.run_json import write_run_json
from loadtest.scenario.model import Objectives
from tests.loadtest.sample_run import sample_outcome


def test_a_match_that_its_players_left_for_another_counts() -> None:
    outcome = sample_outcome()
    outcome.records.record_wait(Wait(0, 0.0, 1.0, "west-europe", "another"))
    assert outcome.records.match_ids()[0] == "another"
    assert len(outcome.records.match_ids()) == 3


def test_the_json_says_what_a_check_asks_for(tmp_path: Path) -> None:
    write_run_json(sample_outcome(), tmp_path / "run.json")
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["passed"] is True
    assert run["ledger"]["balanced"] is True
    assert (run["players"], run["players_lost"], run["matches"]) == (200, 0, 2)
    assert 0 < run["tick_us"]["p50"] < run["tick_us"]["p99"] < 16_700
    assert 0 < run["wait_s"]["p50"] < run["wait_s"]["p95"]
    assert run["rtt_ms"]["p50"] > 20
    assert run["kbit_per_client"]["p50"] > 10
    assert run["generator_saturated"] is False
    assert (run["scenario"], run["seed"]) == ("tour", 20261123)
    assert all(objective["met"] for objective in run["objectives"])


def test_a_saturated_generator_fails_the_run_and_is_said() -> None:
    saturated = sample_outcome(saturated=True)
    assert not saturated.passed
    assert "generator saturated: the bots' steps began 30.0 ms late (p99)" in saturated.verdict


def test_a_player_lost_by_the_bots_count_or_by_the_servers_count_is_lost() -> None:
    by_bots = sample_outcome()
    by_bots.records.state[3] = PlayerState.LOST
    by_servers = sample_outcome()
    by_servers.reports[0]["players_lost"] = 2
    assert (by_bots.players_lost, by_servers.players_lost) == (1, 2)
    assert not by_bots.passed
    assert not by_servers.passed


def test_an_objective_that_could_not_be_measured_is_missed() -> None:
    nothing = replace(sample_outcome(), reports=[])
    assert [objective.name for objective in nothing.objectives if not objective.met] == ["tick p99"]
    assert nothing.tick_us == {"p50": None, "p99": None, "max": None}
    assert "tick p99 not measured" in nothing.verdict


def test_a_missed_objective_is_named_with_its_limit() -> None:
    run = sample_outcome()
    strict = run.scenario.model_copy(update={"objectives": Objectives(wait_p95_s=5.0)})
    assert replace(run, scenario=strict).verdict.startswith("Failed: wait p95 8.21 s (limit 5 s)")


def test_the_wait_counts_from_the_intended_arrival() -> None:
    run = sample_outcome()
    run.records.arrived_s[:] = run.records.intended_s + 3.0
    assert percentiles(run.records.wait_times_s(), 50) == percentiles(
        run.records.assigned_s - run.records.intended_s, 50
    )


@pytest.mark.parametrize(
    "run", [sample_outcome(), sample_outcome(commits=1), sample_outcome(interrupted="Ctrl-C")]
)
def test_the_summary_shows_verdict_ledger_and_objectives(run: RunOutcome) -> None:
    console = Terminal(file=io.StringIO(), width=140)
    summary.print_summary(run, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert run.verdict in text
    for words in ("tour, seed 20261123", "180 counted by game servers", "tick p99", "west-europe"):
        assert words in text
    assert ("off by 199" in text) == (not run.ledger.balanced)


def test_a_summary_of_nothing_is_a_summary() -> None:
    run = sample_outcome(interrupted="stopped")
    for name in ("assigned_s", "rtt_ms", "received_kbit_s", "sent_kbit_s"):
        getattr(run.records, name)[:] = np.nan
    console = Terminal(file=io.StringIO(), width=140)
    summary.print_summary(replace(run, reports=[]), console)
    assert isinstance(console.file, io.StringIO)
    assert "Interrupted: stopped" in console.file.getvalue()


def test_matches_that_failed_and_processes_that_died_are_said() -> None:
    run = replace(
        sample_outcome(),
        matches=MatchCounts(2, 4, 2, 1, 1, 4, {"its server did not answer": 1}),
        failed_matches=[FailedMatch(31.0, "a", "no heartbeat"), FailedMatch(20.0, "b", "no heartbeat")],
        deaths=["director ended with code -9"],
    )
    console = Terminal(file=io.StringIO(), width=160)
    summary.print_summary(run, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 formed, 4 started on 4 servers, 2 ended, 1 taken back, 1 failed" in shown
    assert "given up: 1 × its server did not answer" in shown
    assert "Broke first, at 20 s: a match failed: no heartbeat; 2 in all." in shown
    assert "Died: director ended with code -9." in shown
    assert not run.passed
    assert "processes died 1 (limit 0)" in run.verdict


def test_crashed_clients_are_shown_with_the_time_until_they_were_back() -> None:
    run = sample_outcome()
    run.records.crashes[:2] = 1
    run.records.back_s.append(0.5)
    console = Terminal(file=io.StringIO(), width=160)
    summary.print_summary(run, console)
    assert "1 of 2 crashed clients, p50 0.50 s" in console.file.getvalue()  # type: ignore[attr-defined]
