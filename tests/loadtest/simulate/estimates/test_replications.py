from __future__ import annotations

import pytest

from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.estimates import runs
from loadtest.simulate.estimates.replications import replicate
from loadtest.simulate.estimates.runs import Task, duration, run_all, run_figures

SMOKE = load_scenario(SHIPPED / "smoke.yaml")


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[tuple[int, int]] = []

    def planned(self, text: str) -> None:
        self.lines.append(text)

    def ran(self, done: int, of: int) -> None:
        self.done.append((done, of))


def test_each_figure_is_the_mean_of_the_seeds_with_its_interval() -> None:
    found = replicate(SMOKE, 4)
    alone = [run_figures(Task(SMOKE.model_copy(update={"seed": SMOKE.seed + n}))) for n in range(4)]
    assert list(found.runs) == alone
    written = found.as_json()
    p95 = [run["wait_s"]["p95"] for run in alone]
    assert written["wait_s"]["p95"] == pytest.approx(sum(p95) / 4, abs=1e-6)
    assert written["half_width"]["wait_s"]["p95"] > 0.0
    assert len({run["digest"] for run in written["runs"]}) == 4
    assert found.passed


def test_an_objective_must_be_met_by_every_seed() -> None:
    p95 = sorted(run["wait_s"]["p95"] for run in replicate(SMOKE, 4).runs)
    strict = SMOKE.objectives.model_copy(update={"wait_p95_s": (p95[0] + p95[1]) / 2})
    found = replicate(SMOKE.model_copy(update={"objectives": strict}), 4)
    assert (found.met, found.passed) == (1, False)
    [wait] = [one for one in found.objectives if one.name == "wait p95"]
    assert (wait.met, wait.seeds) == (1, 4)


def test_it_is_said_beforehand_how_many_there_are_and_how_long_they_take() -> None:
    heard = Heard()
    larger = SMOKE.model_copy(update={"players": SMOKE.players.model_copy(update={"count": 40})})
    tasks = [Task(SMOKE), Task(larger), Task(SMOKE)]
    figures = run_all(tasks, watcher=heard)
    assert [each["players"] for each in figures] == [20, 40, 20]
    [line] = heard.lines
    assert line.startswith("3 simulations one after the other: one of the largest took")
    assert heard.done == [(1, 3), (2, 3), (3, 3)]


def test_the_largest_runs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []

    def noted(task: Task) -> dict[str, object]:
        order.append(task.scenario.players.count)
        return {}

    monkeypatch.setattr(runs, "run_figures", noted)
    sizes = (20, 60, 30)
    run_all(
        [
            Task(SMOKE.model_copy(update={"players": SMOKE.players.model_copy(update={"count": size})}))
            for size in sizes
        ]
    )
    assert order == [60, 20, 30]


def test_a_duration_is_written_for_people() -> None:
    assert [duration(each) for each in (0.04, 2.53, 12.2, 200.0, 7_500.0)] == [
        "0.04 s",
        "2.5 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
