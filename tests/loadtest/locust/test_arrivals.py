"""A scenario's players in Locust: shares of workers, who comes when, and what is said of a wrong file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import loadtest.locust
from loadtest.locust.arrivals import share_of
from loadtest.scenario import reader
from loadtest.scenario.population import draw_population

SMOKE = reader.load_scenario(reader.SHIPPED / "smoke.yaml")
LOCUSTFILE = Path(loadtest.locust.__path__[0]) / "locustfile.py"


@pytest.mark.parametrize("of", [1, 2, 3, 50])
def test_the_shares_of_workers_are_disjoint_and_complete_and_keep_parties_together(of: int) -> None:
    players = SMOKE.players.model_copy(update={"parties": {1: 0.4, 3: 0.6}})
    scenario = SMOKE.model_copy(update={"players": players})
    whole = draw_population(scenario)
    shares = [share_of(scenario, index, of) for index in range(of)]
    seeds = np.concatenate([share.behaviour_seed for share in shares])
    assert sorted(seeds) == sorted(whole.behaviour_seed)
    parties = [set(share.party.tolist()) for share in shares]
    assert sum(map(len, parties)) == len(set(whole.party.tolist()))
    assert all((np.diff(share.arrives_s) >= 0).all() for share in shares)


def test_a_wrong_scenario_is_a_line_a_mistake_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\nplayers: {count: 0}\narrivals: {over_s: -1}\n")
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"],
        env={**os.environ, "LAUNCHDAY_SCENARIO": str(file)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml:2: players.count" in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


def test_bins_are_finer_than_a_millisecond() -> None:
    # In a process of its own: Locust replaces parts of the standard library.
    program = (
        "import json; from loadtest.locust.locustfile import bucket; "
        "print(json.dumps([bucket(x) for x in %s]))"
    )
    asked, binned = [0.1234, 7.891, 38.4521, 147.3, 58_760.0], [0.12, 7.89, 38.5, 147.0, 58_800.0]
    done = subprocess.run([sys.executable, "-c", program % asked], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == binned
