"""What a bot's player looks at: the own body and one enemy, out of all that the client was told.

A game draws everybody in view in every frame. A bot aims at one, so only that one is interpolated, as the protocol's own view does it,
and only its records are kept: to show a hundred took a thousand bots 0.2 cores, and to keep the records of all of them about as much
again. Clock and prediction are the protocol's; records of an enemy are kept from when the bot first looks, and until they reach back
to the time that is shown, the oldest stands for it. The first shot comes a quarter of a second later, when they do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.protocol.client.clock import CLOCK, clock_advance, clock_note, new_clocks
from dedicated_server.protocol.client.interpolation import (
    Interpolation,
    keep_record,
    new_interpolation,
    record_at,
)
from dedicated_server.protocol.client.prediction import (
    Movement,
    Prediction,
    forget_prediction,
    new_prediction,
    reconcile,
)
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.client.view import own_record

NO_TARGET = -1


class Perception(NamedTuple):
    """The eyes of C clients.

    Attributes:
        clocks: client_clock.CLOCK[C].
        prediction: of the own bodies.
        kept: records of the one enemy that each looks at; its entities are one.
        enemy: int32[C], which one that is, or NOBODY.
    """

    clocks: npt.NDArray[np.void]
    prediction: Prediction
    target_history: Interpolation
    target: npt.NDArray[np.int32]


def new_perception(capacity: int, movement: Movement) -> Perception:
    """Allocate for so many clients."""
    return Perception(
        new_clocks(capacity),
        new_prediction(capacity, movement),
        new_interpolation(capacity, 1),
        np.full(capacity, NO_TARGET, np.int32),
    )


def forget_perception(eyes: Perception, index: int) -> None:
    """Make a client's eyes as they were before the first snapshot."""
    eyes.clocks[index] = np.zeros((), CLOCK)
    forget_prediction(eyes.prediction, index)
    eyes.target_history.held[index] = 0
    eyes.target[index] = NO_TARGET


@njit(cache=True, nogil=True, **STAGE)
def perceive_snapshot(eyes: Perception, wire: ClientState, index: int, now_s: float) -> None:
    """Take in the snapshot that ``client_receive`` has just decoded."""
    tick = wire.sessions[index].snapshot_tick
    clock_note(eyes.clocks, index, tick, now_s)
    reconcile(eyes.prediction, wire, index)
    enemy = eyes.target[index]
    if enemy >= 0:
        seen_tick = wire.seen_tick[index, enemy]
        if seen_tick == 0:
            eyes.target_history.held[index, 0] = 0
        elif seen_tick == tick:
            keep_record(eyes.target_history, index, 0, tick, wire.seen[index, enemy])


@njit(cache=True, nogil=True, **STAGE)
def track_target(eyes: Perception, wire: ClientState, index: int, enemy: int) -> None:
    """Look at an entity, or at NOBODY; nothing changes where the eyes are on it already."""
    if enemy == eyes.target[index]:
        return
    eyes.target[index] = enemy
    eyes.target_history.held[index, 0] = 0
    if enemy >= 0 and wire.seen_tick[index, enemy] != 0:
        keep_record(eyes.target_history, index, 0, wire.seen_tick[index, enemy], wire.seen[index, enemy])


@njit(cache=True, nogil=True, **STAGE)
def perceive_frame(eyes: Perception, wire: ClientState, index: int, now_s: float) -> tuple[float, int]:
    """Show a frame: the server tick that it shows, and the own body where it is predicted, 0 while it is not in view."""
    tick = clock_advance(eyes.clocks, index, now_s)
    own = wire.sessions[index].own_entity
    if wire.seen_tick[index, own] == 0:
        return tick, 0
    return tick, own_record(eyes.prediction, wire, index, wire.seen[index, own])


@njit(cache=True, nogil=True, **STAGE)
def target_record(eyes: Perception, index: int, tick: float) -> int:
    """The enemy's record as shown at ``tick``; 0 when there is none."""
    kept = eyes.target_history
    return record_at(
        kept.tick[index, 0], kept.record[index, 0], kept.newest[index, 0], kept.held[index, 0], tick
    )
