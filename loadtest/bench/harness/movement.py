"""How the players of a benchmark move: they always run, turn a little, and fire a burst every few seconds.

They are simpler than the bots of a flood, so that a thousand of them fit on one core. No player ever stands
still: every entity changes in every tick.
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
TURN_RADIANS_PER_S: Final = 1.5  # standard deviation of the turning rate
TURN_S: Final = 0.6  # mean time until the turning rate changes
BURST_S: Final = 0.4  # three shots of the rifle
REST_S: Final = 5.0  # mean time between two bursts

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
    """Return WALKER[count] that look in random directions."""
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
    """Return what one walker does in a frame: move_x, move_y, yaw, buttons, as an input has them.

    A walker outside its square runs back towards the centre.

    Args:
        walkers: WALKER[N], changed in place; ``walker`` is a row.
        streams: uint64[N], states of random streams, changed in place.
        x_m, y_m: where the walker is.
        half_m: half the side of the square.
        now_s: time in seconds.
        period_s: of a frame.
    """
    state = walkers[walker]
    if now_s >= state.turn_until_s:
        state.turn_until_s = now_s + TURN_S * next_exponential(streams, walker)
        state.turn_radians_per_s = TURN_RADIANS_PER_S * next_normal(streams, walker)
    state.yaw_radians += state.turn_radians_per_s * period_s
    if max(abs(x_m), abs(y_m)) > half_m:
        state.yaw_radians = math.atan2(-y_m, -x_m) + 0.5 * (next_uniform(streams, walker) - 0.5)
    if now_s >= state.rest_until_s:
        state.rest_until_s = now_s + BURST_S + 2.0 * REST_S * next_uniform(streams, walker)
        state.fire_until_s = now_s + BURST_S
    move_x = round(FULL_SPEED * math.cos(state.yaw_radians))
    move_y = round(FULL_SPEED * math.sin(state.yaw_radians))
    yaw = math.floor(state.yaw_radians * (YAW_TURN / (2.0 * math.pi))) % YAW_TURN
    return move_x, move_y, yaw, BUTTON_FIRE if now_s < state.fire_until_s else 0
