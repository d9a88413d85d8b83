"""Foresight reads ahead and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dedicated_server.native.memory import StateHandle
from dedicated_server.protocol import fields
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.stages import MAX_PREFETCH_PLAYERS, TICK_TYPE, TickArrays, prefetch_tick
from dedicated_server.transport.memory import MemoryTransport
from tests.dedicated_server.replication.lossy import LossyTable
from tests.dedicated_server.tick.swarm import FLEET_KEY, Intent, config
from tests.dedicated_server.tick.test_stages import arrays_of_a_match


def bytes_of(arrays: TickArrays) -> list[bytes]:
    flat: list[np.ndarray[Any, Any]] = []
    for group in arrays:
        flat += list(group) if isinstance(group, tuple) else [group]
    return [array.tobytes() for array in flat]


def test_nothing_is_changed_by_looking_ahead() -> None:
    arrays = arrays_of_a_match()
    handle = StateHandle(arrays, TICK_TYPE)
    before = bytes_of(arrays)
    for tick in (1, 2, 63, 64, 1_000_000):
        prefetch_tick(handle.address, tick)
    assert bytes_of(arrays) == before


def test_a_match_is_the_same_bit_for_bit_whether_its_ticks_were_prepared_or_not() -> None:
    def play(prepared: bool) -> list[bytes]:
        table = LossyTable(6, run_and_shoot, seed=3, spawn_radius_m=30.0)
        for _ in range(200):
            table.play(1)
            if prepared:
                table.engine.prefetch()
        return [*(array.tobytes() for array in table.engine.match.world), table.state.seen.tobytes()]

    assert play(True) == play(False)


def run_and_shoot(_table: LossyTable, client: int) -> Intent:
    return 100, client, 900 * client, fields.BUTTON_FIRE


@pytest.mark.parametrize("players", [1, MAX_PREFETCH_PLAYERS + 1])
def test_a_match_of_any_size_can_be_prepared_before_anybody_has_come(players: int) -> None:
    engine = Engine(
        replace(config(2), players=config(players).players),
        FLEET_KEY,
        MemoryTransport(),
        secret=bytes(SECRET_BYTES),
    )
    engine.prefetch()
    engine.tick(1_800_000_000.0)
    engine.prefetch()
    assert np.count_nonzero(engine.joined) == 0
