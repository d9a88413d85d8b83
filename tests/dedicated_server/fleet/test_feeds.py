"""A fleet shows its matches in a folder of its own, whatever else lies in the one that it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from dedicated_server.fleet.feeds import SpectatorFeeds
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.logs import MAX_LOGS, ServerLogs
from dedicated_server.match import spectator
from launchday.folders import MARK
from tests.dedicated_server.match.shown_match import shown_match


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_two_fleets_share_a_folder_and_leave_what_is_not_theirs(tmp_path: Path) -> None:
    for name in ("theirs.feed", "theirs.new", "notes", "launchday/theirs.feed"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("theirs")
    before = files(tmp_path)
    one, two = (SpectatorFeeds(tmp_path, name) for name in ("fleet", "fleet"))
    for feeds in (one, two):
        for server in ("[a]", "b"):
            assert spectator.open_feed(feeds.folder, server, shown_match(["Ada"])) is not None
    one.forget("[a]")
    assert not Path(one.folder, "[a].feed").exists()
    assert Path(two.folder, "[a].feed").exists()
    (Path(one.folder) / "notes").write_text("theirs")
    one.close()
    assert files(tmp_path) == before | {
        f"fleet/{MARK}",
        "fleet/notes",
        f"fleet-1/{MARK}",
        "fleet-1/[a].feed",
        "fleet-1/b.feed",
    }
    two.close()
    assert files(tmp_path) == before | {f"fleet/{MARK}", "fleet/notes"}


def test_a_fleet_without_a_folder_for_feeds_counts_it_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = metrics.disk_errors.labels("spectator feed")
    before = refused._value.get()
    feeds = SpectatorFeeds(tmp_path / "file", "fleet")
    assert refused._value.get() == before + 1
    assert feeds.folder == ""
    assert feeds.read("a") is None
    feeds.forget("a")
    feeds.close()


def test_only_logs_of_servers_count_among_those_that_are_kept(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("app.log", "west-europe.log", "west-europe-nothexad.log")]
    for path in theirs:
        path.touch()
    for number in range(MAX_LOGS + 2):
        (tmp_path / f"west-europe-{number:08x}.log").touch()
    ServerLogs(tmp_path)
    assert all(path.exists() for path in theirs)
    assert len(list(tmp_path.iterdir())) == MAX_LOGS + len(theirs)


@pytest.mark.parametrize("match", ["", "0193a1c2-0000-7000-8000-000000000001."])
def test_the_log_of_a_server_is_known_by_its_name(tmp_path: Path, match: str) -> None:
    (tmp_path / f"{match}west-europe-0123abcd.log").touch()
    assert len(ServerLogs(tmp_path)._kept) == 1
