"""The events of a match: their kinds, and the buffer that ticks append to and that is drained between them.

The buffer is bounded: an event that finds no room is dropped and counted.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import STAGE
from dedicated_server.simulation.world import EVENT_COUNT, EVENTS_LOST, NOBODY, TICK, X_M, Y_M, World

MATCH_STARTED: Final = 1
KILL: Final = 2  # actor killed victim
DEATH: Final = 3  # victim died of the zone, or left unhurt
MATCH_ENDED: Final = 4
PLAYER_CONNECTED: Final = 5  # actor's player, for the first time or again; also before the match starts
PLAYER_LEFT: Final = 6  # actor's player said so, or was kicked
PLAYER_TIMED_OUT: Final = 7  # actor's player, who may come back
MODE_EVENT: Final = 16  # and above: what the mode's hooks said, MODE_EVENT + the place in its card's events


@njit(cache=True, nogil=True, **STAGE)
def emit(world: World, kind: int, actor: int, victim: int, weapon: int, assist: int, value: int) -> None:
    """Append one event with the current positions of actor and victim (NOBODY where there is none).

    ``weapon``: a row of World.weapons, ``assist``: an entity; NOBODY where there is none.

    A full buffer drops the event and counts it in EVENTS_LOST.
    """
    slot = world.counters[EVENT_COUNT]
    if slot >= len(world.events):
        world.counters[EVENTS_LOST] += 1
        return
    world.counters[EVENT_COUNT] = slot + 1
    x_m, y_m = world.body[X_M], world.body[Y_M]
    event = world.events[slot]
    event.kind = kind
    event.tick = world.counters[TICK]
    event.actor = actor
    event.victim = victim
    event.weapon = weapon
    event.assist = assist
    event.value = value
    event.actor_x_m = x_m[actor] if actor >= 0 else 0.0
    event.actor_y_m = y_m[actor] if actor >= 0 else 0.0
    event.victim_x_m = x_m[victim] if victim >= 0 else 0.0
    event.victim_y_m = y_m[victim] if victim >= 0 else 0.0
    event.distance_m = 0.0
    if actor >= 0 and victim >= 0:
        east, north = x_m[victim] - x_m[actor], y_m[victim] - y_m[actor]
        event.distance_m = np.sqrt(east * east + north * north)


@njit(cache=True, nogil=True, **STAGE)
def emit_mode_event(world: World, index: int, actor: int, victim: int, value: int) -> None:
    """Append an event of the mode's own: ``index`` is its place among the events that the card names.

    ``actor``, ``victim``: players' entities, NOBODY where there is none; ``value``: what else it says.
    """
    emit(world, MODE_EVENT + index, actor, victim, NOBODY, NOBODY, value)


def drain(world: World) -> npt.NDArray[Any]:
    """Take all events since the last call.

    Records of EVENT_DTYPE, a copy, in the order in which they happened.
    """
    count = int(world.counters[EVENT_COUNT])
    taken: npt.NDArray[Any] = world.events[:count].copy()
    world.counters[EVENT_COUNT] = 0
    return taken
