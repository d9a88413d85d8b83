"""How often whom: the rings of interest as one table, and the numbers that turn waiting into priority."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

# A ring reaches so far; who is nearer belongs to the ring before.
OUTER_M: Final[npt.NDArray[np.float64]] = np.array(
    [
        40.0,  # a duel
        100.0,  # in sight and within easy range
        200.0,
        400.0,  # beyond it, hints only
    ]
)
PERIOD_TICKS: Final[npt.NDArray[np.int64]] = np.array([1, 1, 3, 6])  # at most one update in so many ticks
WEIGHT: Final[npt.NDArray[np.int64]] = np.array([4, 2, 1, 1])  # priority gained per tick of waiting
LAST_RING: Final = len(OUTER_M) - 1
HORIZON_M: Final = 400.0
LEAVE_FACTOR: Final = (
    1.1  # who is in view leaves it only beyond 440 m: walking along the edge flickers nothing
)

LOOK_TICKS: Final = (
    4  # who is in view, and in which ring, is decided anew so often: nobody runs more than 0.4 m in that time
)
STALE_TICKS: Final = (
    9  # 150 ms at 60 Hz: beyond it an entity goes before all that are not, whatever the budget
)
NEWCOMER_TICKS: Final = 6  # an entity that comes into view counts as having waited so long

# Priority as a small integer, so that a counting sort puts a client's list in order in one pass.
CALM_KEYS: Final = 64  # weight × ticks waited, capped
KEYS: Final = 128  # then those beyond STALE_TICKS, by how far; the last is the player's own entity
OWN_KEY: Final = KEYS - 1

MOST_SELECTED: Final = 256  # entities in one list; about 110 fit 256 kbit/s
MOST_MORE: Final = 64  # than a quarter above those that fitted the last time: what a list may hold in vain
MOST_LEAVING: Final = 63  # told of leaving in one tick; more wait for the next look
MOST_BYTES: Final = 1_200  # of a datagram
BYTES_PER_RECORD: Final = 5  # of a stale crowd, when the budget has to give way to the bound on staleness
HEADER_BYTES: Final = 100  # sealing, acknowledgement and match state around the records
