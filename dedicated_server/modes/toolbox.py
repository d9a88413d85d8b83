"""What hooks are written with: questions to a world, and what may be done to it. See docs/writing-a-mode.md.

A player is a number from 0 to ``players(world) - 1``, and is the entity of that number. An object (a flag, an
item) is a number from 0, in the order of the card's kinds; its entity is ``players(world)`` more.
"""

from __future__ import annotations

import math

from numba import njit

from dedicated_server.cards import ModeCard, read_card
from dedicated_server.cards.card import MAX_SCORE
from dedicated_server.modes.defaults import limit_reached, one_team_left, over, placements, spawn
from dedicated_server.modes.entries import hook
from dedicated_server.native.compilation import INLINE
from dedicated_server.protocol.fields import FLAG_AT_HOME, FLAG_CARRIED, FLAG_DROPPED, TICK_HZ
from dedicated_server.simulation.damage import damage as hurt
from dedicated_server.simulation.damage import zone_closed as time_is_up
from dedicated_server.simulation.event_buffer import emit_mode_event as emit_event
from dedicated_server.simulation.mode import rank_teams
from dedicated_server.simulation.objects import hide_object, launch_projectile, place_obstacle, stand
from dedicated_server.simulation.world import (
    ALIVE,
    FULL_HEALTH_POINTS,
    HEALTH_POINTS,
    NOBODY,
    OBJECT_A,
    OBJECT_B,
    OBJECT_C,
    OBJECT_CHANGED_TICK,
    OBJECT_SHOWN,
    OBJECT_X_M,
    OBJECT_Y_M,
    START_TICK,
    TEAM,
    TICK,
    X_M,
    Y_M,
    World,
)


@njit(cache=True, nogil=True, **INLINE)
def players(world: World) -> int:
    """How many slots for players the match has."""
    return int(world.body.shape[1])


@njit(cache=True, nogil=True, **INLINE)
def objects(world: World) -> int:
    """How many objects the match has, of all kinds."""
    return int(world.objects.shape[1])


@njit(cache=True, nogil=True, **INLINE)
def seconds_played(world: World) -> float:
    """Seconds since play began."""
    return float(world.counters[TICK] - world.counters[START_TICK]) / TICK_HZ


@njit(cache=True, nogil=True, **INLINE)
def is_alive(world: World, player: int) -> bool:
    """Whether a slot has a player who is alive."""
    return bool(world.status[ALIVE, player] != 0)


@njit(cache=True, nogil=True, **INLINE)
def team_of(world: World, player: int) -> int:
    """The team of a player."""
    return int(world.status[TEAM, player])


@njit(cache=True, nogil=True, **INLINE)
def position_of(world: World, player: int) -> tuple[float, float]:
    """Where a player is, in metres east and north of the map's centre."""
    return world.body[X_M, player], world.body[Y_M, player]


@njit(cache=True, nogil=True, **INLINE)
def distance_m(x_m: float, y_m: float, to_x_m: float, to_y_m: float) -> float:
    """Metres between two places."""
    return math.sqrt((to_x_m - x_m) ** 2 + (to_y_m - y_m) ** 2)


@njit(cache=True, nogil=True, **INLINE)
def is_within(world: World, player: int, reach_m: float, x_m: float, y_m: float) -> bool:
    """Whether a living player is within ``reach_m`` metres of a place."""
    own_x_m, own_y_m = position_of(world, player)
    return bool(is_alive(world, player) and distance_m(own_x_m, own_y_m, x_m, y_m) <= reach_m)


@njit(cache=True, nogil=True, **INLINE)
def heal(world: World, player: int, points: float) -> None:
    """Give a living player health points, up to full health."""
    if is_alive(world, player):
        world.body[HEALTH_POINTS, player] = min(
            world.body[HEALTH_POINTS, player] + points, FULL_HEALTH_POINTS
        )


@njit(cache=True, nogil=True, **INLINE)
def add_score(world: World, field: int, team: int, points: int) -> int:
    """Add to a team's score, which stays between 0 and what the wire can say; returns what it is then.

    ``field``: its place among the card's score fields.
    """
    score = min(max(int(world.scores[field, team]) + points, 0), MAX_SCORE)
    world.scores[field, team] = score
    return score


@njit(cache=True, nogil=True, **INLINE)
def is_shown(world: World, number: int) -> bool:
    """Whether an object is in the match now."""
    return bool(world.object_status[OBJECT_SHOWN, number] != 0)


