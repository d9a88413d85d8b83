"""What a bot does, 60 times a second, from what its own client knows: run, stay in the zone or go for what
the mode rewards, aim at an enemy in view, fire.

A bot knows nothing that a player at that client would not. It aims at where others are shown, which is as old
as its link makes it, and its client reports that time to the server. Skill affects the aim alone: the error
is redrawn four times a second, and its spread falls with the rating.

Where a mode has a goal, those who roam and those who hunt go for it; an enemy in sight makes them weave on
the way. Those who camp, crowd or stand do so in every mode.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INNER, STAGE, njit
from dedicated_server.protocol.client.knowledge import ModeView, is_playing, own_position
from dedicated_server.protocol.fields import POSITION_UNITS_PER_M, WORLD_HALF_M
from loadtest.bots.aim import fire, has_line_of_fire, redraw_aim
from loadtest.bots.bot_state import CAMP, CROWD, HUNT, ROAM, STAND
from loadtest.bots.mode_table import ModeTable
from loadtest.bots.perception import NO_TARGET
from loadtest.bots.rng import next_uniform
from loadtest.bots.terrain import steer

RUN = 127  # full speed
YAW_TURN = 65_536
NEAR_M = 4.0  # a waypoint counts as reached
WANDER_S = 6.0  # a new waypoint at the latest after this
SAFE_SHARE = 0.7  # waypoints lie within this share of the zone's radius
STRAFE_S = 0.6
WEAVE_TURNS = 1.0 / 6.0  # off the way to a goal, to either side, while an enemy is in sight
THERE_M = 0.2  # a goal counts as reached
STEER_S = 0.25  # the way around boxes is looked for so often, and at a corner, and when the place has changed
CORNER_REACHED_M = 0.3
PLACE_CHANGED_M = 1.0
CAMP_S = 3_600.0  # a camper stays where it is until the zone comes
CROWD_M = 3.0  # a crowd stands within this of the middle of the zone


@njit(cache=True, nogil=True, **STAGE)
def decide(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    view: ModeView,
    client: int,
    modes: ModeTable,
    mode: int,
    enemy_x_m: float,
    enemy_y_m: float,
    goal_x_m: float,
    goal_y_m: float,
    now_s: float,
) -> None:
    """Write what ``bot`` does now into ``bot_states[bot]``: move_x, move_y, yaw, buttons. Call it after
    ``choose_target``.

    Args:
        enemy_x_m, enemy_y_m: where the client shows the target; not a number where there is none.
        goal_x_m, goal_y_m: what the mode's hook says the bot goes for; not a number where it has no goal.
    """
    state = bot_states[bot]
    state.move_x, state.move_y, state.buttons = 0, 0, 0
    if not is_playing(view, client):
        return
    session = view.wire.sessions[client]
    own_x_m, own_y_m = own_position(view, client)
    redraw_aim(bot_states, streams, bot, now_s)
    has_goal = state.movement in (ROAM, HUNT) and not math.isnan(goal_x_m)
    if has_goal:
        to_x_m, to_y_m = goal_x_m, goal_y_m
    else:
        to_x_m, to_y_m = _waypoint(
            bot_states, streams, bot, session, modes.terrain.half_m[mode], own_x_m, own_y_m, now_s
        )
    heading = _heading(state, modes, mode, own_x_m, own_y_m, to_x_m, to_y_m, now_s)
    view_radians = heading
    there = (to_x_m - own_x_m) ** 2 + (to_y_m - own_y_m) ** 2
    still = (
        state.movement == STAND
        or (has_goal and there < THERE_M * THERE_M)
        or (state.movement in (CAMP, CROWD) and there < 1.0)
    )
    if state.target != NO_TARGET and not math.isnan(enemy_x_m):
        bearing = math.atan2(enemy_y_m - own_y_m, enemy_x_m - own_x_m)
        view_radians = bearing + state.aim_error_radians
        if has_line_of_fire(modes, mode, own_x_m, own_y_m, enemy_x_m, enemy_y_m):
            fire(state, now_s)
        if now_s >= state.strafe_until_s:
            state.strafe_until_s = now_s + STRAFE_S * (0.5 + next_uniform(streams, bot))
            state.strafe_side = math.floor(3.0 * next_uniform(streams, bot)) - 1.0
        if has_goal:
            heading += state.strafe_side * WEAVE_TURNS * 2.0 * math.pi
        elif not _near_edge(session, own_x_m, own_y_m):
            if state.strafe_side != 0.0:
                heading = bearing + state.strafe_side * 0.5 * math.pi
            elif state.movement == HUNT:
                heading = bearing
    if not still:
        state.move_x = int(RUN * math.cos(heading))
        state.move_y = int(RUN * math.sin(heading))
    state.yaw = int(view_radians * (YAW_TURN / (2.0 * math.pi))) & (YAW_TURN - 1)


@njit(cache=True, nogil=True, **INNER)
def _heading(
    state: Any,
    modes: ModeTable,
    mode: int,
    own_x_m: float,
    own_y_m: float,
    to_x_m: float,
    to_y_m: float,
    now_s: float,
) -> float:
    """The heading in radians to a place, around the boxes that are in the way."""
    at_corner = (state.steer_x_m - own_x_m) ** 2 + (state.steer_y_m - own_y_m) ** 2 < CORNER_REACHED_M**2
    changed = (state.steer_to_x_m - to_x_m) ** 2 + (state.steer_to_y_m - to_y_m) ** 2 > PLACE_CHANGED_M**2
    if at_corner or changed or now_s >= state.steer_until_s:
        state.steer_until_s = now_s + STEER_S
        state.steer_to_x_m, state.steer_to_y_m = to_x_m, to_y_m
        state.steer_x_m, state.steer_y_m = steer(modes.terrain, mode, own_x_m, own_y_m, to_x_m, to_y_m)
    return math.atan2(state.steer_y_m - own_y_m, state.steer_x_m - own_x_m)


@njit(cache=True, nogil=True, **STAGE)
def _waypoint(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    session: Any,
    half_m: float,
    own_x_m: float,
    own_y_m: float,
    now_s: float,
) -> tuple[float, float]:
    """Where the bot wanders to, in metres; a new place in the zone and on the map where the old is reached,
    too old, or outside the zone.
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
        state.waypoint_x_m = min(max(zone_x_m + distance_m * math.cos(turn), -half_m), half_m)
        state.waypoint_y_m = min(max(zone_y_m + distance_m * math.sin(turn), -half_m), half_m)
    return state.waypoint_x_m, state.waypoint_y_m


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
