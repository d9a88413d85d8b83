"""What a bot perceives: its own body and one tracked target, out of all that its client knows.

A game draws everybody in view in every frame. A bot aims at one entity, so only that one is interpolated, as
the protocol's own view does it, and only its records are history: drawing a hundred took a thousand bots 0.2
cores, and keeping the records of all of them about as much again. Clock and prediction are the protocol's.
Records of a target are history from when the bot begins to track it; until they reach back to the time that
is shown, the oldest stands in. The first shot comes a quarter of a second later, when they do.
"""

from __future__ import annotations

import math
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
    Prediction,
    forget_prediction,
    new_prediction,
    reconcile,
)
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.entities import entity_x, entity_y, load_record
from dedicated_server.protocol.movement import Movement

NO_TARGET = -1


class Perception(NamedTuple):
    """What C clients perceive.

    Attributes:
        clocks: client_clock.CLOCK[C].
        prediction: of the own bodies.
        target_history: records of the one entity that each client tracks, for interpolation.
        target: int32[C], the entity that each client tracks, or NO_TARGET.
    """

    clocks: npt.NDArray[np.void]
    prediction: Prediction
    target_history: Interpolation
    target: npt.NDArray[np.int32]


def new_perception(capacity: int, *movements: Movement) -> Perception:
    """Allocate for so many clients, who play in modes with these movements (see `new_prediction`)."""
    return Perception(
        new_clocks(capacity),
        new_prediction(capacity, *movements),
        new_interpolation(capacity, 1),
        np.full(capacity, NO_TARGET, np.int32),
    )


def forget_perception(perception: Perception, index: int) -> None:
    """Reset a client to what it was before its first snapshot."""
    perception.clocks[index] = np.zeros((), CLOCK)
    forget_prediction(perception.prediction, index)
    perception.target_history.held[index] = 0
    perception.target[index] = NO_TARGET


@njit(cache=True, nogil=True, **STAGE)
def perceive_snapshot(perception: Perception, wire: ClientState, index: int, now_s: float) -> None:
    """Take in the snapshot that ``client_receive`` has just decoded."""
    tick = wire.sessions[index].snapshot_tick
    clock_note(perception.clocks, index, tick, now_s)
    reconcile(perception.prediction, wire, index)
    target = perception.target[index]
    if target >= 0:
        seen_tick = wire.seen_tick[index, target]
        if seen_tick == 0:
            perception.target_history.held[index, 0] = 0
        elif seen_tick == tick:
            keep_record(perception.target_history, index, 0, tick, load_record(wire.seen[index, target]))


@njit(cache=True, nogil=True, **STAGE)
def track_target(perception: Perception, wire: ClientState, index: int, target: int) -> None:
    """Track an entity, or NO_TARGET; nothing changes where it is tracked already."""
    if target == perception.target[index]:
        return
    perception.target[index] = target
    perception.target_history.held[index, 0] = 0
    if target >= 0 and wire.seen_tick[index, target] != 0:
        record = load_record(wire.seen[index, target])
        keep_record(perception.target_history, index, 0, wire.seen_tick[index, target], record)


@njit(cache=True, nogil=True, **STAGE)
def perceive_frame(perception: Perception, index: int, now_s: float) -> float:
    """Advance to a frame; the server tick that it shows."""
    return clock_advance(perception.clocks, index, now_s)


@njit(cache=True, nogil=True, **STAGE)
def own_place(perception: Perception, wire: ClientState, index: int) -> tuple[float, float]:
    """Where the own body is predicted to be, in metres; not a number while it is not in view.

    It is the place that the server will have it at, without the glide that a player is shown.
    """
    entity, own = wire.sessions[index].own_entity, perception.prediction.own[index]
    if wire.seen_tick[index, entity] == 0:
        return math.nan, math.nan
    if own.input_tick < 0:
        record = load_record(wire.seen[index, entity])
        return entity_x(record), entity_y(record)
    return own.x_m, own.y_m


@njit(cache=True, nogil=True, **STAGE)
def target_place(perception: Perception, index: int, tick: float) -> tuple[float, float]:
    """Where the target is shown at ``tick``, in metres; not a number where there is none."""
    history = perception.target_history
    if history.held[index, 0] == 0:
        return math.nan, math.nan
    record = record_at(
        history.tick[index, 0],
        history.record[index, 0],
        history.newest[index, 0],
        history.held[index, 0],
        tick,
    )
    return entity_x(record), entity_y(record)
