"""A storm of kills, and how its cost is reckoned."""

from __future__ import annotations

import numpy as np

from dedicated_server.pinned import Pinned
from dedicated_server.simulation import journal
from dedicated_server.simulation import world as w
from dedicated_server.simulation.events import KILL
from loadtest.bench.measured import CALM, EDGE, ROUGH
from loadtest.bench.plan import BLOCK_TICKS, SETTLE_TICKS
from loadtest.bench.storm import strike
from loadtest.bench.tick import cost_of


def test_a_strike_notes_kills_and_hurts_nobody() -> None:
    world = w.new_world(range(5), np.arange(10.0).reshape(2, 5), np.zeros(w.RULES))
    pinned = Pinned(world, w.WORLD_TYPE)
    strike(pinned.address, 3, 4)
    strike(pinned.address, 0, 5)
    noted = journal.drain(world)
    assert noted["kind"].tolist() == [KILL] * 3
    assert noted["actor"].tolist() == [(4 + 7 * kill) % 5 for kill in range(3)]
    assert (noted["victim"] == (noted["actor"] + 1) % 5).all()
    assert (world.status[w.ALIVE] == 1).all()
    assert world.tally[w.EVENTS_LOST] == 0


def ticks(*costs_us: float) -> tuple[np.ndarray, np.ndarray]:
    kind, tick_us = [], []
    for block, cost_us in enumerate(costs_us):
        kind += [EDGE] * SETTLE_TICKS + [ROUGH if block % 2 else CALM] * (BLOCK_TICKS - SETTLE_TICKS)
        tick_us += [9_999.0] * SETTLE_TICKS + [cost_us] * (BLOCK_TICKS - SETTLE_TICKS)
    return np.array(tick_us), np.array(kind)


def test_the_cost_is_that_of_rough_blocks_beside_calm_ones_without_their_edges() -> None:
    assert cost_of(*ticks(100.0, 103.0, 100.0, 103.0, 50.0)) == {"p50": 0.03, "error": 0.0, "blocks": 4}
    assert cost_of(*ticks(100.0))["blocks"] == 0


def test_the_error_is_as_large_as_the_blocks_disagree() -> None:
    noisy = np.random.default_rng(1).normal(100.0, 10.0, 40)
    found = cost_of(*ticks(*noisy))
    assert 0.02 < found["error"] < 0.2
    assert abs(found["p50"]) < 2.0 * found["error"]
