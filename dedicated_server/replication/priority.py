"""Priority: who of those in view goes into this tick's snapshot, and in which order.

The classic priority accumulator grows by a weight per tick and falls to zero when the entity is sent. Kept as the tick of the last
sending, *weight × ticks waited* is the same number, and what is not selected costs no write. Whoever has waited ``STALE_TICKS``
outranks everyone who has not, so staleness is bounded whatever the budget.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE

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
HORIZON_M: Final = float(OUTER_M[-1])
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

MAX_SELECTED: Final = 256  # entities in one list; about 110 fit 256 kbit/s
MAX_EXTRA: Final = 64  # than a quarter above those that fitted the last time: what a list may hold in vain
MAX_LEAVING: Final = 63  # told of leaving in one tick; more wait for the next look
BYTES_PER_RECORD: Final = 5  # of a stale crowd, when the budget has to give way to the bound on staleness
OVERHEAD_BYTES: Final = 100  # sealing, acknowledgement and match state around the records


Ints = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint8]

NOT_DUE: Final = 0


@njit(cache=True, nogil=True, **INLINE)
def compute_priorities(ring: Keys, sent_tick: Ints, tick: int, keys: Keys) -> tuple[int, int]:
    """Write the priority of each place of a view into ``keys``: higher goes first, NOT_DUE until its ring's period has passed.

    Returns how many are due, and how many stale. Place 0, the client itself, is due in every tick, before all others. Without a branch,
    so that the compiler weighs several at once.
    """
    due = stale = 0
    for place in range(len(ring)):
        waited = tick - sent_tick[place]
        weight, period = WEIGHT[LAST_RING], PERIOD_TICKS[LAST_RING]
        for inner in range(LAST_RING):
            weight = WEIGHT[inner] if ring[place] == inner else weight
            period = PERIOD_TICKS[inner] if ring[place] == inner else period
        calm = min(weight * waited, CALM_KEYS - 1)
        late = CALM_KEYS + min(waited - STALE_TICKS, OWN_KEY - CALM_KEYS - 1)
        key = (late if waited >= STALE_TICKS else calm) if waited >= period else NOT_DUE
        keys[place] = key
        due += key != NOT_DUE
        stale += waited >= STALE_TICKS
    due += keys[0] == NOT_DUE
    keys[0] = OWN_KEY
    return due, stale


@njit(cache=True, nogil=True, **INLINE)
def collect_due(keys: Keys, due: int, places: Ints) -> None:
    """List the places that are due, in their order, as many as ``places`` holds; ``due`` is how many there are."""
    if due == len(keys):
        for place in range(min(due, len(places))):
            places[place] = place
        return
    count = 0
    for place in range(len(keys)):
        if count < len(places):
            places[count] = place  # overwritten by the next unless it is due
        count += keys[place] != NOT_DUE


@njit(cache=True, nogil=True, **INLINE)
def sort_by_priority(keys: Keys, starts: Ints, places: Ints) -> None:
    """List the places that are due by falling key, equals in their order, as many as ``places`` holds. A counting sort."""
    starts[:] = 0
    for place in range(len(keys)):
        starts[keys[place]] += 1
    after = 0
    for key in range(KEYS - 1, NOT_DUE, -1):
        members = starts[key]
        starts[key] = after
        after += members
    starts[NOT_DUE] = len(places)
    for place in range(len(keys)):
        at = starts[keys[place]]
        starts[keys[place]] = at + 1
        if at < len(places):
            places[at] = place
