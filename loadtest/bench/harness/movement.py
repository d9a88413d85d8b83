"""How the players of a benchmark move: always running, always turning a little, a burst of fire every few seconds.

Simpler than the bots of a flood, so that a thousand of them fit a core, but nobody ever stands still: every entity changes in every tick.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol.fields import BUTTON_FIRE
from loadtest.bots.rng import next_exponential, next_normal, next_uniform

FULL_SPEED: Final = 127
YAW_TURN: Final = 65_536
TURN_RADIANS_PER_S: Final = 1.5  # deviation of how fast one turns,
TURN_S: Final = 0.6  # and how long, on average, before one turns otherwise
BURST_S: Final = 0.4  # three shots of the rifle,
REST_S: Final = 5.0  # about so often

WALKER: Final = np.dtype(
    [
        ("yaw_radians", np.float64),
        ("turn_radians_per_s", np.float64),
        ("turn_until_s", np.float64),
        ("fire_until_s", np.float64),
        ("rest_until_s", np.float64),
    ]
)


def new_walkers(count: int, generator: np.random.Generator) -> npt.NDArray[np.void]:
    """Walkers that look anywhere and do not all fire at once."""
    walkers = np.zeros(count, WALKER)
    walkers["yaw_radians"] = generator.uniform(0.0, 2.0 * math.pi, count)
    return walkers


@njit(cache=True, nogil=True)
def move(
    walkers: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    walker: int,
    x_m: float,
    y_m: float,
    half_m: float,
    now_s: float,
    period_s: float,
) -> tuple[int, int, int, int]:
    """What one walker does in a frame of ``period_s`` at (x_m, y_m): move_x, move_y, yaw, buttons.

    Whoever is outside the square of half side ``half_m`` runs back towards its centre.
    """
    mind = walkers[walker]
    if now_s >= mind.turn_until_s:
        mind.turn_until_s = now_s + TURN_S * next_exponential(streams, walker)
        mind.turn_radians_per_s = TURN_RADIANS_PER_S * next_normal(streams, walker)
    mind.yaw_radians += mind.turn_radians_per_s * period_s
    if max(abs(x_m), abs(y_m)) > half_m:
        mind.yaw_radians = math.atan2(-y_m, -x_m) + 0.5 * (next_uniform(streams, walker) - 0.5)
    if now_s >= mind.rest_until_s:
        mind.rest_until_s = now_s + BURST_S + 2.0 * REST_S * next_uniform(streams, walker)
        mind.fire_until_s = now_s + BURST_S
    move_x = round(FULL_SPEED * math.cos(mind.yaw_radians))
    move_y = round(FULL_SPEED * math.sin(mind.yaw_radians))
    yaw = math.floor(mind.yaw_radians * (YAW_TURN / (2.0 * math.pi))) % YAW_TURN
    return move_x, move_y, yaw, BUTTON_FIRE if now_s < mind.fire_until_s else 0
