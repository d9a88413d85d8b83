"""Visibility: the entities within a client's horizon, with hysteresis at its edge, as sets.

Everybody is measured, by a loop without a branch that takes four at a time: 0.7 ns each, a third of what it
takes to fetch those in reach from the cells of a grid, be they a tenth of all. Team mates and flags are
visible at any distance. An object that is not shown is in nobody's view.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INLINE, Ints, Words, njit
from dedicated_server.replication.priority import (
    HORIZON_M,
    LAST_RING,
    LEAVE_FACTOR,
    OUTER_M,
    RINGS,
    STILL_RING,
)
from dedicated_server.replication.wheel import GROUP, list_members
from dedicated_server.simulation.world import (
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    PRESENT,
    SHOWN,
    X_M,
    Y_M,
    World,
)

Floats = npt.NDArray[np.float64]

DUEL_SQUARE, SIGHT_SQUARE, FAR_SQUARE, HORIZON_SQUARE = (float(outer_m) ** 2 for outer_m in OUTER_M)
REACH_M: Final = HORIZON_M * LEAVE_FACTOR
REACH_SQUARE: Final = REACH_M**2
REACH: Final = RINGS  # row of ``near`` behind those of the rings: who may stay in view
NOWHERE_M: Final = np.inf

_NOBODY = np.uint64(0)
_ONE = np.uint64(1)


@njit(cache=True, nogil=True, **INLINE)
def place_entities(
    world: World, far_seen: Ints, east_m: Floats, north_m: Floats, present: Words, far: Words
) -> None:
    """Where every entity is that is shown, and who is visible from afar, for the clients' looks of a tick.

    ``east_m``, ``north_m``: float64[GROUP * G], NOWHERE_M for who is not shown. ``present``, ``far``:
    uint64[G], the players who are in the match, and those of the objects ``far_seen`` that are shown.
    """
    players = world.body.shape[1]
    present[:] = _NOBODY
    far[:] = _NOBODY
    for player in range(players):
        shown = world.status[SHOWN, player] != 0
        east_m[player] = world.body[X_M, player] if shown else NOWHERE_M
        north_m[player] = world.body[Y_M, player]
        here = np.uint64(world.status[PRESENT, player] != 0)
        present[player >> 6] |= here << np.uint64(player & 63)
    for number in range(world.objects.shape[1]):
        shown = world.object_status[OBJECT_SHOWN, number] != 0
        east_m[players + number] = world.objects[OBJECT_X_M, number] if shown else NOWHERE_M
        north_m[players + number] = world.objects[OBJECT_Y_M, number]
    for number in far_seen:
        entity = players + number
        shown = np.uint64(world.object_status[OBJECT_SHOWN, number] != 0)
        far[entity >> 6] |= shown << np.uint64(entity & 63)


@njit(cache=True, nogil=True, **INLINE)
def measure(east_m: Floats, north_m: Floats, x_m: float, y_m: float, near: Words) -> None:
    """Who is around a place: ``near`` (uint64[RINGS + 1, G]) gets the sets of those within the outer radius
    of each ring, and within REACH_M.

    ``east_m``, ``north_m``: as of `place_entities`. A choice between two words, not a branch: the compiler
    measures four entities at once.
    """
    for group in range(near.shape[1]):
        duel = sight = far = horizon = reach = _NOBODY
        for place in range(GROUP):
            east, north = east_m[GROUP * group + place] - x_m, north_m[GROUP * group + place] - y_m
            square = east * east + north * north
            bit = _ONE << np.uint64(place)
            duel |= bit if square <= DUEL_SQUARE else _NOBODY
            sight |= bit if square <= SIGHT_SQUARE else _NOBODY
            far |= bit if square <= FAR_SQUARE else _NOBODY
            horizon |= bit if square <= HORIZON_SQUARE else _NOBODY
            reach |= bit if square <= REACH_SQUARE else _NOBODY
        near[0, group], near[1, group], near[2, group] = duel, sight, far
        near[RINGS - 1, group], near[REACH, group] = horizon, reach


@njit(cache=True, nogil=True, **INLINE)
def update_view(
    near: Words, within: Words, afar: Words, still: Words, client: int, left: Ints, come: Words, gone: Words
) -> tuple[int, bool]:
    """Renew the view of one client from who is ``near``, as `measure` has it, and who is seen from ``afar``.

    Returns how many are in ``left`` (int32), and whether anybody came. When ``left`` is full the others stay
    in view until the next look.

    Args:
        within: uint64[RINGS, G], the view: those of it within each ring; the last row is all of it. The
            client itself is in none.
        afar: uint64[G].
        still: uint64[G], who counts as in STILL_RING however near.
        come, gone: uint64[G], get who came into view and who left it.
    """
    count, comes = 0, False
    for group in range(len(afar)):
        own = _ONE << np.uint64(client & 63) if group == client >> 6 else _NOBODY
        view = within[LAST_RING, group]
        leaves = view & ~(near[REACH, group] | afar[group])
        comers = (near[LAST_RING, group] | afar[group]) & ~(view | own)
        for ring in range(LAST_RING):
            within[ring, group] = near[ring, group] & ~(
                own | (still[group] if ring < STILL_RING else _NOBODY)
            )
        stays = leaves
        if leaves != _NOBODY:
            listed = list_members(leaves, group, left, count, len(left))
            for _ in range(listed - count):
                stays &= stays - _ONE
            count = listed
        gone[group] = leaves & ~stays
        come[group] = comers
        comes |= comers != _NOBODY
        within[LAST_RING, group] = (view & ~gone[group]) | comers
    return count, comes
