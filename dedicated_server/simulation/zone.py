"""The shrinking zone: a circle that holds, then closes evenly to nothing, and hurts whoever is outside."""

from __future__ import annotations

from numba import njit

from dedicated_server.compilation import INLINE
from dedicated_server.simulation.world import (
    START_TICK,
    TICK,
    ZONE_CLOSED_TICKS,
    ZONE_HOLD_TICKS,
    ZONE_START_M,
    World,
)


@njit(cache=True, nogil=True, **INLINE)
def zone_radius_m(world: World) -> float:
    """Radius at the world's tick; the starting radius before play has begun."""
    rules = world.rules
    played = float(world.counters[TICK] - world.counters[START_TICK])
    hold, closed = rules[ZONE_HOLD_TICKS], rules[ZONE_CLOSED_TICKS]
    if played <= hold:
        return float(rules[ZONE_START_M])
    if played >= closed:
        return 0.0
    return float(rules[ZONE_START_M] * ((closed - played) / (closed - hold)))


@njit(cache=True, nogil=True, **INLINE)
def zone_closed(world: World) -> bool:
    """Whether nothing is left of it."""
    return bool(world.counters[TICK] - world.counters[START_TICK] >= world.rules[ZONE_CLOSED_TICKS])
