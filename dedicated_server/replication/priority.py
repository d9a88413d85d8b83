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

from dedicated_server.compilation import INLINE
from dedicated_server.netcode.rings import (
    CALM_KEYS,
    KEYS,
    LAST_RING,
    OWN_KEY,
    PERIOD_TICKS,
    STALE_TICKS,
    WEIGHT,
)

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
