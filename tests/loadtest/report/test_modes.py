from __future__ import annotations

from dataclasses import replace

from loadtest.flood.outcome import RunOutcome
from loadtest.flood.watching.events import MatchResult
from loadtest.report.modes import figures_by_mode
from loadtest.report.run_json import run_as_json
from loadtest.report.run_page import render_report
from tests.loadtest.sample_run import MATCHES, sample_outcome, sample_report

SOMEBODY_ELSES = "0193a1c2-0000-7000-8000-00000000000f"


def played(modes: tuple[str, str], **changes: object) -> RunOutcome:
    """The sample's two matches, of these modes; the second has sides and scores."""
    run = sample_outcome()
    reports = [sample_report(number, 60.0) for number in (0, 1)]
    reports[0] |= {"mode": modes[0], "sides": 0, "scores": {}}
    reports[1] |= {"mode": modes[1], "sides": 2, "scores": {"captures": [3, 1]}}
    results = {
        MATCHES[0]: MatchResult(modes[0], {team: team + 1 for team in range(100)}),
        MATCHES[1]: MatchResult(modes[1], {0: 1, 1: 2}),
        SOMEBODY_ELSES: MatchResult(modes[1], {0: 2, 1: 1}),
    }
    kinds = {MATCHES[1]: {"kill": 90, "flag_captured": 4}, SOMEBODY_ELSES: {"flag_captured": 9}}
    return replace(run, reports=reports, match_results=results, event_kinds=kinds, **changes)  # type: ignore[arg-type]


def test_matches_are_added_up_by_mode_and_others_of_the_backend_left_out() -> None:
    alone, sides = figures_by_mode(played(("battle_royale", "capture_the_flag")))
    assert (alone.mode, alone.matches, alone.players, alone.wins, alone.scores) == (
        "battle_royale", 1, 100, [], {},
    )  # fmt: skip
    assert (sides.mode, sides.ended, sides.kills, sides.deaths) == ("capture_the_flag", 1, 90, 99)
    assert (sides.wins, sides.scores) == ([1, 0], {"captures": [3, 1]})
    assert sides.events == {"kill": 90, "flag_captured": 4}
    assert sides.sentence == "1 match, 100 players, 90 kills, 99 deaths; won 1 : 0; captures 3 : 1"


def test_a_match_without_a_result_has_the_mode_of_its_report_and_no_winner() -> None:
    [sides] = figures_by_mode(replace(played(("capture_the_flag",) * 2), match_results={}))
    assert (sides.matches, sides.ended, sides.wins) == (2, 0, [0, 0])


def test_nothing_is_said_of_matches_that_tell_nothing() -> None:
    silent = replace(sample_outcome(), reports=[])
    assert figures_by_mode(silent) == []
    assert "wins by side" not in render_report(silent)


def test_the_report_and_its_json_show_the_modes() -> None:
    run = played(("battle_royale", "capture_the_flag"))
    page = render_report(run)
    assert "wins by side" in page
    assert "capture_the_flag" in page
    assert "flag_captured" in page
    assert run_as_json(run)["modes"][1]["events"] == {"flag_captured": 4, "kill": 90}
