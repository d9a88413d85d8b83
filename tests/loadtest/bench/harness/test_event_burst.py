"""A storm of kills, and how its cost is reckoned."""

from __future__ import annotations

import numpy as np

from dedicated_server.native.memory import StateHandle
from dedicated_server.simulation import event_buffer
from dedicated_server.simulation import world as w
from dedicated_server.simulation.event_buffer import KILL
from loadtest.bench.harness.event_burst import record_kills
from loadtest.bench.harness.instrumented_engine import BASELINE, DISTURBED, TRANSITION
from loadtest.bench.harness.run_config import EVENT_BLOCK_TICKS, EVENT_SETTLE_TICKS
from loadtest.bench.tick.tick import cost_of


def test_a_strike_notes_kills_and_hurts_nobody() -> None:
    world = w.new_world(range(5), np.arange(10.0).reshape(2, 5), np.zeros(w.RULES))
    pinned = StateHandle(world, w.WORLD_TYPE)
    record_kills(pinned.address, 3, 4)
    record_kills(pinned.address, 0, 5)
    noted = event_buffer.drain(world)
    assert noted["kind"].tolist() == [KILL] * 3
    assert noted["actor"].tolist() == [(4 + 7 * kill) % 5 for kill in range(3)]
    assert (noted["victim"] == (noted["actor"] + 1) % 5).all()
    assert (world.status[w.ALIVE] == 1).all()
    assert world.counters[w.EVENTS_LOST] == 0


def ticks(*costs_us: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blocks of ticks that cost so much each, beside a floor that costs a tenth of the first."""
    kind, tick_us = [], []
    counted = EVENT_BLOCK_TICKS - EVENT_SETTLE_TICKS
    for block, cost_us in enumerate(costs_us):
        kind += [TRANSITION] * EVENT_SETTLE_TICKS + [DISTURBED if block % 2 else BASELINE] * counted
        tick_us += [9_999.0] * EVENT_SETTLE_TICKS + [cost_us] * counted
    return np.array(tick_us), np.full(len(tick_us), 0.1 * costs_us[0]), np.array(kind)


def test_the_cost_is_that_of_rough_blocks_beside_calm_ones_without_their_edges() -> None:
    assert cost_of(*ticks(100.0, 103.0, 100.0, 103.0, 50.0)) == {"share": 0.03, "error": 0.0, "blocks": 4}
    assert cost_of(*ticks(100.0))["blocks"] == 0


def test_what_the_floor_feels_too_is_no_cost_of_events() -> None:
    tick_us, floor_us, kind = ticks(100.0, 103.0, 100.0, 103.0)
    busy = np.where(np.arange(len(kind)) < 2 * EVENT_BLOCK_TICKS, 1.0, 1.7)
    assert cost_of(tick_us * busy, floor_us * busy, kind)["share"] == 0.03


def test_a_pair_of_blocks_in_which_the_machine_was_away_does_not_decide() -> None:
    costs = [100.0, 101.0] * 10
    costs[5] = 900.0
    assert cost_of(*ticks(*costs))["share"] == 0.01


def test_the_error_is_as_large_as_the_blocks_disagree() -> None:
    noisy = np.random.default_rng(1).normal(100.0, 10.0, 40)
    found = cost_of(*ticks(*noisy))
    assert 0.02 < found["error"] < 0.2
    assert abs(found["share"]) < 2.0 * found["error"]
