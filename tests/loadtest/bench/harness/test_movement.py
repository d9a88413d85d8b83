"""How players of a benchmark move."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dedicated_server.protocol.fields import BUTTON_FIRE
from loadtest.bench.harness.movement import BURST_S, FULL_SPEED, REST_S, move, new_walkers

PERIOD_S = 1.0 / 60.0
STEP_M = 6.0 * PERIOD_S


def played(seed: int, half_m: float, seconds: float) -> list[tuple[float, float, int, int]]:
    """Where one walker was in each frame, where it looked, and whether it fired."""
    walkers = new_walkers(1, np.random.default_rng(seed))
    streams = np.array([seed], np.uint64)
    x_m = y_m = 0.0
    track = []
    for frame in range(round(seconds / PERIOD_S)):
        move_x, move_y, yaw, buttons = move(walkers, streams, 0, x_m, y_m, half_m, frame * PERIOD_S, PERIOD_S)
        assert math.hypot(move_x, move_y) == pytest.approx(FULL_SPEED, abs=1.0)
        x_m += STEP_M * move_x / FULL_SPEED
        y_m += STEP_M * move_y / FULL_SPEED
        track.append((x_m, y_m, yaw, buttons))
    return track


@pytest.mark.parametrize("seed", range(5))
def test_a_walker_never_stands_still_and_stays_in_its_square(seed: int) -> None:
    track = played(seed, half_m=10.0, seconds=60.0)

    assert max(max(abs(x_m), abs(y_m)) for x_m, y_m, _, _ in track) < 10.0 + 20 * STEP_M
    assert all(0 <= yaw < 65_536 for _, _, yaw, _ in track)
    assert len({yaw for _, _, yaw, _ in track}) > len(track) / 2


def test_a_walker_fires_in_bursts_with_rests_between_them() -> None:
    track = played(seed=7, half_m=100.0, seconds=600.0)

    firing = sum(buttons == BUTTON_FIRE for _, _, _, buttons in track) / len(track)

    assert firing == pytest.approx(BURST_S / (BURST_S + REST_S), rel=0.2)


def test_the_same_seed_walks_the_same_way() -> None:
    assert played(3, 50.0, 10.0) == played(3, 50.0, 10.0)
    assert played(3, 50.0, 10.0) != played(4, 50.0, 10.0)
