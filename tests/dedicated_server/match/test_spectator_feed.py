"""A spectator feed whose folder has no room: the match is not shown, and goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dedicated_server.match import spectator


def test_a_feed_without_room_is_none_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are reserved at once: one that is missing when it is written to would be SIGBUS."""
    asked: list[int] = []

    def full(_descriptor: int, offset: int, length: int) -> None:
        asked.append(offset + length)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert spectator.open_feed(str(tmp_path), "server", [1, 2, 3]) is None
    assert asked == [spectator.feed_bytes(3)]
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_feed_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    for name in ("server.new", "server.feed"):
        (tmp_path / name).symlink_to(theirs)
    feed = spectator.open_feed(str(tmp_path), "server", [1])
    assert feed is not None
    assert (theirs.read_text(), feed.path.is_symlink()) == ("theirs", False)


def test_a_feed_whose_name_is_taken_by_a_folder_is_none_and_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "server.feed").mkdir()
    assert spectator.open_feed(str(tmp_path), "server", [1]) is None
    assert [path.name for path in tmp_path.iterdir()] == ["server.feed"]


def test_a_feed_with_room_has_all_of_it_at_once(tmp_path: Path) -> None:
    feed = spectator.open_feed(str(tmp_path), "server", range(1, 1601))
    assert feed is not None
    assert feed.path.stat().st_blocks * 512 >= spectator.feed_bytes(1600)
    feed.close()
