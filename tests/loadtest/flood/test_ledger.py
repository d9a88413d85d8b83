from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadtest.flood.ledger import (
    ExpectedLosses,
    Ledger,
    Witnessed,
    balance,
    count_matches,
    told_lines,
    witnessed,
)
from loadtest.flood.watching.counters import BackendCounters
from loadtest.players.player_records import PlayerRecords
from loadtest.report.run_json import run_as_json
from rewards.events.logs.gaps import Gap
from rewards.events.logs.verdict import Finding
from tests.loadtest.sample_run import sample_counters, sample_outcome


def ledger(tickets_opened: int = 200, kill_events: int = 180, **changes: int) -> Ledger:
    return balance(sample_counters(**changes), tickets_opened=tickets_opened, kill_events=kill_events)


def unbalanced(found: Ledger) -> dict[str, int]:
    return {line.name: line.difference for line in found.lines if not line.balanced}


def test_equal_counts_balance() -> None:
    assert ledger().balanced
    assert unbalanced(ledger()) == {}


@pytest.mark.parametrize(
    ("planted", "line", "difference"),
    [
        ({"tickets_opened": 199}, "players", 1),
        ({"queued": 203}, "players", 3),
        ({"matched": 190}, "players", 10),
        ({"matches": 3}, "matches", 1),
        ({"matches_started": 3}, "matches", 1),
        ({"matches_ended": 0}, "matches", 2),
        ({"checkouts": 198}, "check-outs", 2),
        ({"commits": 199}, "check-outs", 1),
        ({"kills": 181}, "kills", 1),
        ({"kill_events": 0}, "kills", 180),
        ({"kills_applied": 360}, "kills", 180),
    ],
)
def test_a_difference_anywhere_is_caught_in_its_line_and_no_other(
    planted: dict[str, int], line: str, difference: int
) -> None:
    assert unbalanced(ledger(**planted)) == {line: difference}


@pytest.mark.parametrize(
    ("planted", "off_by"),
    [
        ({"gaps": 2, "missing_records": 400}, {"events missed by rewards": 400}),
        ({"gaps": 1, "unknown_gaps": 1}, {"events missed by rewards": 1}),  # nobody knows how many
        ({"analytics_gaps": 1, "analytics_missing_records": 7}, {"events missed by analytics": 7}),
        ({"gaps": 8}, {}),  # a topic made anew, all of whose events had been read
    ],
)
def test_what_a_log_no_longer_had_is_an_imbalance(planted: dict[str, int], off_by: dict[str, int]) -> None:
    found = ledger(**planted)
    assert unbalanced(found) == off_by
    assert len(found.lines) == len(ledger().lines) + 1, "a gap is told also where nothing is missing"


def test_a_gap_in_the_count_itself_is_an_imbalance() -> None:
    gap = Gap("launchday.player", 0, Finding.CUT, from_offset=100, to_offset=500, missing=400)
    found = balance(sample_counters(), tickets_opened=200, kill_events=180, gaps=[gap])
    assert unbalanced(found) == {"events missed by this count of kills": 400}


def test_players_of_a_match_that_was_given_up_while_they_were_checked_out_are_no_difference() -> None:
    assert ledger(checkouts=210, closed=10).balanced
    assert unbalanced(ledger(checkouts=210, closed=9)) == {"check-outs": 1}


@pytest.mark.parametrize("end", ["cancelled", "expired", "failed"])
def test_a_ticket_may_end_in_any_way_but_must_end(end: str) -> None:
    assert ledger(**{"matched": 195, end: 5}).balanced


@pytest.mark.parametrize(("reclaimed", "abandoned"), [(10, 0), (7, 0), (7, 3), (7, 2)])
def test_tickets_that_players_of_lost_matches_do_not_come_back_for_are_counted(
    reclaimed: int, abandoned: int
) -> None:
    again = {"requeued": 10, "reclaimed": reclaimed, "abandoned": abandoned, "expired": abandoned}
    counts = {"queued": 210, "matched": 200 + reclaimed, **again}
    assert ledger(200 + reclaimed, **counts).balanced
    assert unbalanced(ledger(200 + reclaimed - 1, **counts)) == {"players": 1}
    assert unbalanced(ledger(200 + reclaimed, **{**counts, "matched": 199 + reclaimed})) == {"players": 1}


def test_a_difference_fails_the_run_and_says_so() -> None:
    good, bad = sample_outcome(), sample_outcome(kills_applied=179)
    assert good.passed
    assert not bad.passed
    assert bad.verdict == "Failed: unbalanced ledger lines 1 (limit 0)."
    assert run_as_json(bad)["ledger"]["balanced"] is False


def test_only_what_happened_during_the_run_counts() -> None:
    before = BackendCounters(
        {"queued": 1_000, "searching": 4}, {"kills": 5, "reports": []}, {"commits": 7}, {}
    )
    now = BackendCounters(
        {"queued": 1_200, "searching": 2},
        {"kills": 9, "reports": ["a"]},
        {"commits": 7},
        {"kills_applied": 3},
    )
    since = now.since(before)
    assert since.matchmaker == {"queued": 200, "searching": 2}
    assert since.fleet == {"kills": 4, "reports": ["a"]}
    assert since.meta == {"commits": 0}
    assert since.rewards == {"kills_applied": 3}


