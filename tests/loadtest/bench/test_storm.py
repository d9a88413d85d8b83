"""A storm of kills, and how its cost is reckoned."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.pinned import Pinned
from dedicated_server.simulation import journal
from dedicated_server.simulation import world as w
from dedicated_server.simulation.events import KILL
from loadtest.bench.measured import CALM, EDGE, ROUGH
from loadtest.bench.plan import BLOCK_TICKS, SETTLE_TICKS
from loadtest.bench.storm import strike
from loadtest.bench.tick import block_changes


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


def test_the_cost_is_that_of_a_block_beside_its_calm_neighbour_without_its_edges() -> None:
    kind, tick_us = [], []
    for block, cost_us in enumerate(
        (100.0, 110.0, 200.0, 220.0, 50.0)
    ):  # the machine slows down meanwhile; the last has no partner
        kind += [EDGE] * SETTLE_TICKS + [ROUGH if block % 2 else CALM] * (BLOCK_TICKS - SETTLE_TICKS)
        tick_us += [9_999.0] * SETTLE_TICKS + [cost_us] * (BLOCK_TICKS - SETTLE_TICKS)
    assert block_changes(np.array(tick_us), np.array(kind)) == pytest.approx([0.1, 0.1])
