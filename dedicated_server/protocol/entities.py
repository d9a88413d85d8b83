"""Records of entities: one entity each, packed as `entity_table` says.

A record is RECORD_WORDS words of 64 bits. In kernels it is a tuple of so many int64, in arrays the last axis:
``seen[client, entity]`` is one record's row, `load_record` makes a record of a row and `store_record` writes
one back. The ``entity_…`` functions and `field_of` take a record; those named ``…_array`` take arrays of any
shape of rows, and are for numpy.

A field that the record's kind does not have reads as 0. So a flag is not alive, and NO_RECORD is not, either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_OBSTACLE, KIND_PLAYER, KIND_PROJECTILE
from dedicated_server.native.compilation import INLINE, Longs, njit, replaced, to_fixed_tuple
from dedicated_server.protocol.datagrams import ENTITY_LAYOUT_BYTES
from dedicated_server.protocol.entity_table import (
    ALL_PLAIN_BITS,
    ANGLE_BITS,
    ENTITY_KINDS,
    KIND_BITS,
    RECORD_WORDS,
    Place,
    field_named,
    place_of,
)
from dedicated_server.protocol.fields import POSITION_UNITS_PER_M, WORLD_HALF_M, quantise_position

Record: TypeAlias = tuple[int, ...]  # RECORD_WORDS numbers of 64 bits
NO_RECORD: Final[Record] = (0,) * RECORD_WORDS  # of an entity that is not in view

KIND, X, Y, YAW = (place_of(name) for name in ("kind", "x", "y", "yaw"))
HEALTH, FLAGS = place_of("health"), place_of("flags")
TEAM, CARRIER, STATE = (place_of(name) for name in ("team", "carrier", "state"))
WHAT, TAKEN = place_of("what"), place_of("taken")
OWNER, WEAPON = place_of("owner"), place_of("weapon")
HALF_EAST, HALF_NORTH, STANDING = (place_of(name) for name in ("half_east", "half_north", "standing"))

YAW_TURN: Final = YAW.mask + 1  # units of yaw in a full turn
HALF_UNITS_PER_M: Final = field_named("half_east").scale
_KIND_MASK: Final = (1 << KIND_BITS) - 1

# Fields of players that the table has beyond those that every match fills. The mode's own rows of players of
# the same name fill them.
EXTRA_FIELDS: Final = tuple(
    field.name for field in ENTITY_KINDS["player"] if field.name not in ("yaw", "health", "flags")
)
EXTRA_PLACES: Final = np.array([place_of(name) for name in EXTRA_FIELDS], np.int64).reshape(
    -1, len(Place._fields)
)
NO_ROW: Final = -1

FLAG_ALIVE: Final = 1
FLAG_FIRING: Final = 2
FLAG_OUTSIDE_ZONE: Final = 4
FLAG_HURT: Final = 8
FLAG_CONNECTED: Final = 16

PLAIN_LENGTH_BITS: Final = 10


def layout() -> bytes:
    """What a client is told of the kinds: two bytes for each, little endian, then zeros up to
    ENTITY_LAYOUT_BYTES.

    The low PLAIN_LENGTH_BITS bits are the length of the kind's plain fields, those above that of its angle.
    A reader that knows fewer fields of a kind skips the rest; one that knows more takes those for zeros.
    """
    said = [
        plain | angle << PLAIN_LENGTH_BITS for plain, angle in zip(ALL_PLAIN_BITS, ANGLE_BITS, strict=True)
    ]
    return np.array(said, "<u2").tobytes().ljust(ENTITY_LAYOUT_BYTES, b"\0")


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
def entity_kind(record: Record) -> int:
    """KIND_… of `cards.kinds`."""
    return record[0] & _KIND_MASK


@njit(cache=True, nogil=True, **INLINE)
def field_of(record: Record, place: Place) -> int:
    """A field in units of the wire, such as ``field_of(record, CARRIER)``; 0 where the kind has none."""
    value = (record[place.word] >> place.at) & place.mask
    return value if (place.kinds >> entity_kind(record)) & 1 else 0


@njit(cache=True, nogil=True, **INLINE)
def with_field(record: Record, place: Place, value: int) -> Record:
    """The record with another value of a field, held at its edges; as it is where the kind has none."""
    value = max(0, min(int(value), place.mask))
    word = (record[place.word] & ~(place.mask << place.at)) | (value << place.at)
    has = (place.kinds >> entity_kind(record)) & 1
    return replaced(record, place.word, word if has else record[place.word])


@njit(cache=True, nogil=True, **INLINE)
def quantise_yaw(radians: float) -> int:
    """Radians as 1/1024 turn, 0…1023, wrapped."""
    turns = radians * (1.0 / (2.0 * math.pi))
    return math.floor((turns - math.floor(turns)) * YAW_TURN + 0.5) & YAW.mask


@njit(cache=True, nogil=True, **INLINE)
def pack_placed(kind: int, x_m: float, y_m: float) -> Record:
    """A record of any kind: metres, held at the edge of the world; all other fields 0."""
    record = with_field(NO_RECORD, KIND, kind)
    return at_place(record, quantise_position(x_m), quantise_position(y_m))


@njit(cache=True, nogil=True, **INLINE)
def pack_player(x_m: float, y_m: float, yaw_radians: float, health: int, flags: int) -> Record:
    """A player's record: metres, radians, points and FLAG_… bits."""
    record = with_field(pack_placed(KIND_PLAYER, x_m, y_m), YAW, quantise_yaw(yaw_radians))
    return with_field(with_field(record, HEALTH, health), FLAGS, int(flags) & FLAGS.mask)


