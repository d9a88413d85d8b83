"""The spectator feed: what a match shows is read back as it is, whole or not at all. Where its folder has no
room the match is not shown, and goes on.
"""

from __future__ import annotations

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE, KIND_PROJECTILE
from dedicated_server.match import spectator
from dedicated_server.match.spectator_frame import FeedVersionError, frame_json
from dedicated_server.match.spectator_layout import HEADER, MOST_HAPPENED
from dedicated_server.match.spectator_writer import constants_of, feed_sizes, name_bytes
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_STARTED, MODE_EVENT
from dedicated_server.simulation.match import Match
from tests.dedicated_server.match.shown_match import ShownFeed, shown_match

EMOJI = "😀🎉🚀🔥💎🎯🏆⚡"


def size_of(match: Match) -> int:
    return feed_sizes(match, constants_of(match)).feed_bytes


def test_a_match_is_read_back_as_it_is() -> None:
    match = shown_match(["Ada", EMOJI, "<script>"])
    world = match.world
    world.body[:5, 1] = (12.34, -56.78, 41.2, 0.0, 0.0)
    world.status[w.YAW, 1], world.status[w.SHOTS, 1] = 16_384, 3
    world.status[w.ALIVE, 2] = 0
    world.object_status[w.OBJECT_SHOWN] = 1
    world.objects[:, 0] = (48.0, 0.0, 0.0, 0.0)
    world.object_status[w.OBJECT_A : w.OBJECT_C + 1, 0] = (1, 2, 1)
    world.object_status[w.OBJECT_A : w.OBJECT_C + 1, 1] = (7, w.NOBODY, 0)
    world.objects[:, 2] = (1.0, 2.0, 0.5, -0.25)
    world.object_status[w.OBJECT_A : w.OBJECT_C + 1, 2] = (1, 0, 9)
    world.objects[:, 3] = (5.0, 6.0, 2.0, 1.5)
    world.object_status[w.OBJECT_A, 3] = 1
    world.scores[:] = [[1, 2], [3, 4]]
    world.counters[w.TICK], world.counters[w.START_TICK] = 600, 60
    frame = ShownFeed(match).frame()
    assert [(one["player_id"], one["name"], one["team"]) for one in frame["players"]] == [
        ("100", "Ada", 0),
        ("101", EMOJI, 1),
        ("102", "<script>", 0),
    ]
    shown = frame["players"][1]
    assert (shown["x"], shown["y"], shown["yaw"], shown["health"]) == (12.3, -56.8, 16_384, 42)
    assert [one["firing"] for one in frame["players"]] == [False, True, False]
    assert [one["alive"] for one in frame["players"]] == [True, True, False]
    flag, item, projectile, obstacle = frame["objects"]
    assert [one["entity"] for one in frame["objects"]] == [3, 4, 5, 6]
    assert (flag["kind"], flag["team"], flag["carrier"], flag["state"]) == ("flag", 1, 2, "carried")
    assert (item["kind"], item["what"], item["taken_by"]) == ("item", 7, None)
    assert (projectile["owner"], projectile["east"], projectile["north"]) == (1, 0.5, -0.25)
    assert (obstacle["standing"], obstacle["half_east"], obstacle["half_north"]) == (True, 2.0, 1.5)
    assert frame["scores"] == [
        {"name": "captures", "limit": 3, "teams": [1, 2]},
        {"name": "returns", "limit": 0, "teams": [3, 4]},
    ]
    assert frame["boxes"] == [{"west": -4.0, "south": -4.0, "east": 4.0, "north": 4.0}]
    assert (frame["has_zone"], frame["played_s"], frame["left_s"]) == (False, 9.0, 51.0)
    assert (frame["mode"], frame["phase"], frame["map_half_m"]) == ("teams_of_five", "playing", 60.0)
    json.dumps(frame, allow_nan=False)
    kinds = [KIND_FLAG, KIND_ITEM, KIND_PROJECTILE, KIND_OBSTACLE]
    assert world.object_status[w.OBJECT_KIND].tolist() == kinds


def test_a_slot_that_is_given_on_has_its_new_name_and_its_kills_keep_the_old_one() -> None:
    feed = ShownFeed(shown_match(["Ada", "Grace"]))
    records = np.zeros(3, w.EVENT_DTYPE)
    records["kind"] = (MATCH_STARTED, KILL, MODE_EVENT)
    records["actor"], records["victim"], records["weapon"] = 1, (-1, 0, -1), 0
    records["tick"] = (60, 90, 91)
    feed.writer.note(records)
    roster = list(feed.match.roster)
    roster[1] = replace(roster[1], player_id=0, name="")
    feed.match.roster = tuple(roster)
    for name in ("", "Linus"):
        if name:
            roster[1] = replace(roster[1], player_id=55, name=name)
            feed.match.roster = tuple(roster)
        for _ in range(3):
            frame = feed.frame()
            assert frame["players"][1]["name"] == name
            assert frame["players"][1]["player_id"] == ("55" if name else "0")
    kill, captured = frame["news"]
    assert (kill["kind"], kill["actor_name"], kill["victim_name"], kill["weapon"]) == (
        "kill",
        "Grace",
        "Ada",
        "rifle",
    )
    assert (captured["kind"], captured["actor"], captured["victim"]) == ("flag_captured", 1, None)


