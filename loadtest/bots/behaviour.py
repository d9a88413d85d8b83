"""What a bot does, 60 times a second, from what its own client was told: run, stay in the zone, aim at someone seen, fire.

A bot knows nothing that a player at that client would not: it aims at where others are shown, which is as long ago as its link
makes it, and its client says so to the server. Skill shows in the aim alone: the error is redrawn four times a second and its
spread falls with the rating.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.protocol.fields import (
    BUTTON_FIRE,
    FLAG_ALIVE,
    PHASE_PLAYING,
    POSITION_UNITS_PER_M,
    WORLD_HALF_M,
    entity_flags,
    entity_x,
    entity_y,
)
from loadtest.bots.perception import NO_TARGET
from loadtest.bots.rng import next_normal, next_uniform
from loadtest.scenario.behaviour_profiles import BehaviourProfile

RUN = 127  # full speed
YAW_TURN = 65_536
NEAR_M = 4.0  # a waypoint counts as reached
WANDER_S = 6.0  # a new waypoint at the latest after this
SAFE_SHARE = 0.7  # waypoints lie within this share of the zone's radius
LOOK_S = 0.25  # eyes rest three or four times a second: whom to shoot at is asked as often, and at once when the target is gone
AIM_S = 0.25  # a human corrects the aim about four times a second
REACTION_S = 0.25  # from seeing someone to the first shot
STRAFE_S = 0.6
BURST_S = 0.4  # of fire, then a pause

# The aim error's standard deviation in radians is AIM_AT_ZERO · exp(−skill / AIM_FADE). At 40 m a body is 0.025 rad wide, so a
# rating of 16 hits with 5 % of its shots and one of 35 with 11 %.
AIM_AT_ZERO = 0.5
AIM_FADE = 20.0

CAMP_S = 3_600.0  # a camper stays where it is until the zone comes

MOVEMENTS = ("roam", "hunt", "camp", "crowd", "stand")  # as BehaviourProfile has them
ROAM, HUNT, CAMP, CROWD, STAND = range(len(MOVEMENTS))
CROWD_M = 3.0  # a crowd stands within this of the middle of the zone

BOT_STATE_DTYPE = np.dtype(
    [
        ("aim_spread_radians", np.float64),
        ("rest_s", np.float64),  # from the end of a burst to the next
        ("sight_m", np.float64),  # shoots at nobody beyond this; the rifle reaches 120
        ("aim_error_radians", np.float64),
        ("aim_until_s", np.float64),
        ("waypoint_x_m", np.float64),
        ("waypoint_y_m", np.float64),
        ("wander_until_s", np.float64),
        ("look_until_s", np.float64),
        ("seen_since_s", np.float64),  # when the present target came into sight
        ("fire_until_s", np.float64),  # the present burst's end
        ("rest_until_s", np.float64),  # no new burst before this, whoever comes into sight
        ("strafe_until_s", np.float64),
        ("strafe_side", np.float64),  # −1, 0 or 1
        ("target", np.int32),  # entity aimed at, or NOBODY
        ("movement", np.int8),  # index into MOVEMENTS
        ("move_x", np.int8),
        ("move_y", np.int8),
        ("buttons", np.uint8),
        ("yaw", np.uint16),
    ]
)


def new_bot_states(
    skill: npt.NDArray[np.float64],
    kinds: Sequence[BehaviourProfile],
    kind: npt.NDArray[np.integer[Any]],
    rest_s: float,
) -> npt.NDArray[np.void]:
    """The minds of ``len(skill)`` bots, before they have seen anything.

    Args:
        skill: float64[bots], on OpenSkill's scale.
        kinds: the kinds of players there are.
        kind: int[bots], index into ``kinds``.
        rest_s: pause between two bursts of fire, of a kind whose ``rest`` is 1.
    """
    brains = np.zeros(len(skill), BOT_STATE_DTYPE)
    brains["aim_spread_radians"] = AIM_AT_ZERO * np.exp(-skill / AIM_FADE)
    brains["rest_s"] = rest_s * np.array([each.rest for each in kinds])[kind]
    brains["sight_m"] = np.array([each.sight_m for each in kinds])[kind]
    brains["movement"] = np.array([MOVEMENTS.index(each.movement) for each in kinds])[kind]
    brains["target"] = NO_TARGET
    return brains


@njit(cache=True, nogil=True, **STAGE)
def nearest_enemy(
    seen: npt.NDArray[np.int64],
    seen_tick: npt.NDArray[np.int32],
    own: int,
    own_x_m: float,
    own_y_m: float,
    sight_m: float,
) -> int:
    """The entity nearest to (own_x_m, own_y_m) that is in view, alive, within ``sight_m`` and not ``own``; or NOBODY.

    Args:
        seen: int64[entities], packed records of one client.
        seen_tick: int32[entities], 0 where the entity is not in view.
    """
    nearest, nearest_square = NO_TARGET, sight_m * sight_m
    for entity in range(len(seen)):
        if entity == own or seen_tick[entity] == 0 or not entity_flags(seen[entity]) & FLAG_ALIVE:
            continue
        east, north = entity_x(seen[entity]) - own_x_m, entity_y(seen[entity]) - own_y_m
        square = east * east + north * north
        if square < nearest_square:
            nearest, nearest_square = entity, square
    return nearest


@njit(cache=True, nogil=True, **STAGE)
def choose_target(
    brains: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_record: int,
    seen: npt.NDArray[np.int64],
    seen_tick: npt.NDArray[np.int32],
    now_s: float,
) -> int:
    """Choose whom ``bot`` aims at now, of those that its client was told of; the entity or NOBODY.

    Args:
        brains: BRAIN_DTYPE[bots].
        streams: uint64[bots], random streams.
        session: this bot's record of ``ClientSessions.state.sessions``.
        own_record: its own body, 0 while it is not in view.
        seen, seen_tick: this bot's newest record of each entity, and when it was told of it, [entities].
    """
    mind = brains[bot]
    if session.match_phase != PHASE_PLAYING or not entity_flags(own_record) & FLAG_ALIVE:
        mind.target, mind.look_until_s = NO_TARGET, now_s
        return NO_TARGET
    target = mind.target
    lost = target != NO_TARGET and (seen_tick[target] == 0 or not entity_flags(seen[target]) & FLAG_ALIVE)
    if lost or now_s >= mind.look_until_s:
        mind.look_until_s = now_s + LOOK_S * (0.5 + next_uniform(streams, bot))
        own = session.own_entity
        target = nearest_enemy(seen, seen_tick, own, entity_x(own_record), entity_y(own_record), mind.sight_m)
        if target != mind.target:
            mind.target, mind.seen_since_s, mind.aim_until_s = target, now_s, now_s
    return int(mind.target)


@njit(cache=True, nogil=True, **STAGE)
def decide(
    brains: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_record: int,
    enemy_record: int,
    now_s: float,
) -> None:
    """Write what ``bot`` does now into ``brains[bot]``: move_x, move_y, yaw, buttons. Behind ``look``.

    Args:
        own_record, enemy_record: its own body and the target, as its client shows them; 0 where there is none.
    """
    mind = brains[bot]
    mind.move_x, mind.move_y, mind.buttons = 0, 0, 0
    if session.match_phase != PHASE_PLAYING or not entity_flags(own_record) & FLAG_ALIVE:
        return
    own_x_m, own_y_m = entity_x(own_record), entity_y(own_record)
    target = mind.target
    if now_s >= mind.aim_until_s:
        mind.aim_until_s = now_s + AIM_S
        mind.aim_error_radians = mind.aim_spread_radians * next_normal(streams, bot)
    heading = _way(brains, streams, bot, session, own_x_m, own_y_m, now_s)
    look = heading
    still = mind.movement == STAND or (mind.movement in (CAMP, CROWD) and _there(mind, own_x_m, own_y_m))
    if target != NO_TARGET:
        bearing = math.atan2(entity_y(enemy_record) - own_y_m, entity_x(enemy_record) - own_x_m)
        look = bearing + mind.aim_error_radians
        if now_s >= max(mind.seen_since_s + REACTION_S, mind.rest_until_s):
            mind.fire_until_s = now_s + BURST_S
            mind.rest_until_s = now_s + BURST_S + mind.rest_s
        if now_s < mind.fire_until_s:
            mind.buttons = BUTTON_FIRE
        if now_s >= mind.strafe_until_s:
            mind.strafe_until_s = now_s + STRAFE_S * (0.5 + next_uniform(streams, bot))
            mind.strafe_side = math.floor(3.0 * next_uniform(streams, bot)) - 1.0
        if not _outside(session, own_x_m, own_y_m):
            if mind.strafe_side != 0.0:
                heading = bearing + mind.strafe_side * 0.5 * math.pi
            elif mind.movement == HUNT:
                heading = bearing
    if not still:
        mind.move_x = int(RUN * math.cos(heading))
        mind.move_y = int(RUN * math.sin(heading))
    mind.yaw = int(look * (YAW_TURN / (2.0 * math.pi))) & (YAW_TURN - 1)


@njit(cache=True, nogil=True, **STAGE)
def _way(
    brains: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_x_m: float,
    own_y_m: float,
    now_s: float,
) -> float:
    """The heading in radians to the bot's waypoint, a fresh one where the old is reached, stale, or outside the zone."""
    mind = brains[bot]
    zone_x_m, zone_y_m, radius_m = _zone(session)
    east, north = mind.waypoint_x_m - own_x_m, mind.waypoint_y_m - own_y_m
    off_x_m, off_y_m = mind.waypoint_x_m - zone_x_m, mind.waypoint_y_m - zone_y_m
    reached = mind.movement < CAMP and east * east + north * north < NEAR_M * NEAR_M
    outside = off_x_m * off_x_m + off_y_m * off_y_m > radius_m * radius_m
    if reached or outside or now_s >= mind.wander_until_s:
        stay_s = CAMP_S if mind.movement == CAMP else WANDER_S
        reach_m = min(CROWD_M, radius_m) if mind.movement == CROWD else SAFE_SHARE * radius_m
        mind.wander_until_s = now_s + stay_s * (0.5 + next_uniform(streams, bot))
        distance_m = reach_m * math.sqrt(next_uniform(streams, bot))
        turn = 2.0 * math.pi * next_uniform(streams, bot)
        mind.waypoint_x_m = zone_x_m + distance_m * math.cos(turn)
        mind.waypoint_y_m = zone_y_m + distance_m * math.sin(turn)
        east, north = mind.waypoint_x_m - own_x_m, mind.waypoint_y_m - own_y_m
    return math.atan2(north, east)


@njit(cache=True, nogil=True, **STAGE)
def _there(mind: Any, own_x_m: float, own_y_m: float) -> bool:
    """Whether the bot has come to its waypoint."""
    east, north = mind.waypoint_x_m - own_x_m, mind.waypoint_y_m - own_y_m
    return bool(east * east + north * north < 1.0)


@njit(cache=True, nogil=True, **STAGE)
def _outside(session: Any, own_x_m: float, own_y_m: float) -> bool:
    """Whether the zone is nearly lost: then a bot runs inside whoever shoots."""
    zone_x_m, zone_y_m, radius_m = _zone(session)
    east, north = own_x_m - zone_x_m, own_y_m - zone_y_m
    return bool(east * east + north * north > (SAFE_SHARE * radius_m) ** 2)


@njit(cache=True, nogil=True, **STAGE)
def _zone(session: Any) -> tuple[float, float, float]:
    """Centre and radius of the zone, in metres; the wire has units of 1/64 m from the map's corner."""
    return (
        session.zone_x / POSITION_UNITS_PER_M - WORLD_HALF_M,
        session.zone_y / POSITION_UNITS_PER_M - WORLD_HALF_M,
        session.zone_radius / POSITION_UNITS_PER_M,
    )
