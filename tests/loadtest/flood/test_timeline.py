from __future__ import annotations

import io

import numpy as np

from launchday.terminal import Terminal
from loadtest.flood.progress import ProgressDisplay
from loadtest.flood.timeline import Timeline
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
