"""Lag compensation: a shot is judged against where its targets were on the shooter's screen.

A player sees others late by half a round trip and the interpolation buffer. Every input says which server tick was shown,
with fraction; targets are put back to that moment, at most ``MAX_REWIND_TICKS``, and never into the future. What is asked
beyond that is clamped and counted: claiming a longer delay buys nothing.
"""

from __future__ import annotations

from typing import Final

from numba import njit

from dedicated_server.compilation import INLINE
from dedicated_server.simulation.world import POSITION_HISTORY_TICKS, TICK, World

MAX_REWIND_TICKS: Final = 15  # 250 ms at 60 Hz: beyond it, victims were long behind their wall


@njit(cache=True, nogil=True, **INLINE)
def clamp_view(world: World, view: float) -> float:
    """The tick a shot is judged at: ``view`` within the last ``MAX_REWIND_TICKS``; NaN counts as the oldest."""
    now = float(world.counters[TICK])
    oldest = max(now - MAX_REWIND_TICKS, 0.0)
    if not view >= oldest:
        return oldest
    return min(view, now)


@njit(cache=True, nogil=True, **INLINE)
def position_at(world: World, entity: int, view: float) -> tuple[float, float]:
    """Where ``entity`` stood at tick ``view``, metres; linear between two ticks, as the client shows it."""
    tick = int(view)
    fraction = view - tick
    row = tick % POSITION_HISTORY_TICKS
    x_m, y_m = world.position_history[row, 0, entity], world.position_history[row, 1, entity]
    if fraction > 0.0:
        following = (tick + 1) % POSITION_HISTORY_TICKS
        x_m += fraction * (world.position_history[following, 0, entity] - x_m)
        y_m += fraction * (world.position_history[following, 1, entity] - y_m)
    return x_m, y_m
