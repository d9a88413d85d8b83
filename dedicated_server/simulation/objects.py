"""Objects: the entities of a match beside its players, and what their kinds do by themselves.

A mode's hooks place, show and hide them. An object is named by ``place``, its column in the world's arrays:
entity minus the number of players; `first_of_kind` says where a kind begins. What this file adds of itself:
an obstacle that stands is a box for movement and shots, and a projectile flies, ends at boxes, and hits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedicated_server.cards.kinds import KIND_OBSTACLE, KIND_PROJECTILE
from dedicated_server.native.compilation import INLINE, STAGE
from dedicated_server.protocol.entities import HALF_EAST, HALF_UNITS_PER_M
from dedicated_server.protocol.fields import POSITION_UNITS_PER_M
from dedicated_server.protocol.movement import EAST_M, NORTH_M, NOWHERE_M, SOUTH_M, WEST_M
from dedicated_server.simulation.boxes import free_reach
from dedicated_server.simulation.damage import damage
from dedicated_server.simulation.grid import Grid, cell_along, run_of, side_of
from dedicated_server.simulation.heading import direction
from dedicated_server.simulation.world import (
    ALIVE,
    BODY_RADIUS_M,
    MAP_HALF_M,
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_CHANGED_TICK,
    OBJECT_EAST_M,
    OBJECT_KIND,
    OBJECT_NORTH_M,
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    OBJECT_YAW,
    STEP_M,
    TEAM,
    TICK,
    WEAPON_DAMAGE_POINTS,
    WEAPON_RANGE_M,
    X_M,
    Y_M,
    World,
)

NO_OBJECT: Final = -1
MAX_HALF_M: Final = HALF_EAST.mask / HALF_UNITS_PER_M  # the largest half size that the wire has


@njit(cache=True, nogil=True, **INLINE)
def first_of_kind(world: World, kind: int) -> int:
    """The first object of a kind, NO_OBJECT where the card has none; the others follow it."""
    for place in range(world.object_status.shape[1]):
        if world.object_status[OBJECT_KIND, place] == kind:
            return place
    return NO_OBJECT


@njit(cache=True, nogil=True, **INLINE)
def place_object(world: World, place: int, x_m: float, y_m: float) -> None:
    """Put an object at a place, and show it."""
    world.objects[OBJECT_X_M, place] = x_m
    world.objects[OBJECT_Y_M, place] = y_m
    show_object(world, place)


@njit(cache=True, nogil=True, **INLINE)
def show_object(world: World, place: int) -> None:
    """Let others see an object, where it is."""
    world.object_status[OBJECT_SHOWN, place] = 1
    world.object_status[OBJECT_CHANGED_TICK, place] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def hide_object(world: World, place: int) -> None:
    """Let nobody see an object any more; an obstacle stands no longer."""
    world.object_status[OBJECT_SHOWN, place] = 0
    world.object_status[OBJECT_CHANGED_TICK, place] = world.counters[TICK]
    if world.object_status[OBJECT_KIND, place] == KIND_OBSTACLE:
        stand(world, place, False)


# --- obstacles ----------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, **INLINE)
def place_obstacle(
    world: World, place: int, x_m: float, y_m: float, half_east_m: float, half_north_m: float
) -> None:
    """Put up an obstacle around a point; it stands at once.

    Its place and its half sizes are held to the wire's units, so that clients stop where the server does. Who
    is in the way is inside it: not held by it, and not to be shot at.
    """
    units = float(POSITION_UNITS_PER_M)
    world.objects[OBJECT_EAST_M, place] = _half_m(half_east_m)
    world.objects[OBJECT_NORTH_M, place] = _half_m(half_north_m)
    place_object(world, place, np.rint(x_m * units) / units, np.rint(y_m * units) / units)
    stand(world, place, True)


@njit(cache=True, nogil=True, **INLINE)
def _half_m(asked_m: float) -> float:
    return float(min(max(np.rint(asked_m * HALF_UNITS_PER_M) / HALF_UNITS_PER_M, 0.0), MAX_HALF_M))


@njit(cache=True, nogil=True, **INLINE)
def stand(world: World, place: int, standing: bool) -> None:
    """Have an obstacle that was put up stop movement and shots, or stop nothing and be seen all the same."""
    objects, boxes = world.objects, world.boxes
    box = len(boxes) - world.object_status.shape[1] + place  # obstacles are the last objects
    world.object_status[OBJECT_A, place] = 1 if standing else 0
    x_m, half_east_m = objects[OBJECT_X_M, place], objects[OBJECT_EAST_M, place]
    y_m, half_north_m = objects[OBJECT_Y_M, place], objects[OBJECT_NORTH_M, place]
    boxes[box, WEST_M] = x_m - half_east_m if standing else NOWHERE_M
    boxes[box, EAST_M] = x_m + half_east_m if standing else NOWHERE_M
    boxes[box, SOUTH_M] = y_m - half_north_m if standing else NOWHERE_M
    boxes[box, NORTH_M] = y_m + half_north_m if standing else NOWHERE_M


# --- projectiles --------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, **STAGE)
def launch_projectile(
    world: World, owner: int, weapon: int, yaw: int, x_m: float, y_m: float, step_m: float
) -> int:
    """Let a projectile fly; the object that it is, NO_OBJECT where all of them fly already.

    ``owner``: a player, who has its hits; ``weapon``: row of World.weapons, whose damage it does and after
    whose range it ends; ``yaw``: parts of a turn; ``step_m``: how far it flies in a tick, above 0.
    """
    first = first_of_kind(world, KIND_PROJECTILE)
    if first == NO_OBJECT or not step_m > 0.0:
        return NO_OBJECT
    status = world.object_status
    for place in range(first, status.shape[1]):
        if status[OBJECT_KIND, place] != KIND_PROJECTILE:
            break
        if status[OBJECT_SHOWN, place]:
            continue
        cosine, sine = direction(yaw)
        world.objects[OBJECT_EAST_M, place] = cosine * step_m
        world.objects[OBJECT_NORTH_M, place] = sine * step_m
        status[OBJECT_YAW, place] = np.int32(yaw & 0xFFFF)
        status[OBJECT_A, place] = owner
        status[OBJECT_B, place] = weapon
        status[OBJECT_C, place] = np.int32(np.ceil(world.weapons[weapon, WEAPON_RANGE_M] / step_m))
        place_object(world, place, x_m, y_m)
        return place
    return NO_OBJECT


@njit(cache=True, nogil=True, **STAGE)
def fly_projectiles(world: World, grid: Grid) -> None:
    """Move every projectile by its velocity, up to the first box, the map's edge or the first opponent.

    Whom it meets is hurt as its weapon hurts, and it is gone. ``grid`` holds this tick's positions; nobody is
    rewound, as everybody sees it fly.
    """
    status, objects = world.object_status, world.objects
    first = first_of_kind(world, KIND_PROJECTILE)
    if first == NO_OBJECT:
        return
    for place in range(first, status.shape[1]):
        if status[OBJECT_KIND, place] != KIND_PROJECTILE:
            break
        if not status[OBJECT_SHOWN, place]:
            continue
        x_m, y_m = objects[OBJECT_X_M, place], objects[OBJECT_Y_M, place]
        east, north = objects[OBJECT_EAST_M, place], objects[OBJECT_NORTH_M, place]
        step_m = np.sqrt(east * east + north * north)
        if step_m <= 0.0:
            hide_object(world, place)
            continue
        cosine, sine = east / step_m, north / step_m
        reach_m = free_reach(x_m, y_m, cosine, sine, step_m, world.boxes)
        owner, weapon = status[OBJECT_A, place], status[OBJECT_B, place]
        victim, reached_m = first_in_path(world, grid, owner, x_m, y_m, cosine, sine, reach_m)
        objects[OBJECT_X_M, place] = x_m + cosine * reached_m
        objects[OBJECT_Y_M, place] = y_m + sine * reached_m
        status[OBJECT_C, place] -= 1
        half = world.rules[MAP_HALF_M]
        outside = abs(objects[OBJECT_X_M, place]) > half or abs(objects[OBJECT_Y_M, place]) > half
        if victim != NO_OBJECT:
            damage(world, owner, victim, world.weapons[weapon, WEAPON_DAMAGE_POINTS], weapon)
        if victim != NO_OBJECT or reached_m < step_m or outside or status[OBJECT_C, place] <= 0:
            hide_object(world, place)


@njit(cache=True, nogil=True, **INLINE)
def first_in_path(
    world: World,
    grid: Grid,
    owner: int,
    x_m: float,
    y_m: float,
    cosine: float,
    sine: float,
    reach_m: float,
) -> tuple[int, float]:
    """The first living opponent of ``owner`` whom something flying ``reach_m`` touches, and after how far.

    NO_OBJECT and ``reach_m`` where it touches nobody. Of two at one distance it is the lower entity.
    """
    status, side, players = world.status, side_of(grid), world.body.shape[1]
    margin = BODY_RADIUS_M + world.rules[STEP_M]
    first_column = cell_along(grid, side, min(x_m, x_m + cosine * reach_m) - margin)
    last_column = cell_along(grid, side, max(x_m, x_m + cosine * reach_m) + margin)
    victim, nearest_m = NO_OBJECT, reach_m
    for row in range(
        cell_along(grid, side, min(y_m, y_m + sine * reach_m) - margin),
        cell_along(grid, side, max(y_m, y_m + sine * reach_m) + margin) + 1,
    ):
        first, last = run_of(grid, side, row, first_column, last_column)
        for index in range(first, last):
            target = grid.entity[index]
            if target >= players or not status[ALIVE, target] or status[TEAM, target] == status[TEAM, owner]:
                continue
            east, north = world.body[X_M, target] - x_m, world.body[Y_M, target] - y_m
            aside = east * sine - north * cosine
            inside = BODY_RADIUS_M * BODY_RADIUS_M - aside * aside
            if inside < 0.0:
                continue
            half = np.sqrt(inside)  # the path is inside the body from `along - half` to `along + half`
            along = east * cosine + north * sine
            touch_m = max(along - half, 0.0)
            if along + half < 0.0 or touch_m > nearest_m:
                continue
            if touch_m < nearest_m or victim == NO_OBJECT or target < victim:
                victim, nearest_m = int(target), touch_m
    return victim, nearest_m
