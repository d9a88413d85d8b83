"""What a bot does, 60 times a second, from what its own client knows: run, stay in the zone, aim at an enemy
in view, fire.

A bot knows nothing that a player at that client would not. It aims at where others are shown, which is as old
as its link makes it, and its client reports that time to the server. Skill affects the aim alone: the error
is redrawn four times a second, and its spread falls with the rating.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.protocol.entities import (
    FLAG_ALIVE,
    Record,
    entity_flags,
    entity_x,
    entity_y,
    load_record,
)
from dedicated_server.protocol.fields import (
    BUTTON_FIRE,
    PHASE_PLAYING,
    POSITION_UNITS_PER_M,
    WORLD_HALF_M,
)
from loadtest.bots.perception import NO_TARGET
from loadtest.bots.rng import next_normal, next_uniform
from loadtest.scenario.behaviour_profiles import BehaviourProfile

RUN = 127  # full speed
YAW_TURN = 65_536
NEAR_M = 4.0  # a waypoint counts as reached
WANDER_S = 6.0  # a new waypoint at the latest after this
SAFE_SHARE = 0.7  # waypoints lie within this share of the zone's radius
TARGET_S = 0.25  # a target is chosen about as often as human eyes rest, and at once when the old one is gone
AIM_S = 0.25  # a human corrects the aim about four times a second
REACTION_S = 0.25  # from seeing someone to the first shot
STRAFE_S = 0.6
BURST_S = 0.4  # of fire, then a pause

# The aim error's standard deviation in radians is AIM_AT_ZERO · exp(−skill / AIM_FADE). At 40 m a body is
# 0.025 rad wide, so a rating of 16 hits with 5 % of its shots and one of 35 with 11 %.
AIM_AT_ZERO = 0.5
AIM_FADE = 20.0

CAMP_S = 3_600.0  # a camper stays where it is until the zone comes

MOVEMENTS = ("roam", "hunt", "camp", "crowd", "stand")  # as BehaviourProfile has them
ROAM, HUNT, CAMP, CROWD, STAND = range(len(MOVEMENTS))
CROWD_M = 3.0  # a crowd stands within this of the middle of the zone

BOT_STATE_DTYPE = np.dtype(
    [
        ("aim_spread_radians", np.float64),
        ("rest_s", np.float64),  # from the end of a burst to the start of the next
        ("sight_m", np.float64),  # shoots at nobody beyond this; the rifle reaches 120
        ("aim_error_radians", np.float64),
        ("aim_until_s", np.float64),
        ("waypoint_x_m", np.float64),
        ("waypoint_y_m", np.float64),
        ("wander_until_s", np.float64),
        ("target_until_s", np.float64),
        ("seen_since_s", np.float64),  # when the present target came into sight
        ("fire_until_s", np.float64),  # the present burst's end
        ("rest_until_s", np.float64),  # no new burst before this, even at a new target
        ("strafe_until_s", np.float64),
        ("strafe_side", np.float64),  # −1, 0 or 1
        ("target", np.int32),  # entity aimed at, or NO_TARGET
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
    """The state of ``len(skill)`` bots before they have seen anything.

    Args:
        skill: float64[bots], on OpenSkill's scale.
        kinds: the kinds of players.
        kind: int[bots], index into ``kinds``.
        rest_s: pause between two bursts of fire, of a kind whose ``rest`` is 1.
    """
    bot_states = np.zeros(len(skill), BOT_STATE_DTYPE)
    bot_states["aim_spread_radians"] = AIM_AT_ZERO * np.exp(-skill / AIM_FADE)
    bot_states["rest_s"] = rest_s * np.array([each.rest for each in kinds])[kind]
    bot_states["sight_m"] = np.array([each.sight_m for each in kinds])[kind]
    bot_states["movement"] = np.array([MOVEMENTS.index(each.movement) for each in kinds])[kind]
    bot_states["target"] = NO_TARGET
    return bot_states


@njit(cache=True, nogil=True, **STAGE)
def nearest_enemy(
    seen: npt.NDArray[np.int64],
    seen_tick: npt.NDArray[np.int32],
    own: int,
    own_x_m: float,
    own_y_m: float,
    sight_m: float,
) -> int:
    """The entity nearest to (own_x_m, own_y_m) that is in view, alive, within ``sight_m`` and not ``own``; or
    NO_TARGET.

    Args:
        seen: int64[entities, RECORD_WORDS], records of one client.
        seen_tick: int32[entities], 0 where the entity is not in view.
    """
    nearest, nearest_square = NO_TARGET, sight_m * sight_m
    for entity in range(len(seen)):
        if entity == own or seen_tick[entity] == 0:
            continue
        record = load_record(seen[entity])
        if not entity_flags(record) & FLAG_ALIVE:
            continue
        east, north = entity_x(record) - own_x_m, entity_y(record) - own_y_m
        square = east * east + north * north
        if square < nearest_square:
            nearest, nearest_square = entity, square
    return nearest


@njit(cache=True, nogil=True, **STAGE)
def choose_target(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_record: Record,
    seen: npt.NDArray[np.int64],
    seen_tick: npt.NDArray[np.int32],
    now_s: float,
) -> int:
    """Choose whom ``bot`` aims at now, of the entities that its client knows; the entity or NO_TARGET.

    Args:
        bot_states: BRAIN_DTYPE[bots].
        streams: uint64[bots], random streams.
        session: this bot's record of ``ClientSessions.state.sessions``.
        own_record: its own body, NO_RECORD while it is not in view.
        seen, seen_tick: int64[entities, RECORD_WORDS] and int32[entities], the newest record of each entity
            and its tick; 0: not in view.
        now_s: seconds of the machine's monotonic clock.
    """
    state = bot_states[bot]
    if session.match_phase != PHASE_PLAYING or not entity_flags(own_record) & FLAG_ALIVE:
        state.target, state.target_until_s = NO_TARGET, now_s
        return NO_TARGET
    target = state.target
    lost = target != NO_TARGET and (
        seen_tick[target] == 0 or not entity_flags(load_record(seen[target])) & FLAG_ALIVE
    )
    if lost or now_s >= state.target_until_s:
        state.target_until_s = now_s + TARGET_S * (0.5 + next_uniform(streams, bot))
        own = session.own_entity
        target = nearest_enemy(
            seen, seen_tick, own, entity_x(own_record), entity_y(own_record), state.sight_m
        )
        if target != state.target:
            state.target, state.seen_since_s, state.aim_until_s = target, now_s, now_s
    return int(state.target)


@njit(cache=True, nogil=True, **STAGE)
def decide(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_record: Record,
    enemy_record: Record,
    now_s: float,
) -> None:
    """Write what ``bot`` does now into ``bot_states[bot]``: move_x, move_y, yaw, buttons. Call it after
    ``choose_target``.

    Args:
        own_record, enemy_record: its own body and the target, as its client shows them; NO_RECORD where
            there is none.
    """
    state = bot_states[bot]
    state.move_x, state.move_y, state.buttons = 0, 0, 0
    if session.match_phase != PHASE_PLAYING or not entity_flags(own_record) & FLAG_ALIVE:
        return
    own_x_m, own_y_m = entity_x(own_record), entity_y(own_record)
    target = state.target
    if now_s >= state.aim_until_s:
        state.aim_until_s = now_s + AIM_S
        state.aim_error_radians = state.aim_spread_radians * next_normal(streams, bot)
    heading = _heading(bot_states, streams, bot, session, own_x_m, own_y_m, now_s)
    view = heading
    still = state.movement == STAND or (
        state.movement in (CAMP, CROWD) and _at_waypoint(state, own_x_m, own_y_m)
    )
    if target != NO_TARGET:
        bearing = math.atan2(entity_y(enemy_record) - own_y_m, entity_x(enemy_record) - own_x_m)
        view = bearing + state.aim_error_radians
        if now_s >= max(state.seen_since_s + REACTION_S, state.rest_until_s):
            state.fire_until_s = now_s + BURST_S
            state.rest_until_s = now_s + BURST_S + state.rest_s
        if now_s < state.fire_until_s:
            state.buttons = BUTTON_FIRE
        if now_s >= state.strafe_until_s:
            state.strafe_until_s = now_s + STRAFE_S * (0.5 + next_uniform(streams, bot))
            state.strafe_side = math.floor(3.0 * next_uniform(streams, bot)) - 1.0
        if not _near_edge(session, own_x_m, own_y_m):
            if state.strafe_side != 0.0:
                heading = bearing + state.strafe_side * 0.5 * math.pi
            elif state.movement == HUNT:
                heading = bearing
    if not still:
        state.move_x = int(RUN * math.cos(heading))
        state.move_y = int(RUN * math.sin(heading))
    state.yaw = int(view * (YAW_TURN / (2.0 * math.pi))) & (YAW_TURN - 1)


@njit(cache=True, nogil=True, **STAGE)
def _heading(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    own_x_m: float,
    own_y_m: float,
    now_s: float,
) -> float:
    """The heading in radians to the bot's waypoint; a new one where the old is reached, too old, or outside
    the zone.
    """
    state = bot_states[bot]
    zone_x_m, zone_y_m, radius_m = _zone(session)
    east, north = state.waypoint_x_m - own_x_m, state.waypoint_y_m - own_y_m
    off_x_m, off_y_m = state.waypoint_x_m - zone_x_m, state.waypoint_y_m - zone_y_m
    reached = state.movement < CAMP and east * east + north * north < NEAR_M * NEAR_M
    outside = off_x_m * off_x_m + off_y_m * off_y_m > radius_m * radius_m
    if reached or outside or now_s >= state.wander_until_s:
        stay_s = CAMP_S if state.movement == CAMP else WANDER_S
        reach_m = min(CROWD_M, radius_m) if state.movement == CROWD else SAFE_SHARE * radius_m
        state.wander_until_s = now_s + stay_s * (0.5 + next_uniform(streams, bot))
        distance_m = reach_m * math.sqrt(next_uniform(streams, bot))
        turn = 2.0 * math.pi * next_uniform(streams, bot)
        state.waypoint_x_m = zone_x_m + distance_m * math.cos(turn)
        state.waypoint_y_m = zone_y_m + distance_m * math.sin(turn)
        east, north = state.waypoint_x_m - own_x_m, state.waypoint_y_m - own_y_m
    return math.atan2(north, east)


@njit(cache=True, nogil=True, **STAGE)
def _at_waypoint(state: Any, own_x_m: float, own_y_m: float) -> bool:
    """Whether the bot is within a metre of its waypoint."""
    east, north = state.waypoint_x_m - own_x_m, state.waypoint_y_m - own_y_m
    return bool(east * east + north * north < 1.0)


@njit(cache=True, nogil=True, **STAGE)
def _near_edge(session: Any, own_x_m: float, own_y_m: float) -> bool:
    """Whether the bot is near the zone's edge or beyond it: then it runs inside, even under fire."""
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
