from __future__ import annotations

import io

import numpy as np
import pytest

from launchday.terminal import Terminal
from loadtest.flood.watching.progress import ProgressDisplay
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState
from tests.loadtest.sample_run import MATCHES, sample_counters, sample_report


def fates_of(*states: PlayerState) -> PlayerRecords:
    records = PlayerRecords(np.zeros(len(states)))
    records.state[:] = states
    records.match_id = [MATCHES[0]] * len(states)
    return records


def server(at_s: float, **changes: object) -> dict[str, object]:
    return {"name": "east-us-0", "region": "east-us", "report": {**sample_report(0, at_s), **changes}}


def test_a_look_counts_players_by_state_and_notes_what_waits() -> None:
    timeline = Timeline()
    timeline.sample(
        1.0,
        fates_of(PlayerState.QUEUED, PlayerState.QUEUED, PlayerState.LOST),
        sample_counters(searching=2, lag=5),
        [],
    )
    timeline.sample(2.0, fates_of(PlayerState.PLAYING, PlayerState.PLAYING, PlayerState.LOST), None, [])
    assert timeline.players[PlayerState.QUEUED] == [2, 0]
    assert timeline.players[PlayerState.PLAYING] == [0, 2]
    assert timeline.queue == {
        "tickets searching": [2, None],
        "write-behind rows": [0, None],
        "events not yet applied": [5, None],
    }


def test_a_servers_curve_and_the_marks_follow_its_reports() -> None:
    timeline, records = Timeline(), fates_of(PlayerState.PLAYING)
    for at_s in (9.0, 10.0, 11.0, 57.0, 58.0):
        timeline.sample(at_s, records, None, [server(at_s)])
    assert timeline.servers["east-us-0"]["at_s"] == [10.0, 11.0]
    assert timeline.marks == [(10.0, "east-us: match starts"), (57.0, "east-us: match ends")]


def test_matches_of_others_are_left_out() -> None:
    timeline = Timeline()
    timeline.sample(
        20.0, fates_of(PlayerState.PLAYING), None, [server(20.0, match_id="another"), {"name": "idle"}]
    )
    assert timeline.servers == {}


def test_without_a_terminal_progress_is_a_plain_line_every_few_seconds() -> None:
    output = io.StringIO()
    timeline, records = Timeline(), fates_of(PlayerState.PLAYING, PlayerState.QUEUED)
    timeline.sample(20.0, records, None, [server(20.0)])
    with ProgressDisplay(Terminal(file=output, width=60), records, timeline) as progress:
        for tenth in range(200, 270):
            progress.update(tenth / 10, "playing")
    lines = output.getvalue().splitlines()
    assert len(lines) == 2
    assert (
        lines[0]
        == "   20 s  playing: 1 queued, 1 playing; 1 servers, 90 alive, slowest tick p99 1.30 ms (east-us-0)"
    )


def test_in_a_terminal_progress_is_a_table() -> None:
    output = io.StringIO()
    timeline, records = Timeline(), fates_of(PlayerState.PLAYING, PlayerState.QUEUED)
    timeline.sample(20.0, records, None, [server(20.0)])
    console = Terminal(file=output, width=100, force_terminal=True)
    with ProgressDisplay(console, records, timeline) as progress:
        progress.update(20.0, "playing")
    assert "east-us-0" in output.getvalue()


def test_what_services_tell_belongs_to_the_second_in_which_they_tell_it() -> None:
    timeline, records = Timeline(), fates_of(PlayerState.PLAYING)
    timeline.begin_sample(1.0, records)
    timeline.add_servers(1.1, records, [server(20.0, state="Allocated")])
    timeline.begin_sample(2.0, records)  # asked at 1.0 s, the matchmaker answers now
    timeline.add_counters(2.4, "matchmaker", {"searching": 7})
    timeline.add_silence(6.0, "meta")
    assert timeline.queue["tickets searching"] == [None, 7]
    assert timeline.queue_at_s["tickets searching"] == [None, 2.4]
    assert timeline.queue["write-behind rows"] == [None, None]
    assert timeline.fleet_at_s == [1.1, None]
    assert timeline.servers["east-us-0"]["at_s"] == [1.1]
    assert timeline.fleet == {"?": [1, 1]}  # the last known
    assert timeline.unanswered == [(6.0, "meta")]


def test_progress_tells_who_gave_up_and_who_was_not_matched() -> None:
    output = io.StringIO()
    records = fates_of(PlayerState.CANCELLED, PlayerState.CANCELLED, PlayerState.UNMATCHED)
    with ProgressDisplay(Terminal(file=output, width=60), records, Timeline()) as progress:
        progress.update(20.0, "playing")
    assert output.getvalue() == "   20 s  playing: 2 gave up, 1 not matched\n"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_narrow_terminal_loses_no_figure(width: int) -> None:
    output = io.StringIO()
    records = fates_of(*[PlayerState.CANCELLED] * 3, *[PlayerState.UNMATCHED] * 2, PlayerState.PLAYING)
    timeline = Timeline()
    ticks = {"p50": 12_920.0, "p99": 16_480.0}
    told = server(20.0, players_connected=97, players_alive=84, tick_us=ticks, kbit_per_client={"p50": 111})
    timeline.sample(20.0, records, None, [{**told, "name": "west-europe-0052fff5"}])
    display = ProgressDisplay(Terminal(file=output, width=width, force_terminal=True), records, timeline)
    console = Terminal(file=output, width=width)
    console.print(display._table(20.0, "playing"))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for figure in ("97", "84", "12.92", "16.48", "111"):
        assert any(figure in line.split() for line in lines), figure
    for state, count in (("gave up", "3"), ("not matched", "2"), ("lost", "0")):
        assert any(line.startswith(state) and count in line.split() for line in lines)
