"""Modes with sides, end to end: bots who know their team fight and return, and what they score adds up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Start

pytestmark = pytest.mark.timeout(420)

# Runners fire at nobody, so that some flags come home; fighters see to kills and deaths.
SCENARIO = """
name: sides
seed: 20
players: {count: 26, locations: {west-europe: 1.0}}
arrivals: {curve: constant, over_s: 1}
modes:
  teams_of_five: {share: 0.384615, players: 10, duration_s: 20}
  capture_the_flag: {share: 0.615385, players: 16, duration_s: 45}
fleet: {regions: [west-europe]}
behaviours:
  shares: {runner: 0.6, fighter: 0.3, reconnecting: 0.1}
  own: {runner: {movement: roam, sight_m: 0}}
  rest_s: 0.2
objectives: {tick_p99_ms: null}
"""


def test_two_modes_with_sides_are_played_on_one_backend_and_the_ledger_balances(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "sides.yaml").write_text(SCENARIO)
    report = tmp_path / "run.html"
    process = start("flood", "sides.yaml", "--report", str(report))
    output, _ = process.communicate()
    figures = report.with_suffix(".json")
    assert figures.exists(), output
    run = json.loads(figures.read_text())
    assert run["ledger"]["balanced"], (run["ledger"], output)
    assert (run["players_lost"], run["players_by_state"]["done"]) == (0, 26), output
    lines = {line["name"]: line["entries"] for line in run["ledger"]["lines"]}
    flags, fives = run["modes"]
    assert [each["mode"] for each in (flags, fives)] == ["capture_the_flag", "teams_of_five"]
    for played in (flags, fives):
        assert (played["matches"], played["ended"], sum(played["wins"])) == (1, 1, 1), played
        assert played["kills"] == played["events"].get("kill", 0), played
    assert max(lines["deaths of who saw all"].values()) > 0, lines
    assert sum(fives["scores"]["kills"]) == fives["kills"], fives
    # How many there are in so short a match is chance; that there are some, `bench modes` shows.
    assert sum(flags["scores"]["captures"]) == flags["events"].get("flag_captured", 0), flags
