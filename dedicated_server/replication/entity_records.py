"""Records of what the world holds beside bodies: objects, and fields of players that the mode keeps."""

from __future__ import annotations

import math
from typing import Final

from dedicated_server.cards.kinds import KIND_FLAG, KIND_ITEM, KIND_PROJECTILE
from dedicated_server.native.compilation import INLINE, Ints, Longs, njit
from dedicated_server.protocol.entities import (
    EXTRA_PLACES,
    NO_ROW,
    Record,
    pack_flag,
    pack_item,
    pack_obstacle,
    pack_projectile,
    store_record,
)
from dedicated_server.simulation.heading import TURN
from dedicated_server.simulation.world import (
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_EAST_M,
    OBJECT_KIND,
    OBJECT_NORTH_M,
    OBJECT_X_M,
    OBJECT_Y_M,
    OBJECT_YAW,
    World,
)

RADIANS: Final = 2.0 * math.pi / TURN
_WORD, _AT, _MASK = 1, 2, 3  # of a Place


@njit(cache=True, nogil=True, **INLINE)
def object_record(world: World, number: int) -> Record:
    """The record of object ``number``, which is entity P + ``number`` of a match of P players."""
    objects, status = world.objects, world.object_status
    x_m, y_m = objects[OBJECT_X_M, number], objects[OBJECT_Y_M, number]
    a, b, c = int(status[OBJECT_A, number]), int(status[OBJECT_B, number]), int(status[OBJECT_C, number])
    kind = status[OBJECT_KIND, number]
    if kind == KIND_FLAG:
        return pack_flag(x_m, y_m, a, b, c)
    if kind == KIND_ITEM:
        return pack_item(x_m, y_m, a, b)
    if kind == KIND_PROJECTILE:
        return pack_projectile(x_m, y_m, status[OBJECT_YAW, number] * RADIANS, a, b)
    return pack_obstacle(x_m, y_m, objects[OBJECT_EAST_M, number], objects[OBJECT_NORTH_M, number], a != 0)


@njit(cache=True, nogil=True, **INLINE)
def write_objects(world: World, records: Longs) -> None:
    """Write the records of all objects behind those of the players: ``records`` is int64[E, RECORD_WORDS]."""
    players = world.body.shape[1]
    for number in range(len(records) - players):
        store_record(records[players + number], object_record(world, number))


@njit(cache=True, nogil=True, **INLINE)
def write_extra_fields(world: World, own_rows: Ints, player: int, row: Longs) -> None:
    """Fill the fields of a player's record that the mode keeps in rows of its own (`entities.EXTRA_FIELDS`).

    ``own_rows``: as of `server.state.extra_rows`. ``row``: int64[RECORD_WORDS].
    """
    for field in range(len(own_rows)):
        own = own_rows[field]
        if own != NO_ROW and own < world.own_players.shape[0]:
            word, at, mask = EXTRA_PLACES[field, _WORD], EXTRA_PLACES[field, _AT], EXTRA_PLACES[field, _MASK]
            value = max(0, min(int(world.own_players[own, player]), mask))
            row[word] = (row[word] & ~(mask << at)) | (value << at)
