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

from dedicated_server.cards import shipped_cards
from dedicated_server.native.compilation import INNER, STAGE, Records, njit
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.entities import FLAG_ALIVE, entity_flags, entity_x, entity_y, load_record
from dedicated_server.protocol.fields import PHASE_PLAYING, POSITION_UNITS_PER_M, TICK_HZ
from dedicated_server.protocol.inputs import INPUT_MOVE_X, INPUT_MOVE_Y, INPUT_RING

TOLERANCE_M = 2.0 / POSITION_UNITS_PER_M  # twice the wire's rounding, along both axes
# A larger correction is shown at once: nobody glides across a map to where they come back to life.
SNAP_M = 2.0
GLIDE = 0.85  # of what is left of a correction after a frame: a tenth after a quarter of a second


class Movement(NamedTuple):
    """How a player moves in a mode of play, in the units of one input."""

    step_m: float  # run in one input
    map_half_m: float  # the map is a square of twice this, around its centre


MOVEMENT = {
    name: Movement(step_m=card.speed_m_per_s / TICK_HZ, map_half_m=card.map_half_m)
    for name, card in shipped_cards().items()
}

OWN = np.dtype(
    [
        ("input_tick", np.int64),  # client tick that has been predicted; −1: nothing known yet
        ("x_m", np.float64),  # … and where that leaves the entity
        ("y_m", np.float64),
        ("glide_x_m", np.float64),  # shown minus predicted
        ("glide_y_m", np.float64),
        ("step_m", np.float64),
        ("map_half_m", np.float64),
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
    """Predictions of C clients."""

    own: Records  # OWN[C]
    path: npt.NDArray[np.float64]  # [C, INPUT_RING, 2]: x and y in metres after client tick t at t % ring
    path_tick: npt.NDArray[np.int64]  # [C, INPUT_RING]: that t


def new_prediction(capacity: int, movement: Movement) -> Prediction:
    """Allocate for ``capacity`` clients that play in one mode."""
    own = np.zeros(capacity, OWN)
    own["input_tick"] = -1
    own["step_m"], own["map_half_m"] = movement
    return Prediction(
        own, np.zeros((capacity, INPUT_RING, 2)), np.full((capacity, INPUT_RING), -1, dtype=np.int64)
    )


def forget_prediction(prediction: Prediction, index: int) -> None:
    """Make a client's prediction as it was before the first snapshot."""
    own = prediction.own
    for name in own.dtype.names or ():
        if name not in ("step_m", "map_half_m"):
            own[name][index] = 0
    own["input_tick"][index] = -1
    prediction.path_tick[index] = -1


@njit(cache=True, nogil=True, **STAGE)
def run_step(
    x_m: float, y_m: float, move_x: int, move_y: int, step_m: float, map_half_m: float
) -> tuple[float, float]:
    """Where one input takes an entity, in metres.

    The server's arithmetic (`simulation.movement`), to the last bit.
    """
    east, north = move_x / 127.0, move_y / 127.0
    square = east * east + north * north
    if square > 1.0:
        length = math.sqrt(square)
        east /= length
        north /= length
    x_m = min(max(x_m + east * step_m, -map_half_m), map_half_m)
    y_m = min(max(y_m + north * step_m, -map_half_m), map_half_m)
    return x_m, y_m


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
    for tick in range(max(after, session.input_tick - INPUT_RING) + 1, session.input_tick + 1):
        row = session.inputs[tick % INPUT_RING]
        if own.moves != 0:
            own.x_m, own.y_m = run_step(
                own.x_m, own.y_m, row[INPUT_MOVE_X], row[INPUT_MOVE_Y], own.step_m, own.map_half_m
            )
        own.input_tick = tick
        _remember(prediction, index)


@njit(cache=True, nogil=True, **INNER)
def _remember(prediction: Prediction, index: int) -> None:
    own = prediction.own[index]
    place = own.input_tick % INPUT_RING
    prediction.path[index, place, 0], prediction.path[index, place, 1] = own.x_m, own.y_m
    prediction.path_tick[index, place] = own.input_tick
