"""What a client's player is shown: clock, prediction and interpolation together, for many clients.

How it is used beside `client.sessions`::

    view = new_view(capacity=200, entities=100, movement=movement_of(card))
    # compiled, after each client_receive that returned RECEIVED_SNAPSHOT:
    view_received(view, state, index, now_s)
    # compiled, once a client frame: decide by view.shown[index], then send
    view_tick = view_frame(view, state, index, now_s)
    length = client_transmit(state, index, now_s, move_x, move_y, yaw, buttons, view_tick, out)
    view_sent(view, state, index)

``view.shown`` int64[C, E, RECORD_WORDS] holds records like those of ``state.seen``, and takes their place:
other entities where they are shown, the client's own where it is predicted. ``state.seen_tick`` still says
which entities are in view. Call ``forget(view, index)`` before an index is given to another client.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Longs, Records, njit
from dedicated_server.protocol.client.clock import CLOCK, clock_advance, clock_note, new_clocks
from dedicated_server.protocol.client.interpolation import (
    Interpolation,
    keep_records,
    new_interpolation,
    record_at,
)
from dedicated_server.protocol.client.prediction import (
    Prediction,
    forget_prediction,
    new_prediction,
    predict,
    reconcile,
)
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.entities import (
    Record,
    at_place,
    load_record,
    store_record,
)
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import quantise_position
from dedicated_server.protocol.movement import Movement


class ClientView(NamedTuple):
    """What C clients are shown of E entities."""

    clocks: Records  # client_clock.CLOCK[C]
    prediction: Prediction
    kept: Interpolation
    shown: Longs  # [C, E, RECORD_WORDS]


def new_view(capacity: int, entities: int, movement: Movement) -> ClientView:
    """Allocate for ``capacity`` clients of matches of at most ``entities`` that play by ``movement``."""
    return ClientView(
        new_clocks(capacity),
        new_prediction(capacity, movement),
        new_interpolation(capacity, entities),
        np.zeros((capacity, entities, RECORD_WORDS), np.int64),
    )


def forget(view: ClientView, index: int) -> None:
    """Make a client's view as it was before the first snapshot."""
    view.clocks[index] = np.zeros((), CLOCK)
    forget_prediction(view.prediction, index)
    view.kept.held[index] = 0
    view.shown[index] = 0


@njit(cache=True, nogil=True, **STAGE)
def view_received(view: ClientView, wire: ClientState, index: int, now_s: float) -> None:
    """Take in the snapshot that `client_receive` has just decoded."""
    clock_note(view.clocks, index, wire.sessions[index].snapshot_tick, now_s)
    keep_records(view.kept, wire, index)
    reconcile(view.prediction, wire, index)


@njit(cache=True, nogil=True, **STAGE)
def view_frame(view: ClientView, wire: ClientState, index: int, now_s: float) -> float:
    """Fill ``view.shown[index]`` for a frame at ``now_s``.

    Return the server tick that it shows, with fraction, for `client_transmit`.
    """
    tick = clock_advance(view.clocks, index, now_s)
    shown, kept = view.shown[index], view.kept
    for entity in range(len(shown)):
        if wire.seen_tick[index, entity] != 0:
            record = record_at(
                kept.tick[index, entity],
                kept.record[index, entity],
                kept.newest[index, entity],
                kept.held[index, entity],
                tick,
            )
            store_record(shown[entity], record)
    entity = wire.sessions[index].own_entity
    if wire.seen_tick[index, entity] != 0:
        record = own_record(view.prediction, wire, index, load_record(shown[entity]))
        store_record(shown[entity], record)
    return tick


@njit(cache=True, nogil=True, **INNER)
def own_record(prediction: Prediction, wire: ClientState, index: int, otherwise: Record) -> Record:
    """The record of the own entity where it is predicted; ``otherwise`` before the first snapshot."""
    own = prediction.own[index]
    if own.input_tick < 0:
        return otherwise
    x = quantise_position(own.x_m + own.glide_x_m)
    y = quantise_position(own.y_m + own.glide_y_m)
    seen = load_record(wire.seen[index, wire.sessions[index].own_entity])
    return at_place(seen, x, y)


@njit(cache=True, nogil=True, **STAGE)
def view_sent(view: ClientView, wire: ClientState, index: int) -> None:
    """Predict what the input that `client_transmit` has just sent will do."""
    predict(view.prediction, wire, index)