@njit(cache=True, nogil=True, **INLINE)
def object_position(world: World, number: int) -> tuple[float, float]:
    """Where an object is, in metres."""
    return world.objects[OBJECT_X_M, number], world.objects[OBJECT_Y_M, number]


@njit(cache=True, nogil=True, **INLINE)
def place_object(world: World, number: int, x_m: float, y_m: float) -> None:
    """Put an object somewhere, shown, and carried or taken by nobody."""
    world.objects[OBJECT_X_M, number] = x_m
    world.objects[OBJECT_Y_M, number] = y_m
    world.object_status[OBJECT_SHOWN, number] = 1
    world.object_status[OBJECT_B, number] = NOBODY
    world.object_status[OBJECT_CHANGED_TICK, number] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def move_object(world: World, number: int, x_m: float, y_m: float) -> None:
    """Move an object, as whoever carries it does in each tick."""
    world.objects[OBJECT_X_M, number] = x_m
    world.objects[OBJECT_Y_M, number] = y_m


@njit(cache=True, nogil=True, **INLINE)
def take_item(world: World, number: int, player: int) -> None:
    """Note that a player has taken an item, and take it out of the match."""
    hide_object(world, number)
    world.object_status[OBJECT_B, number] = player


@njit(cache=True, nogil=True, **INLINE)
def first_within(world: World, reach_m: float, x_m: float, y_m: float, but_of_team: int) -> int:
    """The living player who is nearest to a place and within ``reach_m`` of it; NOBODY where none is.

    Of two at one distance it is the lower number. ``but_of_team``: a team that does not count; NOBODY: all
    do.
    """
    nearest, nearest_m = NOBODY, reach_m
    for player in range(players(world)):
        if not is_alive(world, player) or team_of(world, player) == but_of_team:
            continue
        own_x_m, own_y_m = position_of(world, player)
        away_m = distance_m(own_x_m, own_y_m, x_m, y_m)
        if away_m < nearest_m or (nearest == NOBODY and away_m <= reach_m):
            nearest, nearest_m = player, away_m
    return nearest


@njit(cache=True, nogil=True, **INLINE)
def flag_home(world: World, flag: int, team: int, x_m: float, y_m: float) -> None:
    """Put a team's flag at home."""
    place_object(world, flag, x_m, y_m)
    world.object_status[OBJECT_A, flag] = team
    world.object_status[OBJECT_C, flag] = FLAG_AT_HOME


@njit(cache=True, nogil=True, **INLINE)
def carry_flag(world: World, flag: int, player: int) -> None:
    """Let a player carry a flag."""
    world.object_status[OBJECT_B, flag] = player
    world.object_status[OBJECT_C, flag] = FLAG_CARRIED
    world.object_status[OBJECT_CHANGED_TICK, flag] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def drop_flag(world: World, flag: int) -> None:
    """Let a flag lie where it is."""
    world.object_status[OBJECT_B, flag] = NOBODY
    world.object_status[OBJECT_C, flag] = FLAG_DROPPED
    world.object_status[OBJECT_CHANGED_TICK, flag] = world.counters[TICK]


@njit(cache=True, nogil=True, **INLINE)
def flag_state(world: World, flag: int) -> int:
    """FLAG_AT_HOME, FLAG_CARRIED or FLAG_DROPPED."""
    return int(world.object_status[OBJECT_C, flag])


@njit(cache=True, nogil=True, **INLINE)
def flag_carrier(world: World, flag: int) -> int:
    """Who carries a flag, NOBODY where nobody does."""
    return int(world.object_status[OBJECT_B, flag])


__all__ = [
    "FLAG_AT_HOME",
    "FLAG_CARRIED",
    "FLAG_DROPPED",
    "FULL_HEALTH_POINTS",
    "NOBODY",
    "TICK_HZ",
    "ModeCard",
    "World",
    "add_score",
    "carry_flag",
    "distance_m",
    "drop_flag",
    "emit_event",
    "first_within",
    "flag_carrier",
    "flag_home",
    "flag_state",
    "heal",
    "hide_object",
    "hook",
    "hurt",
    "is_alive",
    "is_shown",
    "is_within",
    "launch_projectile",
    "limit_reached",
    "move_object",
    "object_position",
    "objects",
    "one_team_left",
    "over",
    "place_object",
    "place_obstacle",
    "placements",
    "players",
    "position_of",
    "rank_teams",
    "read_card",
    "seconds_played",
    "spawn",
    "stand",
    "take_item",
    "team_of",
    "time_is_up",
]
