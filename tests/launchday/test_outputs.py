from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from launchday import outputs
from launchday.outputs import OutputError, Outputs, check, check_folder, write_whole


def missing_folder(folder: Path) -> Path:
    return folder / "nowhere" / "report.html"


def a_folder(folder: Path) -> Path:
    (folder / "report.html").mkdir()
    return folder / "report.html"


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "report.html"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def a_zero(folder: Path) -> Path:
    return folder / "a\0b"


@pytest.mark.parametrize("target", [missing_folder, a_folder, below_a_file, too_long, a_zero])
def test_what_cannot_be_written_is_told_before_the_work_and_by_the_writer(
    target: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = target(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for attempt in (check, lambda path: write_whole(path, "x")):
        with pytest.raises(OutputError, match=r"^cannot write ") as refused:
            attempt(path)
        assert "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_can_be_written_is_left_alone_by_the_check(tmp_path: Path) -> None:
    there, new = tmp_path / "there [b]", tmp_path / "folder" / "new"
    there.write_text("mine")
    new.parent.mkdir()
    check(there, new, None, Path("/dev/null"), Path("/dev/null"))
    check_folder(tmp_path / "a" / "b" / "c")
    assert (there.read_text(), new.exists(), (tmp_path / "a").exists()) == ("mine", False, False)


def test_two_outputs_cannot_be_one_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("report")
    with pytest.raises(OutputError, match="two outputs"):
        check(tmp_path / "report", tmp_path / "link")
    (tmp_path / "report").write_text("")
    with pytest.raises(OutputError, match="is no folder"):
        check_folder(tmp_path / "report" / "in it")


def test_a_file_is_replaced_whole_and_keeps_its_rights_and_its_links(tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    place.write_text("former")
    place.chmod(0o640)
    link.symlink_to(place)
    write_whole(link, "né \udcff")
    assert (link.is_symlink(), place.read_bytes()) == (True, "né \\udcff".encode())
    assert (place.stat().st_mode & 0o777, sorted(os.listdir(tmp_path))) == (0o640, ["link", "place"])


def test_a_full_disk_costs_one_file_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, figures = tmp_path / "page", tmp_path / "figures"
    page.write_text("former")
    written = Outputs()
    write_new = outputs._write_new

    def full(part: Path, content: bytes) -> None:
        if len(content) > 10:
            part.write_bytes(content[:4])
            raise OSError(28, "No space left on device")
        write_new(part, content)

    monkeypatch.setattr(outputs, "_write_new", full)
    assert not written.attempt(lambda: write_whole(page, "x" * 100))
    assert written.attempt(lambda: write_whole(figures, "{}"))
    assert written.failures == [
        f"cannot write {page}: No space left on device; mend that, or name another file"
    ]
    assert (page.read_text(), figures.read_text(), len(os.listdir(tmp_path))) == ("former", "{}", 2)
