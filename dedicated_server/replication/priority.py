"""Interest bands and the priority accumulator: how often an entity is sent, and in which order.

The bands are rings of distance around a client; each has a period and a weight. The classic priority
accumulator grows by the weight per tick and falls to zero when the entity is sent. Kept as the tick of the
last sending, *weight × ticks waited* is the same number, and an entity that is not selected costs no write.
An entity that has waited ``STALE_TICKS`` outranks all that have not, so staleness is bounded whatever the
budget.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INLINE

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
LAST_RING: Final = len(OUTER_M) - 1
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

# Priority as a small integer, so that a counting sort puts a client's list in order in one pass.
CALM_KEYS: Final = 64  # weight × ticks waited, capped
KEYS: Final = 128  # then those beyond STALE_TICKS, by how far; the last is the player's own entity
OWN_KEY: Final = KEYS - 1

MAX_SELECTED: Final = 256  # entities in one list; about 110 fit 256 kbit/s
MAX_EXTRA: Final = 64  # entities in a list, beyond a quarter more than fitted last time
MAX_LEAVING: Final = 63  # entities reported as leaving in one tick; more wait for the next renewal
BYTES_PER_RECORD: Final = 5  # of a stale crowd, when the budget has to give way to the bound on staleness
OVERHEAD_BYTES: Final = 100  # sealing, acknowledgement and match state around the records


Ints = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint8]

NOT_DUE: Final = 0


@njit(cache=True, nogil=True, **INLINE)
def compute_priorities(ring: Keys, sent_tick: Ints, tick: int, keys: Keys) -> tuple[int, int]:
    """Write the priority of each place of a view into ``keys``; NOT_DUE until its ring's period has passed.

    ``ring`` (uint8[V]), ``sent_tick`` (int32[V]) and ``keys`` (uint8[V]) are parallel. Returns how many
    places are due, and how many stale. Place 0, the client itself, is due in every tick, before all others.
    There is no branch, so that the compiler computes several priorities at once.
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
    """Write the due places into ``places`` (int32), in view order, as many as it holds.

    ``due`` is how many there are.
    """
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
    """Write the due places into ``places`` (int32) by falling key, equals in view order, as many as it holds.

    A counting sort; ``starts`` (int32[KEYS]) is scratch.
    """
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
