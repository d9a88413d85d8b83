"""Prediction: a client's own entity moves at its player's input, and the server's word corrects it.

The client plays each input at once, with the server's arithmetic. A snapshot says where the server has the
entity after which input. Where the client had predicted another place for that input, it starts there again
and replays all later inputs. The player is shown a glide to the new place, not a jump.

The error of each comparison is measured. It is zero, but for the wire's 1/64 m, as long as the server plays
every input.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.kinds import KIND_OBSTACLE
from dedicated_server.native.compilation import INNER, STAGE, Records, njit
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    HALF_EAST,
    HALF_NORTH,
    HALF_UNITS_PER_M,
    STANDING,
    entity_flags,
    entity_kind,
    entity_x,
    entity_y,
    field_of,
    load_record,
)
from dedicated_server.protocol.fields import PHASE_PLAYING, POSITION_UNITS_PER_M
from dedicated_server.protocol.inputs import INPUT_MOVE_X, INPUT_MOVE_Y, INPUT_RING
from dedicated_server.protocol.movement import (
    EAST_M,
    NORTH_M,
    NOWHERE_M,
    SOUTH_M,
    WEST_M,
    Movement,
    run_step,
)

TOLERANCE_M = 2.0 / POSITION_UNITS_PER_M  # twice the wire's rounding, along both axes
# A larger correction is shown at once: nobody glides across a map to where they come back to life.
SNAP_M = 2.0
GLIDE = 0.85  # of what is left of a correction after a frame: a tenth after a quarter of a second


OWN = np.dtype(
    [
        ("input_tick", np.int64),  # client tick that has been predicted; −1: nothing known yet
        ("x_m", np.float64),  # … and where that leaves the entity
        ("y_m", np.float64),
        ("glide_x_m", np.float64),  # shown minus predicted
        ("glide_y_m", np.float64),
        ("mode", np.int64),  # row of Prediction.step_m and its neighbours: as what it moves
        ("moves", np.int64),  # the match is being played, and the entity alive
        ("checks", np.int64),  # comparisons with the server
        ("corrections", np.int64),  # of them: beyond TOLERANCE_M
        ("error_m", np.float64),  # of the last comparison
        ("error_sum_m", np.float64),  # of all that were below SNAP_M
        ("error_max_m", np.float64),  # likewise
    ],
    align=True,
)


class Prediction(NamedTuple):
    """Predictions of C clients, who play in M modes."""

    own: Records  # OWN[C]
    path: npt.NDArray[np.float64]  # [C, INPUT_RING, 2]: x and y in metres after client tick t at t % ring
    path_tick: npt.NDArray[np.int64]  # [C, INPUT_RING]: that t
    step_m: npt.NDArray[np.float64]  # [M] what a `Movement` says of each mode
    map_half_m: npt.NDArray[np.float64]  # [M]
    box_count: npt.NDArray[np.int64]  # [M] boxes of the map,
    obstacles: npt.NDArray[np.int64]  # [M] and of entities behind them, at most
    # [M, B, 4], and where a mode has obstacles [M + C, B, 4]: then each client has boxes of its own
    boxes: npt.NDArray[np.float64]


def new_prediction(capacity: int, *movements: Movement) -> Prediction:
    """Allocate for ``capacity`` clients that play in modes with these movements.

    ``own["mode"]`` says which of them; it is the first until somebody sets it.
    """
    own = np.zeros(capacity, OWN)
    own["input_tick"] = -1
    obstacles = np.array([movement.obstacles for movement in movements], np.int64)
    counts = np.array([len(movement.boxes) for movement in movements], np.int64)
    rows = len(movements) + (capacity if obstacles.any() else 0)
    boxes = np.full((rows, int((counts + obstacles).max()), 4), NOWHERE_M)
    for mode, movement in enumerate(movements):
        boxes[mode, : len(movement.boxes)] = movement.boxes
    return Prediction(
        own,
        np.zeros((capacity, INPUT_RING, 2)),
        np.full((capacity, INPUT_RING), -1, dtype=np.int64),
        np.array([movement.step_m for movement in movements], np.float64),
        np.array([movement.map_half_m for movement in movements], np.float64),
        counts,
        obstacles,
        boxes,
    )


def forget_prediction(prediction: Prediction, index: int) -> None:
    """Make a client's prediction as it was before the first snapshot."""
    own = prediction.own
    for name in own.dtype.names or ():
        if name != "mode":
            own[name][index] = 0
    own["input_tick"][index] = -1
    prediction.path_tick[index] = -1


@njit(cache=True, nogil=True, **STAGE)
def predict(prediction: Prediction, wire: ClientState, index: int) -> None:
    """Play the input that `client_transmit` has just sent, and let the last correction fade by a frame."""
    own, session = prediction.own[index], wire.sessions[index]
    own.glide_x_m *= GLIDE
    own.glide_y_m *= GLIDE
    if own.input_tick < 0:
        return
    _play(prediction, wire, index, min(own.input_tick, session.input_tick))


