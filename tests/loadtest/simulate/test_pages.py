"""The simulator's pages say what was run: the players in force, the unit of money, and who had no match."""

from __future__ import annotations

import html
import re

import pytest

from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.command import adjusted
from loadtest.simulate.pages import charts, sweep_charts
from loadtest.simulate.pages.run_page import render_run
from loadtest.simulate.pages.sweep_page import render_sweep
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult, objectives
from loadtest.simulate.simulator import simulate
from loadtest.simulate.sweep import Sweep, sweep
from loadtest.simulate.variation import parse_variation

SMOKE = load_scenario(SHIPPED / "smoke.yaml")


def with_objectives(scenario: Scenario, **changes: float | None) -> Scenario:
    return scenario.model_copy(update={"objectives": scenario.objectives.model_copy(update=changes)})


def result_of(scenario: Scenario) -> SimulationResult:
    return SimulationResult(simulate(plan(scenario)), scenario.fleet.price_per_server_hour)


def text_of(page: str) -> str:
    """What a reader sees above the scenario to repeat."""
    inside = page[page.index("<main>") : page.index("To repeat it")]
    return html.unescape(re.sub("<[^>]*>", " ", inside))


@pytest.fixture(scope="module")
def swept() -> Sweep:
    scaled = adjusted(SMOKE, SHIPPED, 2.0, None)
    given = [parse_variation("players.count=20,30")]
    return sweep(scaled, [parse_variation("fleet.buffer=1,3")], 1, folder=SHIPPED, given=given, jobs=1)


def test_a_sweep_is_headed_by_the_players_that_it_simulated(swept: Sweep) -> None:
    text = text_of(render_sweep(swept))
    assert "20 to 30 players in virtual time, 1 seed from" in text
    assert f"own words: 2 times the players and servers of: {SMOKE.description}" in text
    assert "100 players simulated" in re.sub(r"\s+", " ", text)  # twice 20, twice 30
    assert "One seed, so no interval" in text


def test_a_sweep_has_a_table_for_each_circumstance_with_its_outcome(swept: Sweep) -> None:
    page = render_sweep(swept)
    text = text_of(page)
    for count in (20, 30):
        assert f"Settings, given players.count {count}" in text
    assert "--given players.count=20,30 --seeds 1" in page
    rows = re.findall(r'<tr role="row" class="best">.*?</tr>', page, re.DOTALL)
    assert len(rows) == 3  # two circumstances, and the decision that holds in both
    assert all('class="outcome"' in row and "cheapest" in row for row in rows)


def test_a_budget_is_a_line_on_the_charts_of_money(swept: Sweep) -> None:
    result = result_of(SMOKE)
    assert len(charts.money(result, None).data) == 1
    line = charts.money(result, 2.5).data[1]
    assert (line.name, {*line.y}) == ("objective: at most 2.5", {2.5})
    asked = Sweep(with_objectives(swept.scenario, cost=2.5), swept.variations, swept.seeds, swept.settings)
    names = {trace.name for trace in sweep_charts.wait_against_money(asked).data}
    assert {"objective: cost 2.5", "objective: 20 s"} <= names


def test_the_page_of_a_run_with_too_few_servers_does_not_praise_the_lucky() -> None:
    changed = SMOKE.model_copy(
        update={
            "fleet": SMOKE.fleet.model_copy(update={"max": 1, "buffer": 1}),
            "behaviours": SMOKE.behaviours.model_copy(update={"patience_s": 3.0}),
        }
    )
    result = result_of(changed)
    gave_up = int(result.wait_censored.sum())
    assert gave_up >= 5
    line = charts.waits(result, 20.0).data[0]
    assert line.y[-1] == pytest.approx(100 * (1 - gave_up / len(result.wait_s)), abs=0.01)
    figures = result.figures() | {"left_out": ["platforms"]}
    asked = objectives(changed.objectives, figures)
    text = text_of(render_run(changed, result, figures, asked))
    assert f"{gave_up} of {len(result.wait_s)} waits ended without a match: they count as not yet." in text
    assert "95 % within" not in text
    assert "≥ 3" in text
    assert "platforms" in text


def test_bands_of_skill_are_those_of_the_true_skill() -> None:
    names = {name for name, _ in result_of(SMOKE).waits_by_skill()}
    assert len(names) > 1  # the matchmaker takes all new players for alike
    [p50, _] = charts.skill_bands(result_of(SMOKE)).data
    assert len({*p50.x}) == len(p50.x)
