"""Decisions and circumstances of a sweep."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from launchday.cli import inputs, main
from launchday.terminal import Terminal
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.estimates.replications import replicate
from loadtest.simulate.output.progress import RunsProgress
from loadtest.simulate.output.terminal import show_sweep, wait_line
from loadtest.simulate.pages.seeds_page import render_seeds
from loadtest.simulate.result import Objective
from loadtest.simulate.sweep import Setting, Sweep, sweep
from loadtest.simulate.variation import VariationError, parse_variation

SMOKE = load_scenario(SHIPPED / "smoke.yaml")
BUFFER = parse_variation("fleet.buffer=1,2,3")
STARTUP = parse_variation("fleet.startup_s=5,30", "--given")


def setting(buffer: int, startup_s: int, cost: float, met: bool) -> Setting:
    measured = 1.0 if met else 9.0
    run: dict[str, Any] = {
        "wait_s": {"p50": 1.0, "p95": measured, "p99": 2.0},
        "abandoned_share": 1e-6,
        "lost": 0,
        "servers_peak": 4,
        "idle_share": 0.5,
        "cost": cost,
    }
    given = {"fleet.startup_s": startup_s}
    judged = (Objective("wait p95", "s", 5.0, measured),)
    return Setting({"fleet.buffer": buffer} | given, (run, run), (judged, judged), given)


def planted(*settings: Setting) -> Sweep:
    return Sweep(SMOKE, (BUFFER,), (1, 2), settings, (STARTUP,))


NEEDED = planted(
    setting(1, 5, 0.001, True),
    setting(2, 5, 0.002, True),
    setting(3, 5, 0.003, True),
    setting(1, 30, 0.002, False),
    setting(2, 30, 0.006, True),
    setting(3, 30, 0.004, True),
)


def test_the_cheapest_is_named_for_each_circumstance_and_one_holds_in_all() -> None:
    best = [NEEDED.cheapest_in(each) for each in NEEDED.circumstances]
    assert [one and one.decision for one in best] == [{"fleet.buffer": 1}, {"fleet.buffer": 3}]
    robust = NEEDED.robust
    assert robust is not None
    assert robust.values == {"fleet.buffer": 3}  # 0.0035 on average, against 0.004
    assert robust.cost.mean == pytest.approx(0.0035)
    assert NEEDED.passed
    assert NEEDED.cheapest is None
    assert "holds in all 2 circumstances" in NEEDED.sentence
    assert NEEDED.sentences[1].startswith("Given fleet.startup_s 30: fleet.buffer 3 is the cheapest")


def test_a_decision_that_fails_in_one_circumstance_does_not_hold() -> None:
    found = planted(
        setting(1, 5, 0.1, True),
        setting(2, 5, 0.1, False),
        setting(3, 5, 0.2, False),
        setting(1, 30, 0.1, False),
        setting(2, 30, 0.1, True),
        setting(3, 30, 0.2, True),
    )
    assert found.robust is None
    assert not found.passed
    assert "No decision meets every objective with every seed in all 2 circumstances" in found.sentence


def test_the_table_is_by_circumstance_and_small_costs_have_digits() -> None:
    written = io.StringIO()
    show_sweep(NEEDED, Terminal(file=written, width=200))
    text = written.getvalue()
    assert "0.0 ± 0" not in text
    assert "0.001" in text
    assert "0.0001 %" in text
    assert text.index("cheapest given fleet.startup_s 5") < text.index("cheapest given fleet.startup_s 30")
    assert "all, cheapest" in text
    assert "1 of 2" in text


def test_given_values_are_simulated_with_every_decision_and_written_apart() -> None:
    found = sweep(
        SMOKE,
        [parse_variation("fleet.buffer=2,3")],
        2,
        folder=SHIPPED,
        given=[parse_variation("players.count=20,40", "--given")],
    )
    written = found.as_json()
    assert written["varied"] == {"fleet.buffer": [2, 3]}
    assert written["given"] == {"players.count": [20, 40]}
    assert [each["given"] for each in written["settings"]] == [{"players.count": n} for n in (20, 20, 40, 40)]
    assert [run["players"] for one in found.settings for run in one.runs] == [20] * 4 + [40] * 4
    assert written["robust"]["circumstances"] == 2
    assert [each["given"] for each in written["cheapest_given"]] == [
        {"players.count": 20},
        {"players.count": 40},
    ]
    assert sweep(SMOKE, [BUFFER], 2, folder=SHIPPED).cheapest is not None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("fleet.buffer=1", "decided or given"),
        ("fleet.buffer.west-europe=1", "decided or given"),
        ("players.count", "--given players.count: name a value"),
        ("players.cout=1", "players has no cout"),
    ],
)
def test_a_wrong_circumstance_is_one_line(given: str, says: str) -> None:
    done = CliRunner().invoke(main.app, ["sweep", "smoke", "--vary", "fleet.buffer=1", "--given", given])
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)


def test_two_circumstances_of_one_name_are_refused() -> None:
    with pytest.raises(VariationError, match=r"--given names fleet\.startup_s twice"):
        sweep(SMOKE, [BUFFER], 1, folder=SHIPPED, given=[STARTUP, STARTUP])


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    written, now_s = io.StringIO(), 0.0
    with RunsProgress(Terminal(file=written), clock=lambda: now_s) as progress:
        progress.planned("20 simulations")
        for done in range(1, 21):
            now_s += 2.0
            progress.ran(done, 20)
    assert written.getvalue().splitlines()[:3] == ["20 simulations", "simulated 3 of 20", "simulated 6 of 20"]
    assert len(written.getvalue().splitlines()) < 9


def test_who_gave_up_is_in_the_line_of_waits_and_fails_the_run(tmp_path: Path) -> None:
    giveup = """
name: giveup
players: {count: 60, locations: {west-europe: 1.0}}
arrivals: {over_s: 5}
modes: {battle_royale: {players: 20, min_players: 20, fill_s: 600, duration_s: 60}}
fleet: {regions: [west-europe], buffer: 1, max: 1}
behaviours: {patience_s: 20}
objectives: {wait_p95_s: 25}
"""
    (tmp_path / "giveup.yaml").write_text(giveup)
    done = CliRunner().invoke(main.app, ["simulate", str(tmp_path / "giveup.yaml")])
    assert done.exit_code == 99
    assert "p95 ≥ 20 s" in done.stdout
    assert "40 gave up and count with what they waited" in done.stdout
    assert "gave up waiting" in done.stdout


def test_the_line_of_waits_says_who_never_queued() -> None:
    figures = {
        "wait_s": {"p50": 1.0, "p95": 2.0, "p99": 2.0, "max": None},
        "wait_at_least": ["p95"],
        "abandoned": 0,
        "waiting": 3,
        "never_queued": 2,
    }
    assert wait_line(figures) == (
        "p50 1 s  p95 ≥ 2 s  p99 2 s  max –; 3 still waited at the end and count likewise; 2 never queued"
    )


def test_the_page_of_several_seeds_is_the_same_twice() -> None:
    page = render_seeds(replicate(SMOKE, 2))
    assert page == render_seeds(replicate(SMOKE, 2))
    assert "Objectives met with every seed" in page
