"""docs/writing-a-mode.md, followed block by block in an empty folder outside the package."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/writing-a-mode.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+)\n")

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("kernels")]


def follow(folder: Path) -> list[str]:
    """Do what each block says, in ``folder``; returns what the commands printed."""
    printed = []
    for kind, text in BLOCK.findall(GUIDE):
        if kind == "sh":
            [line] = text.splitlines()
            printed.append(run(line, folder))
        else:
            name = FILE.match(text)
            assert name is not None, text
            (folder / name[1]).write_text(text, encoding="utf-8")
    return printed


def run(line: str, folder: Path) -> str:
    words = shlex.split(line)
    command = words.index("launchday")
    set_here = dict(word.split("=", 1) for word in words[:command])
    arguments = words[command + 1 :]
    if arguments[0] == "flood":
        arguments += ["--ports", "free", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "launchday.cli", *arguments],
        cwd=folder,
        env={**os.environ, **set_here, "PYTHONPATH": str(ROOT), "LAUNCHDAY_STATE_DIR": str(folder / "state")},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 99), (line, done.stdout, done.stderr)  # 99: this machine is too slow
    return done.stdout


def test_the_recipe_makes_a_mode_that_is_flooded_and_touches_its_own_folder_alone(tmp_path: Path) -> None:
    before = ours()
    printed = follow(tmp_path)
    of_new, first_test, own_test, series, flood = printed
    assert "is a mode that works" in of_new
    assert "the same to the last bit" in first_test
    assert "the same to the last bit" in own_test
    assert "score: relics" in own_test
    assert "relics" in series
    result = json.loads(flood)
    assert result["ledger"]["balanced"], result["ledger"]
    assert result["players"] == 8
    assert result["matches"] >= 1
    assert ours() == before


def ours() -> str:
    """The state of the repository's files."""
    return subprocess.run(
        ["git", "-C", ROOT, "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout
