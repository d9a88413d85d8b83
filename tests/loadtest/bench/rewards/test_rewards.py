"""The benchmark of rewards counts right; how fast is for ``launchday bench`` to say."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(120)
def test_the_benchmark_applies_every_event_once_and_prints_one_object() -> None:
    argv = [sys.executable, "-m", "loadtest.bench.cli", "rewards"]
    done = subprocess.run(
        [*argv, "--events", "1000", "--rounds", "1", "--json"], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["applied"], found["duplicates"], found["lost"]) == (1016, 51, 0)
    assert found["events"] == 1067
    assert {"events_per_s", "raw_consume_per_s", "raw_store_per_s", "ratio", "broker"} <= found.keys()
