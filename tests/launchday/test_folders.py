"""Only what we made is removed, wherever a setting points."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from launchday import folders
from launchday.engines import EngineError, Valkey
from launchday.engines.stack import RUNNING_FILE, EngineStack, running_engines
from launchday.folders import MARK, FolderError, OwnFolder
from launchday.kernel_locator import SourceHashLocator
from launchday.launcher.backend import CLEARED, Backend, BackendError, single_instance
from launchday.settings import Settings

OWN = ("data", "part-*", "day=*/part-*")
OTHER_USER = 12_345


def make(path: Path, content: str = "theirs") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_that_we_made_loses_what_has_our_names_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    assert folders.claim(folder, OWN)
    for name in ("data/deep/file", "part-1", "day=1/part-2", "day=2/part-3", "day=2/notes", "notes", "parts"):
        make(folder / name)
    make(tmp_path / "beside")
    folders.clear(folder, OWN)
    assert tree(tmp_path) == {
        "own",
        f"own/{MARK}",
        "own/day=2",
        "own/day=2/notes",
        "own/notes",
        "own/parts",
        "beside",
    }
    assert folders.claim(folder, OWN)


def test_files_that_were_there_before_do_not_keep_a_folder_from_being_used(tmp_path: Path) -> None:
    notes = make(tmp_path / "notes")
    assert folders.claim(tmp_path, OWN)
    make(tmp_path / "part-1")
    folders.clear(tmp_path, OWN)
    assert tree(tmp_path) == {MARK, notes.name}


@pytest.mark.parametrize("name", ["data/file", "part-1", "day=1/anything"])
def test_a_folder_in_which_our_names_were_taken_before_us_is_never_cleared(tmp_path: Path, name: str) -> None:
    theirs = make(tmp_path / name)
    assert not folders.claim(tmp_path, OWN)
    assert str(tmp_path) in folders.why_not_cleared(tmp_path, OWN)
    with pytest.raises(FolderError, match="move it away"):
        folders.clear(tmp_path, OWN)
    assert theirs.read_text() == "theirs"


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    foreign = make(tmp_path / "foreign" / "part-1").parent
    folder = tmp_path / "own"
    assert folders.claim(folder, OWN)
    for name in ("data", "day=1", "part-link"):
        (folder / name).symlink_to(foreign)
    make(folder / "day=2" / "part-1")
    (folder / "day=2" / "part-2").symlink_to(foreign / "part-1")
    folders.clear(folder, OWN)
    assert tree(foreign) == {"part-1"}
    assert tree(folder) == {MARK, "data", "day=1", "part-link", "day=2", "day=2/part-2"}
    (tmp_path / "linked").symlink_to(folder)
    with pytest.raises(FolderError, match="is a link"):
        folders.clear(tmp_path / "linked", OWN)
    (tmp_path / "empty").mkdir()
    (tmp_path / "to-empty").symlink_to(tmp_path / "empty")
    assert not folders.claim(tmp_path / "to-empty", OWN)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's files")
def test_files_of_other_users_stay_and_their_mark_is_none(tmp_path: Path) -> None:
    assert folders.claim(tmp_path, OWN)
    os.chown(make(tmp_path / "part-1"), OTHER_USER, OTHER_USER)
    folders.clear(tmp_path, OWN)
    folders.remove_files(tmp_path, ("part-*",))
    assert tree(tmp_path) == {MARK, "part-1"}
    os.chown(tmp_path / MARK, OTHER_USER, OTHER_USER)
    assert not folders.is_marked(tmp_path)


def test_a_mark_that_is_a_link_is_none(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / MARK).symlink_to(tmp_path / "elsewhere")
    assert not folders.is_marked(tmp_path / "folder")


def test_a_file_is_created_anew_in_the_place_of_a_link_whose_target_stays(tmp_path: Path) -> None:
    theirs = make(tmp_path / "theirs")
    for name in ("own", "own.new"):
        (tmp_path / name).symlink_to(theirs)
    folders.write_whole(tmp_path / "own", b"ours")
    assert (theirs.read_text(), (tmp_path / "own").read_text()) == ("theirs", "ours")
    assert tree(tmp_path) == {"theirs", "own"}


def test_two_that_are_given_one_folder_have_one_each_and_a_successor_takes_over(tmp_path: Path) -> None:
    first, second = OwnFolder.take(tmp_path, "fleet"), OwnFolder.take(tmp_path, "fleet")
    assert (first.path.name, second.path.name) == ("fleet", "fleet-1")
    make(first.path / "a.feed")
    make(second.path / "b.feed")
    os.close(first._lock)  # as when its process is killed
    successor = OwnFolder.take(tmp_path, "fleet")
    assert successor.path == first.path
    successor.remove_files(("*.feed",))
    make(successor.path / "notes")
    successor.close(("*.feed",))
    second.close(("*.feed",))
    second.close(("*.feed",))
    assert tree(tmp_path) == {"fleet", f"fleet/{MARK}", "fleet/notes"}


def test_a_link_or_another_users_folder_in_the_place_of_our_own_is_left_alone(tmp_path: Path) -> None:
    foreign = make(tmp_path / "foreign" / "a.feed").parent
    (tmp_path / "fleet").symlink_to(foreign)
    make(tmp_path / "fleet-1")
    taken = OwnFolder.take(tmp_path, "fleet")
    assert taken.path.name == "fleet-2"
    taken.close(("*.feed",))
    assert tree(foreign) == {"a.feed"}


def test_an_engine_starts_afresh_beside_files_that_are_not_its_own(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    stack = EngineStack(settings, fresh=True)
    notes = make(tmp_path / "valkey" / "notes")
    stack.check_folders()
    assert folders.claim(tmp_path / "valkey", Valkey.own_names)
    make(tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.1")
    folders.clear(tmp_path / "valkey", Valkey.own_names)
    assert [path.name for path in (tmp_path / "valkey").iterdir()] == [MARK, notes.name] or notes.exists()
    make(tmp_path / "postgres" / "PG_VERSION")
    with pytest.raises(EngineError, match=r"postgres was not made by launchday.*LAUNCHDAY_STATE_DIR"):
        stack.check_folders()


def foreign_analytics(state: Path) -> Path:
    return make(state / "analytics" / "manifest.json")


def foreign_policies(state: Path) -> Path:
    return make(state / "fleet" / "policies.json")


@pytest.mark.parametrize("foreign", [foreign_analytics, foreign_policies])
def test_a_fresh_backend_is_refused_where_it_would_have_to_remove_what_it_did_not_make(
    tmp_path: Path, foreign: Callable[[Path], Path]
) -> None:
    theirs = foreign(tmp_path)
    away = {f"{name}_url": "http://127.0.0.1:9" for name in ("meta", "matchmaker", "fleet", "rewards")}
    backend = Backend(
        Settings(state_dir=tmp_path, director_port=0, writebehind_port=0, analytics_port=0), fresh=True
    )
    backend._given = dict.fromkeys(backend._given, away["meta_url"])
    with pytest.raises(BackendError, match=r"move it away, or set LAUNCHDAY_STATE_DIR"):
        backend.check()
    with pytest.raises(FolderError):
        backend._clear()
    assert theirs.read_text() == "theirs"
    assert set(CLEARED) == {"analytics", "fleet"}


@pytest.mark.parametrize("name", ["lock", RUNNING_FILE])
def test_somebody_elses_file_of_our_name_in_the_state_folder_stays(tmp_path: Path, name: str) -> None:
    theirs = make(tmp_path / name)
    stack = EngineStack(Settings(state_dir=tmp_path))
    stack.write_running_file()
    stack.stop()
    assert running_engines(tmp_path) == {}
    if name == "lock":
        with pytest.raises(BackendError, match="not a lock of launchday's"), single_instance(tmp_path):
            pass
    assert theirs.read_text() == "theirs"


def test_a_state_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    make(tmp_path / "file")
    with (
        pytest.raises(BackendError, match="LAUNCHDAY_STATE_DIR"),
        single_instance(tmp_path / "file" / "state"),
    ):
        pass


def test_old_kernels_are_removed_without_what_others_keep_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    locator = SourceHashLocator(test_links_are_neither_followed_nor_removed, str(folders.__file__))
    module = locator._module
    for number in range(6):
        make(tmp_path / f"{module}-{number:016x}" / "kernel.nbi")
    notes = make(tmp_path / f"{module}-{5:016x}" / "notes")
    foreign = make(tmp_path / f"{module}-mine" / "kernel.nbi")
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        os.utime(path, (number, number) if path != foreign.parent else (0, 0))
    os.utime(notes.parent, (0, 0))
    locator.ensure_cache_path()
    assert foreign.exists()
    assert notes.exists()
    assert len([path for path in tmp_path.rglob("kernel.nbi") if path != foreign]) == 3
