"""What real floods came to, recorded by ``launchday bench agreement``, against the simulator as it is now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.agreement import (
    TOLERANCE,
    Comparison,
    RunFigures,
    curve_difference,
    in_use,
    shortened,
    simulated_figures,
)

RECORDED = json.loads((Path(__file__).parent / "recorded_floods.json").read_text())


def share_off(real: Any, simulated: Any) -> dict[str, float]:
    """How far each figure is from the real one, by dotted name."""
    if isinstance(real, dict):
        return {
            f"{name}.{rest}" if rest else name: off
            for name in real
            for rest, off in share_off(real[name], simulated[name]).items()
        }
    return {"": abs(simulated / real - 1.0)}


@pytest.mark.parametrize("flood", RECORDED, ids=lambda flood: f"{flood['seconds']} s")
def test_the_simulator_says_what_a_real_flood_said(flood: dict[str, Any]) -> None:
    scenario = shortened(load_scenario(SHIPPED / "rehearsal.yaml"), flood["seconds"])
    assert scenario.players.count == flood["players"]
    off = share_off(flood["real"], simulated_figures(scenario).figures())
    assert {name: share for name, share in off.items() if share > TOLERANCE} == {}
    assert len(off) == 9


def test_servers_in_use_are_counted_from_the_first_moment_to_the_last() -> None:
    assert in_use(np.array([0.0, 1.5]), np.array([2.0, 4.0])).tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_a_comparison_notices_longer_waits() -> None:
    side = RunFigures(np.full(100, 10.0), np.ones(60), np.full(2, 7.0), np.full(100, 50.0), 2)
    slower = RunFigures(np.full(100, 12.0), np.ones(60), np.full(2, 7.0), np.full(100, 50.0), 2)
    scenario = load_scenario(SHIPPED / "rehearsal.yaml")
    assert Comparison(scenario, side, side).agrees
    assert not Comparison(scenario, side, slower).agrees
    assert curve_difference(side.in_use, slower.in_use) == 0.0