@njit(cache=True, nogil=True, **STAGE)
def reconcile(prediction: Prediction, wire: ClientState, index: int) -> None:
    """Compare the prediction with the snapshot just received, where that holds the own entity."""
    own, session = prediction.own[index], wire.sessions[index]
    entity = session.own_entity
    if prediction.obstacles[own.mode] > 0:
        _see_obstacles(prediction, wire, index)
    if wire.seen_tick[index, entity] != session.snapshot_tick:
        return
    record = load_record(wire.seen[index, entity])
    x_m, y_m = entity_x(record), entity_y(record)
    applied = session.input_applied
    moves = session.match_phase == PHASE_PLAYING and entity_flags(record) & FLAG_ALIVE != 0
    turned = moves != (own.moves != 0)
    own.moves = moves
    if own.input_tick < 0 or session.input_tick < own.input_tick:  # the first, or of a new session
        prediction.path_tick[index, :] = -1
        own.x_m, own.y_m, own.glide_x_m, own.glide_y_m = x_m, y_m, 0.0, 0.0
        _begin_at(prediction, index, applied, x_m, y_m)
        _play(prediction, wire, index, applied)
        return
    place = applied % INPUT_RING
    if prediction.path_tick[index, place] == applied:
        east, north = prediction.path[index, place, 0] - x_m, prediction.path[index, place, 1] - y_m
        own.error_m = math.sqrt(east * east + north * north)
        own.checks += 1
        if own.error_m <= SNAP_M:
            own.error_sum_m += own.error_m
            own.error_max_m = max(own.error_max_m, own.error_m)
        if own.error_m <= TOLERANCE_M and not turned:
            return
        own.corrections += own.error_m > TOLERANCE_M
    before_x_m, before_y_m = own.x_m + own.glide_x_m, own.y_m + own.glide_y_m
    _begin_at(prediction, index, applied, x_m, y_m)
    _play(prediction, wire, index, applied)
    own.glide_x_m, own.glide_y_m = before_x_m - own.x_m, before_y_m - own.y_m
    if own.glide_x_m * own.glide_x_m + own.glide_y_m * own.glide_y_m > SNAP_M * SNAP_M:
        own.glide_x_m, own.glide_y_m = 0.0, 0.0


@njit(cache=True, nogil=True, **INNER)
def _boxes_of(prediction: Prediction, index: int) -> tuple[int, int]:
    """In which row of the boxes stands what is in a client's way, and how many they are.

    Those of the map; behind them, in a row of the client's own, the obstacles that it sees.
    """
    mode = prediction.own[index].mode
    obstacles = prediction.obstacles[mode]
    row = mode if obstacles == 0 else len(prediction.step_m) + index
    return row, prediction.box_count[mode] + obstacles


@njit(cache=True, nogil=True, **INNER)
def _see_obstacles(prediction: Prediction, wire: ClientState, index: int) -> None:
    """Make a client's boxes those of the map and of the obstacles that stand in its view."""
    mode = prediction.own[index].mode
    row, room = _boxes_of(prediction, index)
    boxes, count = prediction.boxes[row], prediction.box_count[mode]
    for box in range(room):
        for edge in range(4):
            boxes[box, edge] = prediction.boxes[mode, box, edge]  # NOWHERE_M behind the map's
    for entity in range(wire.seen.shape[1]):
        if wire.seen_tick[index, entity] == 0 or count == room:
            continue
        record = load_record(wire.seen[index, entity])
        if entity_kind(record) != KIND_OBSTACLE or field_of(record, STANDING) == 0:
            continue
        half_east_m = field_of(record, HALF_EAST) / HALF_UNITS_PER_M
        half_north_m = field_of(record, HALF_NORTH) / HALF_UNITS_PER_M
        x_m, y_m = entity_x(record), entity_y(record)
        boxes[count, WEST_M], boxes[count, EAST_M] = x_m - half_east_m, x_m + half_east_m
        boxes[count, SOUTH_M], boxes[count, NORTH_M] = y_m - half_north_m, y_m + half_north_m
        count += 1


@njit(cache=True, nogil=True, **INNER)
def _begin_at(prediction: Prediction, index: int, tick: int, x_m: float, y_m: float) -> None:
    own = prediction.own[index]
    own.input_tick, own.x_m, own.y_m = tick, x_m, y_m
    _remember(prediction, index)


@njit(cache=True, nogil=True, **INNER)
def _play(prediction: Prediction, wire: ClientState, index: int, after: int) -> None:
    """Play the inputs after client tick ``after``.

    The ring's oldest stands in for those that have left it.
    """
    own, session = prediction.own[index], wire.sessions[index]
    step_m, map_half_m = prediction.step_m[own.mode], prediction.map_half_m[own.mode]
    row, count = _boxes_of(prediction, index)
    boxes = prediction.boxes[row, :count]
    for tick in range(max(after, session.input_tick - INPUT_RING) + 1, session.input_tick + 1):
        asked = session.inputs[tick % INPUT_RING]
        if own.moves != 0:
            own.x_m, own.y_m = run_step(
                own.x_m, own.y_m, asked[INPUT_MOVE_X], asked[INPUT_MOVE_Y], step_m, map_half_m, boxes
            )
        own.input_tick = tick
        _remember(prediction, index)


@njit(cache=True, nogil=True, **INNER)
def _remember(prediction: Prediction, index: int) -> None:
    own = prediction.own[index]
    place = own.input_tick % INPUT_RING
    prediction.path[index, place, 0], prediction.path[index, place, 1] = own.x_m, own.y_m
    prediction.path_tick[index, place] = own.input_tick
