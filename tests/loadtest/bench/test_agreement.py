from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from loadtest.bench import cli
from loadtest.bench.agreement import SCENARIOS, Figures, Flood, compare, line, simulated
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario

REAL = Figures(wait_p50_s=4.0, wait_p95_s=8.0, tickets=200, matches=2)
BUSY = Flood(replace(REAL, wait_p50_s=40.0), "others used 1.2 of 2 cores")


@pytest.fixture(scope="module")
def smoke() -> Scenario:
    return load_scenario(SHIPPED / "smoke.yaml")


def test_a_line_has_the_medians_of_the_floods_and_how_far_the_simulation_is_from_them() -> None:
    floods = [Flood(replace(REAL, wait_p50_s=waited_s)) for waited_s in (3.0, 4.0, 9.0)]
    found = line("tour", floods, replace(REAL, wait_p50_s=5.0, matches=1))
    assert found["flood"] == {"wait_p50_s": 4.0, "wait_p95_s": 8.0, "tickets": 200, "matches": 2}
    assert found["off"] == {"wait_p50_s": 0.25, "wait_p95_s": 0.0, "tickets": 0.0, "matches": -0.5}
    assert found["void"] == ""


def test_a_simulation_that_is_off_is_seen_in_the_last_line(smoke: Scenario) -> None:
    right = simulated(smoke)
    wrong = replace(right, wait_p95_s=2.0 * right.wait_p95_s)
    floods = {"right": Flood(right), "wrong": Flood(wrong)}
    pairs = [(name, smoke.model_copy(update={"name": name})) for name in floods]
    *lines, last = compare(iter(pairs), 3, lambda scenario: floods[scenario.name])
    assert [each["off"]["wait_p95_s"] for each in lines] == [0.0, -0.5]
    assert last == {"bench": "agreement", "scenarios": 2, "off_max": 0.5, "void": 0}


def test_a_flood_that_was_not_alone_is_repeated_once_and_then_void(smoke: Scenario) -> None:
    played = [BUSY, Flood(REAL), Flood(REAL), Flood(REAL)]
    (found, last) = compare(iter([("smoke", smoke)]), 3, lambda _: played.pop(0))
    assert (found["void"], found["flood"]["wait_p50_s"], last["void"]) == ("", 4.0, 0)
    played = [BUSY, BUSY, Flood(REAL)]
    (found, last) = compare(iter([("smoke", smoke)]), 2, lambda _: played.pop(0))
    assert found["void"] == "others used 1.2 of 2 cores"
    assert found["flood"]["wait_p50_s"] == 4.0  # of the one that counts
    assert (last["void"], last["off_max"]) == (1, None)


def test_every_scenario_of_the_comparison_is_there_and_bears_its_name() -> None:
    for name, folder in SCENARIOS.items():
        assert load_scenario(folder / f"{name}.yaml").name == name


def test_a_scenario_that_is_none_is_one_line() -> None:
    result = CliRunner().invoke(cli.app, ["agreement", "--scenario", "tuor"])
    assert result.exit_code == 2
    assert "tuor: the scenarios are tour, thousand" in " ".join(result.output.split())
