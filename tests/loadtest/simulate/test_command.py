from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launchday.cli import inputs, main
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.agreement import Comparison, curve_difference, simulated_figures
from loadtest.simulate.command import figures_of
from loadtest.simulate.pages.agreement_page import render_agreement
from loadtest.simulate.pages.run_page import render_run
from loadtest.simulate.pages.sweep_page import render_sweep
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.sweep import sweep
from loadtest.simulate.variation import parse_variation

SMOKE = load_scenario(SHIPPED / "smoke.yaml")
FETCHES = {"src", "href", "srcset", "poster", "data", "action"}


class Fetched(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in FETCHES]
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_simulate_prints_what_was_asked_and_saves_the_same_bytes_twice(tmp_path: Path) -> None:
    printed = []
    for name in ("one", "two"):
        done = CliRunner().invoke(main.app, ["simulate", "smoke", "--json", "--save", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        printed.append(json.loads(done.stdout))
    wanted = {"players", "virtual_s", "wall_s", "peak_rss_mb", "wait_s"}
    wanted |= {"matched", "abandoned", "servers_peak", "cost"}
    assert wanted <= printed[0].keys()
    assert {"p50", "p95", "p99"} <= printed[0]["wait_s"].keys()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert printed[0]["digest"] == printed[1]["digest"]


def test_a_missed_objective_is_the_exit_code(tmp_path: Path) -> None:
    text = (SHIPPED / "smoke.yaml").read_text().replace("wait_p95_s: 20", "wait_p95_s: 0.001")
    (tmp_path / "hasty.yaml").write_text(text)
    done = CliRunner().invoke(main.app, ["simulate", str(tmp_path / "hasty.yaml")])
    assert done.exit_code == 99
    assert "missed" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sweep", "smoke", "--vary", "fleet.bufer=1"], "fleet has no bufer"),
        (["sweep", "smoke", "--vary", "fleet.buffer=9..1"], "backwards"),
        (["simulate", "smoke", "--save", "/nowhere/at/all"], "cannot write /nowhere/at/all"),
        (["simulate", "no-such-scenario"], "no scenario no-such-scenario"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main.app, arguments)
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_bad_rule_set_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text('{"name": 3}')
    text = (SHIPPED / "smoke.yaml").read_text().replace("players: 10,", "players: 10, rules: rules.json,")
    (tmp_path / "ruled.yaml").write_text(text)
    done = CliRunner().invoke(main.app, ["simulate", str(tmp_path / "ruled.yaml")])
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    assert "rules.json" in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_sweep_finds_the_cheapest_setting_and_is_the_same_however_many_processes() -> None:
    varies = [parse_variation("fleet.buffer=1,3")]
    found = sweep(SMOKE, varies, 2, folder=SHIPPED, jobs=2)
    assert found.cheapest is not None
    assert found.cheapest.values == {"fleet.buffer": 1}
    assert [setting.meets for setting in found.settings] == [True, True]
    assert found.as_json() == sweep(SMOKE, varies, 2, folder=SHIPPED, jobs=1).as_json()
    page = Fetched(render_sweep(found))
    assert page.found == ["data:,"]
    assert {"against", "wait", "cost"} <= set(page.ids)


def test_the_page_of_a_run_needs_nothing_else_and_is_the_same_twice() -> None:
    def page() -> str:
        result = SimulationResult(simulate(plan(SMOKE)), SMOKE.fleet.price_per_server_hour)
        figures = figures_of(SMOKE, result)
        return render_run(SMOKE, result, figures, objectives(SMOKE.objectives, figures))

    text = page()
    assert text == page()
    assert Fetched(text).found == ["data:,"]
    assert "Objectives met" in text
    assert "$" not in text[text.index("<main>") : text.index("</main>")]


def test_a_rehearsal_agrees_with_itself_and_not_with_longer_matches() -> None:
    one = simulated_figures(SMOKE)
    same = Comparison(SMOKE, one, simulated_figures(SMOKE))
    assert same.agrees
    longer = SMOKE.main_mode.model_copy(update={"duration_s": SMOKE.main_mode.duration_s * 1.5})
    other = simulated_figures(SMOKE.model_copy(update={"modes": {SMOKE.main_mode_name: longer}}))
    planted = Comparison(SMOKE, one, other)
    assert not planted.agrees
    assert curve_difference(one.in_use, other.in_use) > 0.15
    assert "The simulation is off" in render_agreement(planted)
