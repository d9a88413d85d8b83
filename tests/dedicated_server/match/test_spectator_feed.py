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


def test_a_feed_with_room_has_all_of_it_at_once(tmp_path: Path) -> None:
    feed = spectator.open_feed(str(tmp_path), "server", range(1, 1601))
    assert feed is not None
    assert feed.path.stat().st_blocks * 512 >= spectator.feed_bytes(1600)
    feed.close()
