"""Locust floods a running backend: whole matches over UDP and shoppers over HTTP, on two workers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from launchday.engines import free_port
from tests.end_to_end.conftest import Start, family
from tests.end_to_end.test_run import await_output

LOCUSTFILE = Path(__file__).parents[2] / "loadtest" / "locust" / "locustfile.py"
SHORT_MATCHES = {
    "LAUNCHDAY_MATCH_PLAYERS": "6",
    "LAUNCHDAY_MATCH_FILL_S": "2",
    "LAUNCHDAY_MATCH_S": "5",
}


@pytest.mark.timeout(420)
def test_players_and_shoppers_of_two_workers_end_without_a_failure(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    environment.update(SHORT_MATCHES)
    backend = start("up")
    await_output(backend, "the backend is up")
    for service in ("META", "MATCHMAKER"):
        environment[f"LAUNCHDAY_{service}_URL"] = (
            f"http://127.0.0.1:{environment[f'LAUNCHDAY_{service}_PORT']}"
        )
    port = str(free_port())  # workers call the port that the master is bound to
    arguments = [
        "--headless",
        "-u",
        "22",
        "-r",
        "22",
        "-t",
        "25s",  # a worker needs some seconds to start on a busy machine, a match needs 7 or more
        "--processes",
        "2",
        "--only-summary",
        "--csv",
        "figures",
    ]
    arguments += ["--master-port", port, "--master-bind-port", port]
    ran = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 0, output
    rows = {
        line.split(",")[1]: line.split(",")
        for line in (tmp_path / "figures_stats.csv").read_text().splitlines()
    }
    for name in ("log in and queue", "wait for a match", "connect", "round trip", "match", "/v1/profile"):
        assert int(rows[name][2]) > 0, (name, output)
    assert rows["Aggregated"][3] == "0", output
    fine = re.search(r"^round trip( +\d+\.\d\d)+$", output, re.MULTILINE)
    assert fine is not None, output
    everyone = family(backend)
    backend.send_signal(signal.SIGINT)
    backend.wait()
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
