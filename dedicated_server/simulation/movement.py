"""Movement: each input becomes a step and perhaps a shot; no player gets more of either than time allows.

A player earns one input per tick and saves up at most ``MAX_CREDIT_TICKS`` of them. So inputs that the
network held back are all played when they arrive, on the path that the client predicted. A client that sends
faster than time only fills a queue: beyond ``MAX_BACKLOG_TICKS`` its oldest inputs are refused and counted.
Weapons are timed by inputs played, so the same limit bounds the rate of fire.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedicated_server.native.compilation import INNER, STAGE
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_TICK,
    INPUT_VIEW_TICK,
    INPUT_YAW,
)
from dedicated_server.protocol.movement import run_step
from dedicated_server.simulation.heading import direction
from dedicated_server.simulation.world import (
    ALIVE,
    APPLIED_INPUT,
    CREDIT_TICKS,
    DEATH_COUNT,
    DEATHS_APPLIED,
    ELAPSED,
    FIRING,
    MAP_HALF_M,
    MAX_SHOTS_PER_PLAYER,
    NEXT_SHOT,
    NO_INPUT,
    PLAYED_TICKS,
    PRESENT,
    REFUSED_INPUTS,
    SHOT_ACTOR,
    SHOT_COS,
    SHOT_COUNT,
    SHOT_INPUT,
    SHOT_SIN,
    SHOT_VIEW,
    SHOT_X_M,
    SHOT_Y_M,
    SHOTS,
    STEP_M,
    TICK,
    WEAPON,
    WEAPON_INTERVAL_TICKS,
    X_M,
    Y_M,
    YAW,
    Inputs,
    World,
)

MAX_CREDIT_TICKS: Final = 8  # 133 ms: covers a burst of jitter; more would make a lag switch worth having
MAX_BACKLOG_TICKS: Final = 2  # what a client whose clock runs slightly fast may keep waiting


@njit(cache=True, nogil=True, **STAGE)
def apply_inputs(world: World, inputs: Inputs, tick: int, playing: bool) -> None:
    """Advance to ``tick``: play the inputs due and gather the shots fired.

    Unless ``playing``, inputs only turn heads: before the start nobody moves.
    """
    elapsed = tick - world.counters[TICK]
    world.counters[TICK] = tick
    world.counters[ELAPSED] = elapsed
    world.counters[SHOT_COUNT] = 0
    if world.counters[DEATHS_APPLIED]:  # nobody has left since the tick before
        world.counters[DEATH_COUNT] = 0
    world.counters[DEATHS_APPLIED] = 1
    for player in range(world.body.shape[1]):
        world.status[FIRING, player] = 0
        if not world.status[PRESENT, player]:
            continue
        if playing:
            credit = world.status[CREDIT_TICKS, player] + elapsed
            world.status[CREDIT_TICKS, player] = min(credit, MAX_CREDIT_TICKS)
        _play_inputs(world, inputs, player, playing)


@njit(cache=True, nogil=True, **INNER)
def _play_inputs(world: World, inputs: Inputs, player: int, playing: bool) -> None:
    status = world.status
    ring = inputs.rows.shape[1]
    newest = int(inputs.newest[player])
    at = int(status[APPLIED_INPUT, player])
    if newest == NO_INPUT:
        return
    if at == NO_INPUT or newest - at > ring:  # the first, or after a silence: what left the ring is gone
        at = max(newest - ring, NO_INPUT)
    fired = 0
    while at < newest:
        at += 1
        asked = inputs.rows[player, at % ring]
        if asked[INPUT_TICK] != at:
            continue  # lost on the way, with all its repetitions
        if not playing:
            status[YAW, player] = asked[INPUT_YAW]
            continue
        if status[CREDIT_TICKS, player] <= 0:
            if newest - at < MAX_BACKLOG_TICKS:
                at -= 1  # kept for the next tick
                break
            status[REFUSED_INPUTS, player] += 1
            continue
        status[CREDIT_TICKS, player] -= 1
        status[PLAYED_TICKS, player] += 1
        if not status[ALIVE, player]:
            continue
        status[YAW, player] = asked[INPUT_YAW]
        x_m, y_m = run_step(
            world.body[X_M, player],
            world.body[Y_M, player],
            asked[INPUT_MOVE_X],
            asked[INPUT_MOVE_Y],
            world.rules[STEP_M],
            world.rules[MAP_HALF_M],
            world.boxes,
        )
        world.body[X_M, player], world.body[Y_M, player] = x_m, y_m
        ready = status[PLAYED_TICKS, player] >= status[NEXT_SHOT, player]
        if asked[INPUT_BUTTONS] & BUTTON_FIRE and ready and fired < MAX_SHOTS_PER_PLAYER:
            fired += 1
            _fire(world, player, asked[INPUT_VIEW_TICK], at)
    status[APPLIED_INPUT, player] = at


@njit(cache=True, nogil=True, **INNER)
def _fire(world: World, player: int, view: int, input_tick: int) -> None:
    status, shots = world.status, world.shots
    weapon = status[WEAPON, player]
    status[NEXT_SHOT, player] = status[PLAYED_TICKS, player] + np.int32(
        world.weapons[weapon, WEAPON_INTERVAL_TICKS]
    )
    status[FIRING, player] = 1
    status[SHOTS, player] += 1
    shot = world.counters[SHOT_COUNT]
    world.counters[SHOT_COUNT] = shot + 1
    cosine, sine = direction(status[YAW, player])
    shots[SHOT_ACTOR, shot] = player
    shots[SHOT_VIEW, shot] = view
    shots[SHOT_X_M, shot] = world.body[X_M, player]
    shots[SHOT_Y_M, shot] = world.body[Y_M, player]
    shots[SHOT_COS, shot] = cosine
    shots[SHOT_SIN, shot] = sine
    shots[SHOT_INPUT, shot] = input_tick
