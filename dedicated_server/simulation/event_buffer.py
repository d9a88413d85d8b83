"""What the outside world is told of a match: the kinds of event, and the record that holds one."""

from __future__ import annotations

from typing import Final

import numpy as np

MATCH_STARTED: Final = 1
KILL: Final = 2  # actor killed victim
DEATH: Final = 3  # victim died of the zone, or left
MATCH_ENDED: Final = 4

NOBODY: Final = -1

EVENT_DTYPE: Final = np.dtype(
    [
        ("kind", np.int32),
        ("tick", np.int32),
        ("actor", np.int32),  # entity, NOBODY where there is none
        ("victim", np.int32),
        ("weapon", np.int32),  # row of weapons.WEAPONS, NOBODY where there is none
        ("distance_m", np.float32),
        ("actor_x_m", np.float32),
        ("actor_y_m", np.float32),
        ("victim_x_m", np.float32),
        ("victim_y_m", np.float32),
    ],
    align=True,
)
