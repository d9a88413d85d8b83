"""The wire's fields, one table a record: name, bits, unit. Encoder, decoder and PROTOCOL.md follow them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dedicated_server.native.compilation import njit

POSITION_UNITS_PER_M = 64  # 1.6 cm
WORLD_HALF_M = 1024.0
POSITION_BITS = 17
YAW_BITS = 10  # 0.35 degrees
HEALTH_BITS = 7
FLAG_BITS = 6


class Field(NamedTuple):
    """One field of a record: its bits, and what one unit of it means."""

    name: str
    bits: int
    meaning: str


# In the order in which they are packed, lowest bits first. Together 57 bits: one record fits an int64.
ENTITY_FIELDS = (
    Field("x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("yaw", YAW_BITS, "1/1024 turn, counter-clockwise from east"),
    Field("health", HEALTH_BITS, "points, 0 to 100"),
    Field(
        "flags", FLAG_BITS, "bits: 1 alive, 2 firing, 4 outside the zone, 8 sprinting, 16 hurt, 32 connected"
    ),
)

FLAG_ALIVE = 1
FLAG_FIRING = 2
FLAG_OUTSIDE_ZONE = 4
FLAG_SPRINTING = 8
FLAG_HURT = 16
FLAG_CONNECTED = 32

BUTTON_FIRE = 1
BUTTON_SPRINT = 2
BUTTON_RELOAD = 4
BUTTON_USE = 8

# Reliable messages: kind, then a and b, 32 bits each.
RELIABLE_KILL = 1  # a: killer entity | victim entity << 16 (65535: the zone), b: weapon | players left << 16
RELIABLE_HIT = 2  # to the shooter: a: victim entity | damage points << 16, b: client tick of the shot
RELIABLE_MATCH_OVER = 3  # a: own placement | winner entity << 16, b: own kills
RELIABLE_NOTICE = 4  # free for the engine

MATCH_PHASE, MATCH_ZONE_X, MATCH_ZONE_Y, MATCH_ZONE_RADIUS, MATCH_ALIVE, MATCH_COUNTDOWN = range(6)
PHASE_WAITING, PHASE_PLAYING, PHASE_OVER = range(3)

MATCH_FIELDS = (
    Field("phase", 2, "0 waiting, 1 playing, 2 over"),
    Field("zone_x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("zone_y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("zone_radius", POSITION_BITS, "metres × 64"),
    Field("alive", 11, "players alive"),
    Field("countdown", 16, "ticks until the phase ends"),
)

_X_MAX = (1 << POSITION_BITS) - 1
_Y_SHIFT = POSITION_BITS
_YAW_SHIFT = 2 * POSITION_BITS
_HEALTH_SHIFT = _YAW_SHIFT + YAW_BITS
_FLAG_SHIFT = _HEALTH_SHIFT + HEALTH_BITS
_YAW_TURN = 1 << YAW_BITS
_YAW_MAX = _YAW_TURN - 1
_HEALTH_MAX = (1 << HEALTH_BITS) - 1
_FLAG_MAX = (1 << FLAG_BITS) - 1
RECORD_BITS = _FLAG_SHIFT + FLAG_BITS


@njit(cache=True, nogil=True)
def quantise_position(metres: float) -> int:
    """Metres −1,024…1,024 as units of 1/64 m, 0…131,071; beyond, and not a number, held at the edge."""
    units = (metres + WORLD_HALF_M) * POSITION_UNITS_PER_M + 0.5
    if not units > 0.0:
        return 0
    return int(units) if units < _X_MAX else _X_MAX


@njit(cache=True, nogil=True)
def quantise_yaw(radians: float) -> int:
    """Radians as 1/1024 turn, 0…1023, wrapped."""
    turns = radians * (1.0 / (2.0 * math.pi))
    return math.floor((turns - math.floor(turns)) * _YAW_TURN + 0.5) & _YAW_MAX


@njit(cache=True, nogil=True)
def pack_entity(x_m: float, y_m: float, yaw_radians: float, health: int, flags: int) -> int:
    """One entity as an int64 of 57 bits, laid out as ENTITY_FIELDS says."""
    return (
        quantise_position(x_m)
        | (quantise_position(y_m) << _Y_SHIFT)
        | (quantise_yaw(yaw_radians) << _YAW_SHIFT)
        | (max(0, min(int(health), _HEALTH_MAX)) << _HEALTH_SHIFT)
        | ((int(flags) & _FLAG_MAX) << _FLAG_SHIFT)
    )


@njit(cache=True, nogil=True)
def entity_x(record: Any) -> Any:
    """Metres east; works on an int64 or an array of them."""
    return (record & _X_MAX) / POSITION_UNITS_PER_M - WORLD_HALF_M


@njit(cache=True, nogil=True)
def entity_y(record: Any) -> Any:
    """Metres north; works on an int64 or an array of them."""
    return ((record >> _Y_SHIFT) & _X_MAX) / POSITION_UNITS_PER_M - WORLD_HALF_M


@njit(cache=True, nogil=True)
def entity_yaw(record: Any) -> Any:
    """Radians, 0…2π; works on an int64 or an array of them."""
    return ((record >> _YAW_SHIFT) & _YAW_MAX) * (2.0 * math.pi / _YAW_TURN)


@njit(cache=True, nogil=True)
def entity_health(record: Any) -> Any:
    """Points, 0…100; works on an int64 or an array of them."""
    return (record >> _HEALTH_SHIFT) & _HEALTH_MAX


@njit(cache=True, nogil=True)
def entity_flags(record: Any) -> Any:
    """FLAG_… bits; works on an int64 or an array of them."""
    return (record >> _FLAG_SHIFT) & _FLAG_MAX
