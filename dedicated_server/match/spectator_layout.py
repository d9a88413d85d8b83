"""The layout of a spectator feed, which a match writes ten times a second and local readers map.

All little endian, of a size that is fixed when it is made::

    HEADER
    what does not change, JSON: mode, names of scores, events and weapons, boxes, bases; spaces up to a
        multiple of eight bytes
    twice: the arrays of `Half`, one behind the other

``newest`` says which of the two frames is whole. A reader that finds it changed while it read reads again.
Version 2; version 1 had players alone, without names.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.simulation.world import OBJECT_ROWS, OBJECT_STATUS_ROWS

MAGIC: Final = 0x4C445350  # LDSP
VERSION: Final = 2
NAME_BYTES: Final = 32  # of a player's name, UTF-8
MOST_HAPPENED: Final = 16  # of what happened last are kept

HEADER: Final = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("players", "<u4"),
        ("newest", "<u4"),
        ("written", "<u8"),
        ("objects", "<u4"),
        ("teams", "<u4"),
        ("fields", "<u4"),
        ("constant_bytes", "<u4"),
    ]
)
FRAME: Final = np.dtype(
    [
        ("tick", "<i8"),
        ("start_tick", "<i8"),  # first tick of play, 0 before
        ("end_tick", "<i8"),  # when its time is up
        ("phase", "<i4"),
        ("happened", "<u4"),  # how much has so far: number n lies in place n % MOST_HAPPENED
        ("map_half_m", "<f4"),
        ("zone_x_m", "<f4"),
        ("zone_y_m", "<f4"),
        ("zone_m", "<f4"),
    ]
)
# Rows of Half.floats, and of Half.ints; those up to PLAYER_FIRING are the world's.
PLAYER_X_M, PLAYER_Y_M, PLAYER_HEALTH = range(3)
PLAYER_FLOATS: Final = 3
PLAYER_TEAM, PLAYER_PRESENT, PLAYER_ALIVE, PLAYER_YAW, PLAYER_FIRING = range(5)
PLAYER_CONNECTED, PLAYER_KILLS, PLAYER_DEATHS = range(5, 8)
PLAYER_HINTS = 8  # two bits for each eighth of the horizon
PLAYER_PLACEMENT = 9  # 0 until the match is over
PLAYER_INTS: Final = 10

HAPPENED: Final = np.dtype(
    [
        ("tick", "<i8"),
        ("kind", "<i2"),
        ("weapon", "<i2"),
        ("value", "<i4"),
        ("actor", "<i4"),
        ("actor_team", "<i4"),
        ("victim", "<i4"),
        ("victim_team", "<i4"),
        ("actor_name", f"S{NAME_BYTES}"),  # as they were called then: a slot may be another's now
        ("victim_name", f"S{NAME_BYTES}"),
    ]
)
NAME: Final = np.dtype(f"S{NAME_BYTES}")


class Half(NamedTuple):
    """One of the two frames: P players, M objects, F fields of T teams."""

    frame: npt.NDArray[Any]  # [1] of FRAME
    ids: npt.NDArray[np.int64]  # [P] player ids
    floats: npt.NDArray[np.float32]  # [PLAYER_FLOATS, P]
    ints: npt.NDArray[np.int32]  # [PLAYER_INTS, P]
    object_floats: npt.NDArray[np.float32]  # [OBJECT_ROWS, M], as of the world
    object_ints: npt.NDArray[np.int32]  # [OBJECT_STATUS_ROWS, M], as of the world
    scores: npt.NDArray[np.int32]  # [F, T]
    names: npt.NDArray[np.bytes_]  # [P], UTF-8
    happened: npt.NDArray[Any]  # [MOST_HAPPENED] of HAPPENED


@dataclass(frozen=True)
class FeedSizes:
    """How much of each a feed has room for."""

    players: int
    objects: int
    teams: int
    fields: int
    constant_bytes: int

    @property
    def half_bytes(self) -> int:
        """Bytes of one of the two frames, a multiple of eight."""
        return (sum(dtype.itemsize * math.prod(shape) for dtype, shape in self._parts()) + 7) // 8 * 8

    @property
    def feed_bytes(self) -> int:
        """Bytes of the feed."""
        return int(HEADER.itemsize) + self.constant_bytes + 2 * self.half_bytes

    def halves(self, memory: mmap.mmap | bytearray | bytes) -> tuple[Half, Half]:
        """The two frames in the memory of a feed."""
        first = int(HEADER.itemsize) + self.constant_bytes
        return self._half(memory, first), self._half(memory, first + self.half_bytes)

    def _half(self, memory: mmap.mmap | bytearray | bytes, at: int) -> Half:
        arrays: list[npt.NDArray[Any]] = []
        for dtype, shape in self._parts():
            count = math.prod(shape)
            part = np.frombuffer(memory, dtype, count, at) if count else np.empty(0, dtype)
            arrays.append(part.reshape(shape))
            at += count * dtype.itemsize
        return Half(*arrays)

    def _parts(self) -> tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]:
        """Type and shape of each part of `Half`."""
        return (
            (FRAME, (1,)),
            (np.dtype("<i8"), (self.players,)),
            (np.dtype("<f4"), (PLAYER_FLOATS, self.players)),
            (np.dtype("<i4"), (PLAYER_INTS, self.players)),
            (np.dtype("<f4"), (OBJECT_ROWS, self.objects)),
            (np.dtype("<i4"), (OBJECT_STATUS_ROWS, self.objects)),
            (np.dtype("<i4"), (self.fields, self.teams)),
            (NAME, (self.players,)),
            (HAPPENED, (MOST_HAPPENED,)),
        )


def sizes_of(header: npt.NDArray[Any]) -> FeedSizes:
    """What the header of a feed says of its sizes."""
    return FeedSizes(
        *(int(header[name]) for name in ("players", "objects", "teams", "fields", "constant_bytes"))
    )
