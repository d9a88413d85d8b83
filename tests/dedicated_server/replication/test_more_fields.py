from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROWS = """
        EntityField("stance", 2, PLAIN, "0 stands, 1 crouches, 2 lies"),
        EntityField("skin", 40, PLAIN, "what it wears"),
    ),
    "flag": ("""


@pytest.mark.timeout(900)  # compiles the tick for a package of its own
def test_two_rows_more_in_the_table_are_all_that_two_fields_more_take(tmp_path: Path) -> None:
    for part in ("launchday", "matchmaker", "meta_service", "rewards", "loadtest", "tests"):
        (tmp_path / part).symlink_to(ROOT / part)
    copy = tmp_path / "dedicated_server"
    shutil.copytree(ROOT / "dedicated_server", copy, ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "protocol" / "entity_table.py"
    text = table.read_text()
    assert text.count('\n    ),\n    "flag": (') == 1
    table.write_text(text.replace('\n    ),\n    "flag": (', ROWS))

    ran = subprocess.run(
        [sys.executable, "-m", "tests.dedicated_server.replication.more_fields"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *seen, last = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]

    assert len(seen) >= 3
    for entity in seen:
        assert entity["words"] == 2
        assert entity["tick"] > 200
        assert entity["saw"] == entity["was"]
    assert last["drops"]["malformed"] == last["drops"]["unknown_baseline"] == 0
