"""Interest bands and the order of importance: how often an entity is sent, and who goes before whom.

The bands are rings of distance around a client; each has a period and a weight. The classic priority
accumulator grows by the weight per tick and falls to zero when the entity is sent: it is *weight × ticks
waited*. An entity that has waited ``STALE_TICKS`` outranks all that have not, and of those the one that has
waited longer goes first, so staleness is bounded whatever the budget. Since priority depends on ring and
ticks waited alone, the order of all (ticks waited, ring) is a table, and nothing is sorted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

# Outer radius of each ring; what is nearer belongs to the ring before.
OUTER_M: Final[npt.NDArray[np.float64]] = np.array(
    [
        40.0,  # a duel
        100.0,  # in sight and within easy range
        200.0,
        400.0,  # beyond it, combat hints only
    ]
)
PERIOD_TICKS: Final[npt.NDArray[np.int64]] = np.array([1, 1, 3, 6])  # at most one update in so many ticks
WEIGHT: Final[npt.NDArray[np.int64]] = np.array([4, 2, 1, 1])  # priority gained per tick of waiting
RINGS: Final = len(OUTER_M)
LAST_RING: Final = RINGS - 1
STILL_RING: Final = (
    2  # of items and obstacles, however near: they stand still, and a change may be 50 ms late
)
HORIZON_M: Final = float(OUTER_M[-1])
# An entity leaves a view only beyond 440 m: walking along the edge does not make it flicker.
LEAVE_FACTOR: Final = 1.1

# Views and rings are renewed so often: nobody runs more than 0.4 m in that time.
LOOK_TICKS: Final = 4
# 150 ms at 60 Hz: an entity that waited longer goes before all that did not, whatever the budget.
STALE_TICKS: Final = 9
NEWCOMER_TICKS: Final = 6  # an entity that comes into view counts as having waited so long

MAX_SELECTED: Final = 256  # entities in one list; about 110 fit 256 kbit/s
MAX_EXTRA: Final = 64  # entities in a list, beyond a quarter more than fitted last time
MAX_LEAVING: Final = 63  # entities reported as leaving in one tick; more wait for the next renewal
BYTES_PER_RECORD: Final = 5  # of a stale crowd, when the budget has to give way to the bound on staleness
OVERHEAD_BYTES: Final = 100  # sealing, acknowledgement and match state around the records


def order_of_the_calm() -> npt.NDArray[np.int64]:
    """(ticks waited, ring) of all that are due and not stale, most important first: int64[C, 2]."""
    due = [(waited, ring) for ring in range(RINGS) for waited in range(int(PERIOD_TICKS[ring]), STALE_TICKS)]
    due.sort(key=lambda group: -int(WEIGHT[group[1]]) * group[0])
    return np.array(due, np.int64)
