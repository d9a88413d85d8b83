"""The tick's figures are judged by the processor that it ran on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dedicated_server.protocol import datagrams
from loadtest.bench.harness.processor import Processor
from loadtest.bench.harness.run_config import CLUSTER, MAP, ClientFigures, Layout, RunConfig, ServerFigures
from loadtest.bench.tick import tick

SMALL, LARGE = Processor("small caches", 512), Processor("large caches", 2_048)


def served(tick_us: float, floor_us: float) -> ServerFigures:
    """Figures of a hundred ticks that all took as long."""
    empty: dict[str, Any] = dict.fromkeys(ServerFigures.__dataclass_fields__, 0)
    return replace(
        ServerFigures(**empty),
        tick_us=[tick_us] * 100,
        floor_us=[floor_us] * 100,
        floor_receive_us=[floor_us / 5] * 100,
        late_us=[1.0] * 100,
        block_kind=np.zeros(100, int).tolist(),
        floor_datagrams=(1, 1),
        datagrams=(1, 1),
        counters=dict.fromkeys(datagrams.COUNTERS, 1),
        dropped={},
    )


def figures(
    monkeypatch: pytest.MonkeyPatch, core: Processor, layout: Layout, ratio: float, players: int = 100
) -> dict[str, Any]:
    monkeypatch.setattr(tick, "processor", lambda _core: core)
    empty: dict[str, Any] = dict.fromkeys(ClientFigures.__dataclass_fields__, 0)
    clients = replace(ClientFigures(**empty), kbit=[1.0], dropped={})
    return tick.describe(RunConfig(players, layout, 1.0), served(400.0 * ratio, 400.0), clients)


@pytest.mark.parametrize(
    ("core", "layout", "goal"),
    [(SMALL, MAP, 1.30), (SMALL, CLUSTER, 1.45), (LARGE, MAP, 1.15), (LARGE, CLUSTER, 1.35)],
)
def test_a_tick_that_is_longer_than_its_goal_is_noticed(
    monkeypatch: pytest.MonkeyPatch, core: Processor, layout: Layout, goal: float
) -> None:
    fine = figures(monkeypatch, core, layout, goal - 0.01)
    assert (fine["processor"], fine["l2_kib"], fine["goal"]) == (core.name, core.l2_kib, goal)
    assert fine["good"] is True
    assert figures(monkeypatch, core, layout, goal + 0.01)["good"] is False


def test_a_match_without_a_goal_and_one_that_was_not_measured_are_not_called_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert figures(monkeypatch, SMALL, MAP, 1.1, players=400)["good"] is None
    assert figures(monkeypatch, SMALL, MAP, 0.0)["good"] is False
