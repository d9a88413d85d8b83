"""The built wheel, installed into an empty environment and used from an empty folder: the repository is not
needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from launchday import __version__
from launchday.kernel_cache import KERNEL_PACKAGES
from tests.wheel import ROOT

PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest")
# `end_to_end` plays whole matches from the wheel; here is what needs no backend.

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(wheel: Path, tmp_path: Path) -> Run:
    """Run a command of the wheel's environment in an empty folder."""

    def run_in_empty_folder(*arguments: str, program: str = "launchday") -> subprocess.CompletedProcess[str]:
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [wheel.with_name(program), *arguments], capture_output=True, text=True, cwd=empty, env=env
        )

    return run_in_empty_folder


def test_it_says_its_version(run: Run) -> None:
    assert run("--version").stdout == f"launchday {__version__}\n"


def test_it_is_the_wheels_code_that_runs_and_not_the_repositorys(run: Run, wheel: Path) -> None:
    places = run(
        "-c", "".join(f"import {name}; print({name}.__file__)\n" for name in PACKAGES), program="python"
    ).stdout.splitlines()
    assert len(places) == len(PACKAGES)
    for place in places:
        assert Path(place).is_relative_to(wheel.parent.parent), place


@pytest.mark.usefixtures("kernels")
def test_the_tour_is_simulated(run: Run) -> None:
    done = run("simulate", "tour", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["players"] == 200


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    """Lua scripts, scenarios, templates, tables: what is not packaged is missed at a user's, and by no other
    test.
    """
    (archive,) = (wheel.parents[2] / "wheels").glob("*.whl")
    packed = set(zipfile.ZipFile(archive).namelist())
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", *PACKAGES], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {name for name in listed if (ROOT / name).exists()} <= packed
    assert set(KERNEL_PACKAGES) <= set(PACKAGES)