def test_a_server_that_the_run_killed_is_no_fault_and_another_is() -> None:
    records = {"matches_ended": 1, "matches_failed": 1, "commits": 100, "open": 100, "kills": 178}
    killed = ExpectedLosses(servers=1, kills_reported=80, kill_events=82)
    told = balance(sample_counters(**records), tickets_opened=200, kill_events=180, killed=killed)
    assert told.balanced, told
    assert [line.name for line in told.lines][-1] == "kills of matches that ended"
    assert not balance(sample_counters(**records), tickets_opened=200, kill_events=180).balanced
    twice = balance(
        sample_counters(**{**records, "matches_ended": 0, "matches_failed": 2}),
        tickets_opened=200,
        kill_events=180,
        killed=killed,
    )
    assert [line.name for line in twice.lines if not line.balanced] == ["matches"]


def test_a_party_that_was_not_put_into_one_match_is_an_imbalance() -> None:
    def told(*parties: int) -> Ledger:
        return balance(
            sample_counters(), tickets_opened=200, kill_events=180, parties=(parties[0], parties[1])
        )

    assert told(12, 12).balanced
    assert not told(12, 11).balanced
    assert [line.name for line in told(12, 11).lines if not line.balanced] == ["parties"]


def test_a_match_that_was_given_up_and_taken_back_counts_as_not_started() -> None:
    assert ledger(matches_started=5, matches_taken_back=3).balanced
    assert unbalanced(ledger(matches_started=5, matches_taken_back=2)) == {"matches": 1}
    assert unbalanced(ledger(matches_started=5)) == {"matches": 3}


def test_a_match_whose_server_died_before_its_players_were_sent_there_counts_as_not_started() -> None:
    assert ledger(matches_started=4, matches_failed=2, matches_failed_given_up=2).balanced
    assert unbalanced(ledger(matches_started=4, matches_failed=2)) == {"matches": 2}


def test_the_counts_of_a_run_say_why_matches_were_given_up() -> None:
    counters = sample_counters(matches_started=5, matches_taken_back=3)
    before = BackendCounters({"given_up": {"late": 1}}, {}, {}, {})
    now = BackendCounters(
        {**counters.matchmaker, "given_up": {"late": 3, "unreachable": 1}}, counters.fleet, {}, {}
    )
    found = count_matches(now.since(before), servers_used=5, failures={"taken back": 3})
    assert (found.formed, found.started, found.ended, found.taken_back) == (2, 5, 2, 3)
    assert found.given_up == {"late": 2, "unreachable": 1}
    assert found.as_json()["failures"] == {"taken back": 3}


def test_kills_and_deaths_of_who_saw_all_are_compared_over_all_lives() -> None:
    records = PlayerRecords(np.zeros(4))
    records.player_id[:] = 11, 12, 13, 14
    records.connected_s[:3] = 5.0  # the last never played
    records.kills_seen[:] = 3, 1, 7, 0
    records.deaths_seen[:] = 2, 4, 1, 0
    records.matches_missed[2] = 1  # left before the end: of 9 kills their client saw 7
    seen = witnessed(records, {11: 3, 12: 1, 13: 9}, {11: 2, 12: 3, 13: 1})
    assert seen == Witnessed(players=2, kills=4, deaths=6, kill_events=4, death_events=5)
    ledger = balance(sample_counters(), tickets_opened=200, kill_events=180, seen=seen)
    lines = {line.name: line for line in ledger.lines}
    assert lines["kills of who saw all"].balanced
    assert lines["deaths of who saw all"].difference == 1
    assert not ledger.balanced


def test_where_nobody_saw_all_there_is_nothing_to_compare() -> None:
    nobody = witnessed(PlayerRecords(np.zeros(2)), {}, {})
    ledger = balance(sample_counters(), tickets_opened=200, kill_events=180, seen=nobody)
    assert not any("who saw all" in line.name for line in ledger.lines)


def test_a_word_that_is_lost_is_no_difference_and_one_that_nobody_said_is() -> None:
    counters = sample_counters()
    words = {
        "told_refusals": {"expired": 3},
        "told_farewells": {"match_over": 40, "kicked": 1},
        "told_answered": {"match_over": 38},
    }
    counters = replace(counters, fleet={**counters.fleet, **words})

    def found(heard: dict[str, int], servers: int = 0) -> Ledger:
        killed = ExpectedLosses(servers=servers)
        return balance(counters, tickets_opened=200, kill_events=180, told=heard, killed=killed)

    assert unbalanced(found({"match_over": 39, "kicked": 1, "unknown_session": 7})) == {}
    assert [line.name for line in found({}).lines if line.name.startswith("told ")] == [
        "told expired", "told kicked", "told match_over",
    ]  # fmt: skip
    assert unbalanced(found({"match_over": 41})) == {"told match_over": 1}
    assert unbalanced(found({"banned": 2})) == {"told banned": 2}
    assert not [line for line in found({"banned": 2}, 1).lines if "told" in line.name]


def test_an_unsealed_word_is_compared_where_the_fleet_counts_it() -> None:
    said = {"told_unsealed": {"unknown_session": 9}}
    lines = {line.name: line for line in told_lines(said, {"unknown_session": 2})}
    assert lines["told unknown_session"].balanced
    assert lines["told unknown_session"].entries[1].detail == "2 + 7; 0 farewells were answered"
    [line] = told_lines({"told_unsealed": {}}, {"unknown_token": 1})
    assert not line.balanced
    assert told_lines({}, {"unknown_token": 1}) == ()
