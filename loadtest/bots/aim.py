"""Whom a bot aims at, and when it fires: at the nearest enemy in sight, in bursts.

An enemy is who is known to be of another team. Who is not known yet is nobody's target, nor is who stands
behind a box.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INNER, STAGE, njit
from dedicated_server.protocol.client.knowledge import (
    ModeView,
    is_alive,
    is_enemy,
    is_playing,
    own_position,
    position_of,
)
from dedicated_server.protocol.fields import BUTTON_FIRE
from loadtest.bots.mode_table import ModeTable
from loadtest.bots.perception import NO_TARGET
from loadtest.bots.rng import next_normal, next_uniform
from loadtest.bots.terrain import is_clear

TARGET_S = 0.25  # a target is chosen about as often as human eyes rest, and at once when the old one is gone
AIM_S = 0.25  # a human corrects the aim about four times a second
REACTION_S = 0.25  # from seeing someone to the first shot
BURST_S = 0.4  # of fire, then a pause


@njit(cache=True, nogil=True, **INNER)
def has_line_of_fire(
    modes: ModeTable, mode: int, own_x_m: float, own_y_m: float, enemy_x_m: float, enemy_y_m: float
) -> bool:
    """Whether no box is between the bot and where it sees somebody."""
    terrain = modes.terrain
    first, last = terrain.boxes_from[mode], terrain.boxes_from[mode + 1]
    return is_clear(terrain.boxes, first, last, own_x_m, own_y_m, enemy_x_m, enemy_y_m, 0.0)


@njit(cache=True, nogil=True, **STAGE)
def nearest_enemy(view: ModeView, client: int, modes: ModeTable, mode: int, sight_m: float) -> int:
    """The entity nearest to the client's own that is in view, alive, of another team, nearer than ``sight_m``
    and not behind a box; or NO_TARGET.
    """
    own_x_m, own_y_m = own_position(view, client)
    nearest, nearest_square = NO_TARGET, sight_m * sight_m
    for entity in range(view.wire.seen_tick.shape[1]):
        if not is_alive(view, client, entity):
            continue
        x_m, y_m = position_of(view, client, entity)
        square = (x_m - own_x_m) ** 2 + (y_m - own_y_m) ** 2
        if (
            square < nearest_square
            and is_enemy(view, client, entity)
            and has_line_of_fire(modes, mode, own_x_m, own_y_m, x_m, y_m)
        ):
            nearest, nearest_square = entity, square
    return nearest


@njit(cache=True, nogil=True, **STAGE)
def choose_target(
    bot_states: npt.NDArray[np.void],
    streams: npt.NDArray[np.uint64],
    bot: int,
    view: ModeView,
    client: int,
    modes: ModeTable,
    mode: int,
    now_s: float,
) -> int:
    """Choose whom ``bot`` aims at now, of the entities that its client knows; the entity or NO_TARGET.

    Args:
        bot_states: BOT_STATE_DTYPE[bots].
        streams: uint64[bots], random streams.
        bot, client: the bot, and the index of its client.
        view: what the clients know.
        modes, mode: all modes, and the one that the client's match is of.
        now_s: seconds of the machine's monotonic clock.
    """
    state = bot_states[bot]
    if not is_playing(view, client):
        state.target, state.target_until_s = NO_TARGET, now_s
        return NO_TARGET
    lost = state.target != NO_TARGET and not is_alive(view, client, state.target)
    if lost or now_s >= state.target_until_s:
        state.target_until_s = now_s + TARGET_S * (0.5 + next_uniform(streams, bot))
        target = nearest_enemy(view, client, modes, mode, min(state.sight_m, modes.reach_m[mode]))
        if target != state.target:
            state.target, state.seen_since_s, state.aim_until_s = target, now_s, now_s
    return int(state.target)


@njit(cache=True, nogil=True, **INNER)
def fire(state: Any, now_s: float) -> None:
    """Fire in bursts with pauses, the first after the time that it takes to react."""
    if now_s >= max(state.seen_since_s + REACTION_S, state.rest_until_s):
        state.fire_until_s = now_s + BURST_S
        state.rest_until_s = now_s + BURST_S + state.rest_s
    if now_s < state.fire_until_s:
        state.buttons = BUTTON_FIRE


@njit(cache=True, nogil=True, **INNER)
def redraw_aim(
    bot_states: npt.NDArray[np.void], streams: npt.NDArray[np.uint64], bot: int, now_s: float
) -> None:
    """Correct the aim, where it is time to: it is as far off as the bot's skill has it."""
    state = bot_states[bot]
    if now_s >= state.aim_until_s:
        state.aim_until_s = now_s + AIM_S
        state.aim_error_radians = state.aim_spread_radians * next_normal(streams, bot)
