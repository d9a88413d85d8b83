"""docs/analyse.md, run: each block in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from launchday.cli import main
from loadtest.rows.columns import TABLES

GUIDE = (Path(__file__).parents[2] / "docs/analyse.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = "fighters.yaml"


@pytest.mark.timeout(300)  # the first to run compiles the kernels
def test_every_block_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [(match[1], match[2]) for match in BLOCK.finditer(GUIDE)]
    assert [kind for kind, _ in blocks].count("python") >= 8
    [file] = [text for kind, text in blocks if kind == "yaml"]
    (tmp_path / FILE).write_text(file)
    names: dict[str, Any] = {}
    for kind, text in blocks:
        if kind == "sh":
            [line] = text.splitlines()
            done = CliRunner().invoke(main.app, shlex.split(line)[1:])
            assert done.exit_code in (0, 99), done.output
        elif kind == "python":
            exec(text, names)
    printed = capsys.readouterr().out
    assert "without_a_match" in printed
    assert "fighters" in printed
    assert len(names["curve"]) == 4
    assert len(names["seeds"]["runs"]) == 5


def test_the_guide_has_every_column_with_its_meaning() -> None:
    for columns in TABLES.values():
        for column in columns:
            assert re.search(
                rf"^\| `{column.name}` \| \S+ \| {re.escape(column.meaning)} \|$", GUIDE, re.MULTILINE
            )
