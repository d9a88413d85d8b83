"""A recording as it is watched: any moment of it is the moment that was played."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dedicated_server.fleet.console.recorded_match import RecordedMatch
from dedicated_server.fleet.console.replay_page import draw_marks
from dedicated_server.recording import timeline as timelines
from dedicated_server.recording.file import (
    CHUNK,
    MATCH,
    ROSTER,
    DamagedRecordingError,
    Section,
    UnknownModeRecordedError,
    read_sections,
)
from dedicated_server.recording.recorder import state_hash
from dedicated_server.recording.replay import replay
from dedicated_server.recording.timeline import Timeline
from dedicated_server.simulation import world as w
from tests.dedicated_server.recording.test_recording import rewrite


def read_whole(path: Path) -> RecordedMatch:
    match = RecordedMatch(path)
    match.read_all(lambda: False)
    return match


def world_hash(match: RecordedMatch) -> bytes:
    return state_hash(match._playback.match.world)


def test_every_moment_is_the_same_however_one_comes_to_it(watched: Path) -> None:
    match = read_whole(watched)
    assert match.timeline.remark == ""
    assert match.timeline.ended == "ended"
    seen = {}
    for tick in range(0, match.timeline.last_tick, 97):
        match.go_to(tick)
        assert match.tick == tick
        seen[tick] = world_hash(match)
    for tick in sorted(seen, key=lambda tick: tick * 7_919 % 1_009):
        match.go_to(tick)
        assert world_hash(match) == seen[tick]
    match.go_to(match.timeline.last_tick)
    kills = match._playback.match.world.status[w.KILLS].sum()
    assert 0 < kills == replay(watched).kills == sum(int(one["kind"]) == 2 for one in match.timeline.happened)


def test_a_frame_has_the_names_and_what_happened_of_its_moment(watched: Path) -> None:
    match = read_whole(watched)
    change = match.timeline.rosters[1][0]
    assert 290 < change < 310
    for tick, name in ((change - 1, "Grace"), (change, "Linus"), (change - 100, "Grace")):
        match.go_to(tick)
        assert match.frame()["players"][1]["name"] == name
        assert all(one["tick"] <= tick for one in match.frame()["news"])
    match.go_to(match.timeline.last_tick)
    frame = match.frame()
    assert frame["phase"] == "over"
    assert sorted(one["placement"] for one in frame["players"]) == [1, 2, 3, 4, 5, 6]
    assert [one["placement"] for one in frame["players"]] == list(match.timeline.placements)
    assert draw_marks(match).count("M") == sum(one["kind"] == "kill" for one in frame["news"])
    match.go_to(0)
    assert match.frame()["phase"] == "waiting"


def test_time_goes_on_at_its_speed_and_stops_at_the_end(watched: Path) -> None:
    match = read_whole(watched)
    for speed, ticks in ((1.0, 12), (0.5, 6), (8.0, 96)):
        before, match.speed = match.tick, speed
        match.advance(0.2)
        assert match.tick - before == ticks
    match.playing = False
    match.advance(0.2)
    assert match.tick == 114
    match.playing = True
    for _ in range(60):
        match.advance(0.4)
    assert match.at_end
    assert not match.playing


def test_what_is_not_read_yet_is_not_gone_to(watched: Path) -> None:
    match = RecordedMatch(watched)
    reading = match.timeline.read()
    next(reading)
    next(reading)
    match.go_to(10_000)
    assert match.tick == match.timeline.last_tick == 120
    assert not match.at_end


def test_kept_states_take_no_more_room_than_there_is(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = RecordedMatch(watched).timeline.kept[0].moment.size_bytes
    monkeypatch.setattr(timelines, "MOST_KEPT_BYTES", 5 * one)
    monkeypatch.setattr(timelines, "KEPT_EVERY", 1)
    match = read_whole(watched)
    assert len(match.timeline.kept) <= 5
    assert match.timeline._every > 1
    assert match.timeline.kept[0].moment.tick == 0
    match.go_to(match.timeline.last_tick - 1)
    assert match.tick == match.timeline.last_tick - 1


def changed_match(change: Callable[[dict[str, Any]], None]) -> Callable[[list[Section]], list[Section]]:
    def changed(sections: list[Section]) -> list[Section]:
        described = sections[0].json()
        change(described)
        return [Section(MATCH, json.dumps(described).encode()), *sections[1:]]

    return changed


def test_a_recording_that_is_cut_short_or_damaged_is_watched_up_to_there(
    watched: Path, tmp_path: Path
) -> None:
    whole, path = watched.read_bytes(), tmp_path / "cut.ldr"
    path.write_bytes(whole[: len(whole) // 2])
    match = read_whole(path)
    assert match.timeline.remark.startswith("the recording was cut short: it ends at 0:0")
    match.go_to(10_000)
    assert 0 < match.tick == match.timeline.last_tick
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    path.write_bytes(damaged)
    match = read_whole(path)
    assert "the recording is damaged from 0:0" in match.timeline.remark
    assert "\n" not in match.timeline.remark
    match.go_to(10_000)
    assert 0 < match.tick == match.timeline.last_tick


def test_a_card_that_is_another_now_is_named_and_its_match_shown(watched: Path, tmp_path: Path) -> None:
    def slower(described: dict[str, Any]) -> None:
        described["card"]["respawn_s"] = 99.0

    path = rewrite(watched, changed_match(slower), tmp_path / "changed.ldr")
    assert read_whole(path).timeline.remark == "the card of battle_royale has changed since: respawn_s"


def test_a_match_that_goes_another_way_now_is_said_to(watched: Path, tmp_path: Path) -> None:
    def other_seed(described: dict[str, Any]) -> None:
        described["seed"] += 1

    match = read_whole(rewrite(watched, changed_match(other_seed), tmp_path / "other.ldr"))
    assert match.timeline.remark.startswith("from 0:01 on this is not what was played")
    assert match.timeline.last_tick > 500


def test_a_mode_that_is_not_there_is_one_line(watched: Path, tmp_path: Path) -> None:
    path = rewrite(
        watched, changed_match(lambda described: described.update(mode="unheard_of")), tmp_path / "mode.ldr"
    )
    with pytest.raises(UnknownModeRecordedError, match="unheard_of") as said:
        Timeline(path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"tick": 1, "players": [[1, 2]]}',
        b'{"tick": -1, "players": []}',
        b'{"tick": 1, "players": [[1, 0, 99, "x"]]}',
        b'{"tick": 1, "players": [[1, 0, 0, 5]]}',
        b'{"tick": 1, "players": 7}',
    ],
)
def test_a_roster_that_no_server_would_have_written_is_damage(
    watched: Path, tmp_path: Path, body: bytes
) -> None:
    path = rewrite(watched, lambda s: [*s[:2], Section(ROSTER, body), *s[2:]], tmp_path / "roster.ldr")
    with pytest.raises(DamagedRecordingError):
        replay(path)
    assert "is damaged from 0:01 on" in read_whole(path).timeline.remark


def test_who_takes_a_slot_over_is_in_the_recording(watched: Path) -> None:
    sections = list(read_sections(watched))
    rosters = [section.json() for section in sections if section.kind == ROSTER]
    assert [one["players"] for one in rosters] == [[[77, 1, 1, "Linus"]]]
    before = sum(s.kind == CHUNK for s in sections[: [s.kind for s in sections].index(ROSTER)])
    assert before * 60 >= rosters[0]["tick"]