def test_only_what_happened_last_is_kept() -> None:
    feed = ShownFeed(shown_match(["Ada", "Grace"]))
    records = np.zeros(40, w.EVENT_DTYPE)
    records["kind"], records["actor"], records["tick"] = DEATH, w.NOBODY, range(40)
    for one in records:
        feed.writer.note(np.array([one]))
    assert [one["tick"] for one in feed.frame()["news"]] == list(range(40 - MOST_HAPPENED, 40))


def test_placements_are_told_once_the_match_is_over() -> None:
    feed = ShownFeed(shown_match(["Ada", "Grace"]))
    assert [one["placement"] for one in feed.frame()["players"]] == [0, 0]
    feed.match.over = True
    assert [one["placement"] for one in feed.frame(phase=2)["players"]] == [1, 2]


@given(name=st.text(max_size=40))
def test_a_name_is_cut_between_two_characters(name: str) -> None:
    kept = name_bytes(name)
    assert len(kept) <= 32
    assert name.encode(errors="replace").startswith(kept)
    kept.decode()


def test_a_feed_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.feed"
    feed = spectator.SpectatorFeed(path, shown_match(["Ada", "Grace"]))
    assert spectator.read_feed(path) is None  # nothing was written yet
    whole = path.read_bytes()
    for cut in (0, 3, 24, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert spectator.read_feed(path) is None
    path.write_bytes(b"\xff" * len(whole))
    assert spectator.read_feed(path) is None
    feed.close()
    assert spectator.read_feed(path) is None
    assert spectator.open_feed("", "x", shown_match(["Ada"])) is None
    assert spectator.open_feed("/proc/nowhere", "x", shown_match(["Ada"])) is None


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_no_feed_that_somebody_wrote_is_more_than_no_frame(data: st.DataObject) -> None:
    feed = ShownFeed(shown_match(["Ada", "Grace"]))
    feed.frame()
    broken = feed.memory
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(8, len(broken) - 1))] = data.draw(st.integers(0, 255))
    frame = frame_json(broken)
    if frame is not None:
        json.dumps(frame, allow_nan=False)


@pytest.mark.parametrize("version", [1, 3])
def test_a_feed_of_another_version_says_so_in_one_line(tmp_path: Path, version: int) -> None:
    path = tmp_path / "x.feed"
    spectator.SpectatorFeed(path, shown_match(["Ada"]))
    content = bytearray(path.read_bytes())
    np.frombuffer(content, HEADER, 1)["version"] = version
    path.write_bytes(content)
    with pytest.raises(
        FeedVersionError, match=rf"version {version} .* reads 2: start the fleet again"
    ) as said:
        spectator.read_feed(path)
    assert "\n" not in str(said.value)


def test_a_feed_without_room_is_none_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are reserved at once: one that is missing when it is written to would be SIGBUS."""
    asked: list[int] = []

    def full(_descriptor: int, offset: int, length: int) -> None:
        asked.append(offset + length)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    match = shown_match(["Ada", "Grace", "Linus"])
    assert spectator.open_feed(str(tmp_path), "server", match) is None
    assert asked == [size_of(match)]
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_feed_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    for name in ("server.new", "server.feed"):
        (tmp_path / name).symlink_to(theirs)
    feed = spectator.open_feed(str(tmp_path), "server", shown_match(["Ada"]))
    assert feed is not None
    assert (theirs.read_text(), feed.path.is_symlink()) == ("theirs", False)


def test_a_feed_whose_name_is_taken_by_a_folder_is_none_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "server.feed").mkdir()
    assert spectator.open_feed(str(tmp_path), "server", shown_match(["Ada"])) is None
    assert [path.name for path in tmp_path.iterdir()] == ["server.feed"]


def test_a_feed_with_room_has_all_of_it_at_once(tmp_path: Path) -> None:
    match = shown_match([f"player {entity}" for entity in range(1_600)])
    feed = spectator.open_feed(str(tmp_path), "server", match)
    assert feed is not None
    assert feed.path.stat().st_blocks * 512 >= size_of(match)
    feed.close()


def test_what_a_publication_of_a_hundred_takes() -> None:
    feed = ShownFeed(shown_match([f"player {entity}" for entity in range(100)]))
    connected, nothing, took_us = np.ones(100, np.bool_), np.zeros(100, np.int32), []
    for _ in range(400):
        begun_ns = time.perf_counter_ns()
        feed.writer.write(1, connected, nothing, nothing)
        took_us.append((time.perf_counter_ns() - begun_ns) / 1e3)
    print({"publication_us": {"p50": round(float(np.median(took_us)), 1), "bytes": len(feed.memory)}})
