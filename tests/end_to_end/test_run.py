"""The main job, end to end: real servers, real sockets, 20 bots, two matches, and a ledger that balances."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadtest.scenario.reader import SHIPPED
from tests.end_to_end.conftest import Start, family
from tests.optional import needs

# On a fresh machine the first of these tests compiles every kernel.
pytestmark = pytest.mark.timeout(420)


def await_output(process: Any, words: str) -> None:
    """Read the command's output until a line with ``words`` comes; fails when it ends before."""
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return
    pytest.fail(f"ended before it said {words!r}:\n{''.join(seen)}")


def test_twenty_bots_play_two_matches_and_the_ledger_balances(start: Start, tmp_path: Path) -> None:
    figures, report = tmp_path / "figures.json", tmp_path / "run.html"
    process = start("run", "--scenario", "smoke", "--json", str(figures), "--report", str(report))
    output, _ = process.communicate()
    assert figures.exists(), output
    run = json.loads(figures.read_text())
    assert run["ledger"]["balanced"], (run["ledger"], output)
    assert run["players"] == 20
    assert run["players_lost"] == 0
    assert run["matches"] == 2
    assert run["players_by_state"]["done"] == 20
    by_name = {line["name"]: line for line in run["ledger"]["lines"]}
    assert {"players", "matches", "check-outs", "kills"} <= set(by_name)
    assert all(line["difference"] == 0 for line in by_name.values())
    assert {server["region"] for server in run["servers"]} == {"west-europe", "east-us"}
    assert sum(server["kills"] for server in run["servers"]) > 0
    assert all(server["checkouts"] == server["commits"] == 10 for server in run["servers"])
    assert process.returncode == (0 if run["passed"] else 99), output
    assert "http" not in output.replace("http://127.0.0.1", "")
    assert report.stat().st_size > 1_000_000
    assert json.loads(report.with_suffix(".json").read_text()) == run


@needs("tour")
def test_the_tour_is_played_from_the_wheel_and_the_counters_balance(start: Start, tmp_path: Path) -> None:
    """What a newcomer sees after ``pip install``, in an empty folder, with shorter matches."""
    tour = (SHIPPED / "tour.yaml").read_text()
    assert tour.count(" duration_s: 45}") == 1
    (tmp_path / "tour.yaml").write_text(tour.replace(" duration_s: 45}", " duration_s: 12}"))
    process = start("run", "--scenario", "tour.yaml", "--json", str(tmp_path / "figures.json"))
    output, _ = process.communicate()
    assert process.returncode in (0, 99), output  # 99: this machine is too slow for the tour's objectives
    run = json.loads((tmp_path / "figures.json").read_text())
    assert run["players"] == 200
    assert run["ledger"]["balanced"], (run["ledger"], output)
    assert (tmp_path / "report.html").exists()


def test_ctrl_c_in_the_middle_leaves_nothing_behind_and_still_sums_up(start: Start, tmp_path: Path) -> None:
    figures = tmp_path / "run.json"
    process = start("run", "--scenario", "smoke", "--report", str(tmp_path / "run.html"))
    await_output(process, "playing:")
    everyone = family(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == [], output
    assert "Traceback" not in output
    assert process.returncode == 130, output
    assert "ledger" in output
    assert json.loads(figures.read_text())["interrupted"]


@pytest.mark.parametrize(
    ("scenario", "words", "at_least"),
    [([], "cache: Valkey", 1), (["--scenario", "smoke"], "playing:", 10)],
)
def test_nothing_outlives_a_killed_launcher(
    start: Start, scenario: list[str], words: str, at_least: int
) -> None:
    process = start("run", *scenario)
    await_output(process, words)
    everyone = family(process)
    assert len(everyone) >= at_least
    process.kill()
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
