"""Entities on the wire: the table of their fields, and the records that carry one entity each.

A record is RECORD_WORDS words of 64 bits, in which the fields lie in the table's order, lowest bits first. In
kernels it is a tuple of so many int64, in arrays the last axis: ``seen[client, entity]`` is one record's row,
`load_record` makes a record of a row and `store_record` writes one back. The ``entity_…`` functions take a
record; those named ``…_array`` take arrays of any shape of rows, and are for numpy.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INLINE, Longs, njit, to_fixed_tuple
from dedicated_server.protocol.fields import (
    POSITION_BITS,
    POSITION_MASK,
    POSITION_UNITS_PER_M,
    WORLD_HALF_M,
    quantise_position,
)
from dedicated_server.protocol.tables import Field, positions, widths

Record: TypeAlias = tuple[int, ...]  # RECORD_WORDS numbers of 64 bits

ENTITY_FIELDS = (
    Field("x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("yaw", 10, "1/1024 turn, counter-clockwise from east"),
    Field("health", 7, "points, 0 to 100"),
    Field("flags", 6, "bits: 1 alive, 2 firing, 4 outside the zone, 16 hurt, 32 connected; 8 is reserved"),
)
_, _, YAW_BITS, HEALTH_BITS, FLAG_BITS = widths(ENTITY_FIELDS)
_, Y_AT, YAW_AT, HEALTH_AT, FLAGS_AT = positions(ENTITY_FIELDS)
RECORD_BITS = FLAGS_AT + FLAG_BITS
RECORD_WORDS = (RECORD_BITS + 63) // 64
NO_RECORD: Record = (0,) * RECORD_WORDS  # of an entity that is not in view
YAW_TURN = 1 << YAW_BITS  # units of yaw in a full turn
YAW_MASK = YAW_TURN - 1
_HEALTH_MASK = (1 << HEALTH_BITS) - 1
_FLAG_MASK = (1 << FLAG_BITS) - 1
_PLACE_MASK = (1 << HEALTH_AT) - 1

FLAG_ALIVE = 1
FLAG_FIRING = 2
FLAG_OUTSIDE_ZONE = 4
FLAG_HURT = 16
FLAG_CONNECTED = 32


@njit(cache=True, nogil=True, **INLINE)
def load_record(row: Longs) -> Record:
    """The record in ``row`` (int64[RECORD_WORDS])."""
    return to_fixed_tuple(row, RECORD_WORDS)


@njit(cache=True, nogil=True, **INLINE)
def store_record(row: Longs, record: Record) -> None:
    """Write a record into ``row`` (int64[RECORD_WORDS])."""
    for word in range(RECORD_WORDS):
        row[word] = record[word]


@njit(cache=True, nogil=True, **INLINE)
def quantise_yaw(radians: float) -> int:
    """Radians as 1/1024 turn, 0…1023, wrapped."""
    turns = radians * (1.0 / (2.0 * math.pi))
    return math.floor((turns - math.floor(turns)) * YAW_TURN + 0.5) & YAW_MASK


@njit(cache=True, nogil=True, **INLINE)
def pack_player(x_m: float, y_m: float, yaw_radians: float, health: int, flags: int) -> Record:
    """The record of a player: metres, radians, points and FLAG_… bits; what is out of range is held at its
    edge.
    """
    return (
        quantise_position(x_m)
        | (quantise_position(y_m) << Y_AT)
        | (quantise_yaw(yaw_radians) << YAW_AT)
        | (max(0, min(int(health), _HEALTH_MASK)) << HEALTH_AT)
        | ((int(flags) & _FLAG_MASK) << FLAGS_AT),
    )


@njit(cache=True, nogil=True, **INLINE)
def at_place(record: Record, x: int, y: int, yaw: int) -> Record:
    """The record with another place, in units of the wire."""
    return ((record[0] & ~_PLACE_MASK) | x | (y << Y_AT) | (yaw << YAW_AT), *record[1:])


@njit(cache=True, nogil=True, **INLINE)
def x_units(record: Record) -> int:
    """1/64 m east of −1,024 m."""
    return record[0] & POSITION_MASK


@njit(cache=True, nogil=True, **INLINE)
def y_units(record: Record) -> int:
    """1/64 m north of −1,024 m."""
    return (record[0] >> Y_AT) & POSITION_MASK


@njit(cache=True, nogil=True, **INLINE)
def yaw_units(record: Record) -> int:
    """1/1024 turn."""
    return (record[0] >> YAW_AT) & YAW_MASK


@njit(cache=True, nogil=True, **INLINE)
def entity_x(record: Record) -> float:
    """Metres east."""
    return x_units(record) / POSITION_UNITS_PER_M - WORLD_HALF_M


@njit(cache=True, nogil=True, **INLINE)
def entity_y(record: Record) -> float:
    """Metres north."""
    return y_units(record) / POSITION_UNITS_PER_M - WORLD_HALF_M


@njit(cache=True, nogil=True, **INLINE)
def entity_yaw(record: Record) -> float:
    """Radians, 0…2π."""
    return yaw_units(record) * (2.0 * math.pi / YAW_TURN)


@njit(cache=True, nogil=True, **INLINE)
def entity_health(record: Record) -> int:
    """Points, 0…100."""
    return (record[0] >> HEALTH_AT) & _HEALTH_MASK


@njit(cache=True, nogil=True, **INLINE)
def entity_flags(record: Record) -> int:
    """FLAG_… bits."""
    return (record[0] >> FLAGS_AT) & _FLAG_MASK


def field_array(records: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
    """One field of an array of records (int64[…, RECORD_WORDS]), in units of the wire: int64[…]."""
    at, bits = next(
        (at, field.bits)
        for field, at in zip(ENTITY_FIELDS, positions(ENTITY_FIELDS), strict=True)
        if field.name == name
    )
    value: npt.NDArray[np.int64] = (records[..., 0] >> at) & ((1 << bits) - 1)
    return value


def x_array(records: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Metres east of an array of records: float64[…]."""
    return field_array(records, "x") / POSITION_UNITS_PER_M - WORLD_HALF_M


def y_array(records: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Metres north of an array of records: float64[…]."""
    return field_array(records, "y") / POSITION_UNITS_PER_M - WORLD_HALF_M
