"""Interpolation: where other entities are shown, between two received snapshots or a little beyond the
newest.

A client keeps the last records of each entity in view, with their ticks. At a tick between two records an
entity is shown on the line between them. Where no later record has arrived, the entity runs on as it last
ran, for at most ``MAX_EXTRAPOLATION_TICKS``, and then stands; a dead player stands at once. An entity that
left the view and comes back, or that moves further than any of its kind can, appears in the new place at
once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedicated_server.cards.kinds import KIND_PLAYER, KIND_PROJECTILE
from dedicated_server.native.compilation import INNER, STAGE, Ints, Longs, njit
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    NO_RECORD,
    YAW,
    YAW_TURN,
    Record,
    at_place,
    entity_flags,
    entity_kind,
    field_of,
    load_record,
    store_record,
    with_field,
    x_units,
    y_units,
)
from dedicated_server.protocol.entity_table import ALL_KINDS, RECORD_WORDS
from dedicated_server.protocol.fields import POSITION_MASK, POSITION_UNITS_PER_M

# Records of one entity: more than the longest delay of `clock` in ticks, and no power of two.
RECORDS_KEPT = 15
MAX_EXTRAPOLATION_TICKS = 12.0  # a fifth of a second: longer guesses are worse than standing still
MAX_SPEED_M_PER_TICK = 0.25  # twice a run, and
MAX_PROJECTILE_M_PER_TICK = 8.0  # 480 m/s
SLACK_M = 1.0  # for corrections: more than that was not run

_MAX_SPEED_UNITS = np.full(ALL_KINDS, MAX_SPEED_M_PER_TICK * POSITION_UNITS_PER_M)  # by kind
_MAX_SPEED_UNITS[KIND_PROJECTILE] = MAX_PROJECTILE_M_PER_TICK * POSITION_UNITS_PER_M
_SLACK_UNITS = SLACK_M * POSITION_UNITS_PER_M


class Interpolation(NamedTuple):
    """The last records of each entity: C clients, E entities, rings of RECORDS_KEPT."""

    tick: Ints  # [C, E, RECORDS_KEPT]
    record: Longs  # [C, E, RECORDS_KEPT, RECORD_WORDS]
    newest: Ints  # [C, E]: place of the newest record in its ring
    held: Ints  # [C, E]: records there; 0: not in view


def new_interpolation(capacity: int, entities: int) -> Interpolation:
    """Allocate for ``capacity`` clients of matches of at most ``entities``.

    184 bytes for each pair, once it is used.
    """
    rings = (capacity, entities, RECORDS_KEPT)
    return Interpolation(
        np.zeros(rings, np.int32),
        np.zeros((*rings, RECORD_WORDS), np.int64),
        np.zeros(rings[:2], np.int32),
        np.zeros(rings[:2], np.int32),
    )


@njit(cache=True, nogil=True, **STAGE)
def keep_records(kept: Interpolation, wire: ClientState, index: int) -> None:
    """Keep the records of the snapshot that `client_receive` has just read.

    Forget entities that left the view.
    """
    tick = wire.sessions[index].snapshot_tick
    for entity in range(wire.seen.shape[1]):
        seen_tick = wire.seen_tick[index, entity]
        if seen_tick == 0:
            kept.held[index, entity] = 0
        elif seen_tick == tick:
            keep_record(kept, index, entity, tick, load_record(wire.seen[index, entity]))


@njit(cache=True, nogil=True, **INNER)
def keep_record(kept: Interpolation, index: int, entity: int, tick: int, record: Record) -> None:
    """Keep one record of one entity. A tick older than the newest kept begins a new session."""
    count, newest = kept.held[index, entity], kept.newest[index, entity]
    if count > 0 and tick <= kept.tick[index, entity, newest]:  # a new session
        count = 0
    newest = (newest + 1) % RECORDS_KEPT
    kept.tick[index, entity, newest] = tick
    store_record(kept.record[index, entity, newest], record)
    kept.newest[index, entity] = newest
    kept.held[index, entity] = min(count + 1, RECORDS_KEPT)


@njit(cache=True, nogil=True, **STAGE)
def record_at(ticks: Ints, records: Longs, newest: int, count: int, view_tick: float) -> Record:
    """The record to be shown at ``view_tick``; NO_RECORD where none is kept.

    ``ticks``, ``records``: one entity's rings, [RECORDS_KEPT] and [RECORDS_KEPT, RECORD_WORDS]; the ``count``
    newest of them end at place ``newest``. Health and flags are those of the last record not later than
    ``view_tick``.
    """
    if count == 0:
        return NO_RECORD
    last = load_record(records[newest])
    later = newest
    if ticks[newest] <= view_tick:
        if count == 1:
            return last
        before = (newest - 1) % RECORDS_KEPT
        ahead = min(view_tick - ticks[newest], MAX_EXTRAPOLATION_TICKS)
        if entity_kind(last) == KIND_PLAYER and not entity_flags(last) & FLAG_ALIVE:
            return last
        share = ahead / (ticks[newest] - ticks[before])
        return _blend(load_record(records[before]), last, ticks[newest] - ticks[before], 1.0 + share)
    for back in range(1, count):
        earlier = (newest - back) % RECORDS_KEPT
        if ticks[earlier] <= view_tick:
            passed = ticks[later] - ticks[earlier]
            share = (view_tick - ticks[earlier]) / passed
            return _blend(load_record(records[earlier]), load_record(records[later]), passed, share)
        later = earlier
    return load_record(records[later])


@njit(cache=True, nogil=True, **INNER)
def _blend(first: Record, second: Record, ticks: int, share: float) -> Record:
    """From ``first`` (share 0) through ``second`` (share 1) and on; ``ticks`` lie between the two."""
    x, y, yaw = x_units(first), y_units(first), field_of(first, YAW)
    east, north = x_units(second) - x, y_units(second) - y
    known = second if share >= 1.0 else first
    farthest = _MAX_SPEED_UNITS[entity_kind(first)] * ticks + _SLACK_UNITS
    if east * east + north * north > farthest * farthest:
        return known
    turn = ((field_of(second, YAW) - yaw + YAW_TURN // 2) & YAW.mask) - YAW_TURN // 2
    x = min(max(round(x + east * share), 0), POSITION_MASK)
    y = min(max(round(y + north * share), 0), POSITION_MASK)
    yaw = round(yaw + turn * min(share, 1.0)) & YAW.mask
    return with_field(at_place(known, int(x), int(y)), YAW, int(yaw))
