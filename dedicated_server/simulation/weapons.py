"""The weapons, as one table: a column a property, a row a weapon."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

RIFLE: Final = 0
PISTOL: Final = 1
NAMES: Final = ("rifle", "pistol")

DAMAGE_POINTS: Final = 0  # health points a hit takes
INTERVAL_TICKS: Final = 1  # between two shots, at 60 ticks a second
RANGE_M: Final = 2

WEAPONS: Final[npt.NDArray[np.float64]] = np.array(
    [
        # damage, interval, range
        [10.0, 8.0, 80.0],
        [8.0, 12.0, 40.0],
    ]
)
