from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dedicated_server.protocol.grown_peer import grown_package

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(600)  # the grown package's kernels are compiled
def test_two_rows_more_in_the_table_are_all_that_two_fields_more_take(tmp_path: Path) -> None:
    for part in ("launchday", "matchmaker", "meta_service", "rewards", "loadtest", "tests"):
        (tmp_path / part).symlink_to(ROOT / part)
    grown_package(tmp_path)  # that of the tests of versions: what they have compiled is compiled

    ran = subprocess.run(
        [sys.executable, "-m", "tests.dedicated_server.replication.more_fields"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *seen, last = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]

    assert len(seen) == 9
    for entity in seen:
        assert entity["words"] == 2
        assert entity["tick"] > 200
        assert entity["saw"] == entity["was"]
    assert last["drops"]["malformed"] == last["drops"]["unknown_baseline"] == 0