@njit(cache=True, nogil=True, **INLINE)
def pack_flag(x_m: float, y_m: float, team: int, carrier: int, state: int) -> Record:
    """A flag's record; ``carrier`` is an entity, −1: nobody."""
    record = with_field(pack_placed(KIND_FLAG, x_m, y_m), TEAM, team)
    return with_field(with_field(record, CARRIER, carrier + 1), STATE, state)


@njit(cache=True, nogil=True, **INLINE)
def pack_item(x_m: float, y_m: float, what: int, taken: int) -> Record:
    """An item's record; ``taken`` is the entity that took it, −1: nobody."""
    return with_field(with_field(pack_placed(KIND_ITEM, x_m, y_m), WHAT, what), TAKEN, taken + 1)


@njit(cache=True, nogil=True, **INLINE)
def pack_projectile(x_m: float, y_m: float, yaw_radians: float, owner: int, weapon: int) -> Record:
    """A projectile's record; ``owner`` is the entity that launched it, −1: nobody."""
    record = with_field(pack_placed(KIND_PROJECTILE, x_m, y_m), YAW, quantise_yaw(yaw_radians))
    return with_field(with_field(record, OWNER, owner + 1), WEAPON, weapon)


@njit(cache=True, nogil=True, **INLINE)
def pack_obstacle(x_m: float, y_m: float, half_east_m: float, half_north_m: float, standing: bool) -> Record:
    """An obstacle's record: its middle, and half its sides, in metres."""
    record = with_field(
        pack_placed(KIND_OBSTACLE, x_m, y_m), HALF_EAST, round(half_east_m * HALF_UNITS_PER_M)
    )
    record = with_field(record, HALF_NORTH, round(half_north_m * HALF_UNITS_PER_M))
    return with_field(record, STANDING, int(standing))


def record_of(kind: int, values: Mapping[str, int]) -> Record:
    """A record of any kind by the names of its fields, in units of the wire; those not named are 0. For tools
    and tests: kernels have `pack_player` and its like. Raises ValueError for a name that no kind has.
    """
    record = with_field(NO_RECORD, KIND, kind)
    for name, value in values.items():
        record = with_field(record, place_of(name), value)
    return record


@njit(cache=True, nogil=True, **INLINE)
def at_place(record: Record, x: int, y: int) -> Record:
    """The record with another place, in units of the wire."""
    return with_field(with_field(record, X, x), Y, y)


@njit(cache=True, nogil=True, **INLINE)
def x_units(record: Record) -> int:
    """1/64 m east of −1,024 m."""
    return (record[0] >> X.at) & X.mask


@njit(cache=True, nogil=True, **INLINE)
def y_units(record: Record) -> int:
    """1/64 m north of −1,024 m."""
    return (record[0] >> Y.at) & Y.mask


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
    return field_of(record, YAW) * (2.0 * math.pi / YAW_TURN)


@njit(cache=True, nogil=True, **INLINE)
def entity_health(record: Record) -> int:
    """Points, 0…100, or 127, not told."""
    return field_of(record, HEALTH)


@njit(cache=True, nogil=True, **INLINE)
def entity_flags(record: Record) -> int:
    """FLAG_… bits."""
    return field_of(record, FLAGS)


def field_array(records: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
    """One field of an array of records (int64[…, RECORD_WORDS]), in units of the wire: int64[…]; 0 where the
    kind has no such field.
    """
    place = place_of(name)
    kind = records[..., 0] & _KIND_MASK
    value = (records[..., place.word] >> place.at) & place.mask
    return np.where((place.kinds >> kind) & 1, value, 0)


def value_array(records: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.float64]:
    """One field of an array of records in its natural unit, such as metres or radians: float64[…]."""
    field = field_named(name)
    return field_array(records, name) / field.scale + field.least


def x_array(records: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Metres east of an array of records: float64[…]."""
    return value_array(records, "x")


def y_array(records: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Metres north of an array of records: float64[…]."""
    return value_array(records, "y")
