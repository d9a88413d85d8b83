"""Where compiled kernels go on a machine that gives no home."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from numba import njit
from numba.core import caching, config

from launchday import cache_folder, kernel_cache, kernel_locator

NOWHERE = "/proc/nothing-can-be-made-here"
Pod = Callable[..., None]


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pod:
    """A process whose user the system does not know, with these variables alone."""

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    def set_variables(**given: str) -> None:
        monkeypatch.setattr(pwd, "getpwuid", nobody)
        monkeypatch.setattr(cache_folder, "TEMPORARY_FOLDERS", ())
        for name in ("XDG_CACHE_HOME", "HOME", "TMPDIR", "LAUNCHDAY_STATE_DIR", "NUMBA_CACHE_DIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(kernel_cache, "_warning", "")
        monkeypatch.chdir(tmp_path)

    return set_variables


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"HOME": "{0}/home"}, "home/.cache/launchday/kernels"),
        ({"HOME": "{0}/home", "XDG_CACHE_HOME": "{0}/cache"}, "cache/launchday/kernels"),
        ({"HOME": "{0}/home", "XDG_CACHE_HOME": "relative"}, "home/.cache/launchday/kernels"),
        ({"HOME": NOWHERE, "LAUNCHDAY_STATE_DIR": "{0}/state"}, "state/cache/kernels"),
        ({"HOME": ""}, ".launchday/cache/kernels"),
        ({}, ".launchday/cache/kernels"),
        ({"LAUNCHDAY_STATE_DIR": NOWHERE, "TMPDIR": "{0}"}, f"launchday-kernels-{os.geteuid()}"),
    ],
)
def test_the_first_folder_that_can_be_written_is_taken(
    pod: Pod, tmp_path: Path, given: dict[str, str], found: str
) -> None:
    pod(**{name: value.format(tmp_path) for name, value in given.items()})
    assert kernel_cache.configure() == tmp_path / found
    assert kernel_cache.warning() == ""


def test_without_any_folder_one_line_says_so_and_kernels_compile_all_the_same(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod(HOME="/proc", LAUNCHDAY_STATE_DIR=NOWHERE, TMPDIR="/proc")
    assert kernel_cache.configure() is None
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in kernel_cache.warning()
    kernel_cache.was_said()
    assert kernel_cache.warning() == ""
    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", kernel_cache.LOCATORS[-1])
    compiled = njit(cache=True)(lambda number: number + 1)
    assert compiled(1) == 2
    assert kernel_cache.saves_lost() == 0


def test_a_named_folder_that_cannot_be_written_is_replaced_with_a_line_that_names_both(
    pod: Pod, tmp_path: Path
) -> None:
    pod(HOME=str(tmp_path), NUMBA_CACHE_DIR=NOWHERE)
    found = kernel_cache.configure()
    assert str(found) in kernel_cache.warning()
    assert NOWHERE in kernel_cache.warning()


def test_an_images_folder_that_can_only_be_read_is_used_where_it_has_these_kernels(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    image.mkdir()
    writable = cache_folder.is_writable
    monkeypatch.setattr(cache_folder, "is_writable", lambda folder: folder != image and writable(folder))
    pod(HOME=str(tmp_path), NUMBA_CACHE_DIR=str(image))
    assert kernel_cache.configure() == tmp_path / ".cache/launchday/kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(image))
    for part in kernel_cache.PART_ENTRIES:
        kernel_cache._mark(str(image), part).touch()
    assert kernel_cache.configure() == image


def test_a_folder_where_everybody_writes_must_be_ours_alone(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod(LAUNCHDAY_STATE_DIR=NOWHERE, TMPDIR=str(tmp_path))
    own = tmp_path / f"launchday-kernels-{os.geteuid()}"
    own.mkdir()
    own.chmod(0o777)
    assert cache_folder.writable_folder("kernels") is None
    own.rmdir()
    own.symlink_to(tmp_path)
    assert cache_folder.writable_folder("kernels") is None
    own.unlink()
    assert cache_folder.writable_folder("kernels") == own
    real = Path.lstat

    def foreign(path: Path) -> Any:
        return SimpleNamespace(st_mode=real(path).st_mode, st_uid=os.geteuid() + 1)

    monkeypatch.setattr(Path, "lstat", foreign)
    assert cache_folder.writable_folder("kernels") is None


def test_a_cache_that_is_full_or_damaged_costs_the_compilation_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel_cache, "_saves_lost", 0)
    assert kernel_locator.MAX_GENERATIONS  # it has mended numba's cache when it was imported
    (tmp_path / "damaged.nbi").write_bytes(b"\x80\x04cut off")
    damaged = caching.IndexDataCacheFile(str(tmp_path), "damaged", "stamp")
    assert damaged.load("key") is None
    damaged.save("key", "machine code")
    assert damaged.load("key") == "machine code"
    (tmp_path / "damaged.1.nbc").write_bytes(b"")
    assert damaged.load("key") is None
    full = caching.IndexDataCacheFile(NOWHERE, "full", "stamp")
    for _ in range(2):
        full.save("key", "machine code")
    assert kernel_cache.saves_lost() == 2
    assert capsys.readouterr().err.count("compiled kernels are not kept") == 1


def test_no_command_needs_a_home_or_a_known_user(tmp_path: Path) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "LAUNCHDAY_STATE_DIR": str(tmp_path / "state"),
    }
    code = "import os; os.getuid = lambda: 54321\nfrom launchday.cli import main\nmain.app(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
