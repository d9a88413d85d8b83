"""Movement: each input becomes a step and perhaps a shot; no player gets more of either than time allows.

A player's inputs are played one a tick, in the order of their client ticks. What is early waits in the
reserve (`reserve`), so others see an even run over an uneven line. Where nothing has come, the player stands:
no input is made up, so the client's prediction holds. Only after ticks that the server itself has left out
are as many played at once. Weapons are timed by inputs played, so time bounds the rate of fire, too.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from dedicated_server.native.compilation import INLINE, INNER, STAGE, Ints
from dedicated_server.protocol.fields import BUTTON_FIRE, VIEW_FRACTIONS
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_OLDEST_VIEW,
    INPUT_TICK,
    INPUT_VIEW_FRACTION,
    INPUT_VIEW_TICK,
    INPUT_YAW,
    VIEW_SLACK_TICKS,
)
from dedicated_server.protocol.movement import run_step
from dedicated_server.simulation.heading import direction
from dedicated_server.simulation.reserve import MAX_RESERVE, is_overdue, note_reserve
from dedicated_server.simulation.world import (
    ALIVE,
    APPLIED_INPUT,
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
    SHOT_BELIEVED,
    SHOT_COS,
    SHOT_COUNT,
    SHOT_INPUT,
    SHOT_SIN,
    SHOT_VIEW,
    SHOT_X_M,
    SHOT_Y_M,
    SHOTS,
    SHOWN_VIEW,
    SPARE_TICKS,
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

MAX_STEPS_PER_TICK: Final = 8  # of one player, after ticks that the server has left out


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
        _play_inputs(world, inputs, player, min(elapsed, MAX_STEPS_PER_TICK), playing)


@njit(cache=True, nogil=True, **INNER)
def _play_inputs(world: World, inputs: Inputs, player: int, due: int, playing: bool) -> None:
    """Play the next ``due`` inputs of a player, as far as they have come."""
    status = world.status
    ring = inputs.rows.shape[1]
    newest = int(inputs.newest[player])
    at = int(status[APPLIED_INPUT, player])
    if newest == NO_INPUT:
        return
    if at == NO_INPUT:  # a session's first: nothing waits behind it
        at = newest - 1
        status[SPARE_TICKS, player] = 0
        world.body[SHOWN_VIEW, player] = 0.0
    at = _refuse_oldest(world, inputs, player, at, due)
    fired = 0
    while due > 0 and at < newest:
        at += 1
        asked = inputs.rows[player, at % ring]
        if asked[INPUT_TICK] != at:
            continue  # lost on the way, with all its repetitions
        due -= 1
        claimed = _note_view(world, player, asked)
        if not playing:
            status[YAW, player] = asked[INPUT_YAW]
            continue
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
            _fire(world, player, claimed, believed_view(world, player, claimed, asked[INPUT_OLDEST_VIEW]), at)
    status[APPLIED_INPUT, player] = at
    note_reserve(status, player, newest - at, due > 0)


@njit(cache=True, nogil=True, **INNER)
def _refuse_oldest(world: World, inputs: Inputs, player: int, at: int, due: int) -> int:
    """Refuse what is more than the reserve holds; return the client tick of the last input refused or played.

    ``at``: of the last one before. ``due``: how many the tick plays.
    """
    ring, newest = inputs.rows.shape[1], int(inputs.newest[player])
    last = newest - due - MAX_RESERVE
    if is_overdue(world.status, player):
        last = max(last, min(at + 1, newest - due))
    for refused in range(max(at, newest - ring) + 1, last + 1):
        world.status[REFUSED_INPUTS, player] += inputs.rows[player, refused % ring, INPUT_TICK] == refused
    return max(at, last)


@njit(cache=True, nogil=True, **INNER)
def _note_view(world: World, player: int, asked: Ints) -> float:
    """The server tick, with fraction, that an input says its player was shown."""
    claimed: float = asked[INPUT_VIEW_TICK] + asked[INPUT_VIEW_FRACTION] / VIEW_FRACTIONS
    now = float(world.counters[TICK])
    world.body[SHOWN_VIEW, player] = max(world.body[SHOWN_VIEW, player], min(claimed, now))
    return claimed


@njit(cache=True, nogil=True, **INLINE)
def believed_view(world: World, player: int, claimed: float, oldest_view: int) -> float:
    """The server tick that a player was shown, as far as it can be believed.

    What is older than their line explains, ``oldest_view``, is replaced by what the line says; and nobody is
    shown what is older than what they said to have been shown before.
    """
    view = claimed if claimed >= oldest_view else float(oldest_view + VIEW_SLACK_TICKS)
    shown: float = world.body[SHOWN_VIEW, player]
    return max(view, shown)


@njit(cache=True, nogil=True, **INNER)
def _fire(world: World, player: int, claimed: float, believed: float, input_tick: int) -> None:
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
    shots[SHOT_VIEW, shot] = claimed
    shots[SHOT_BELIEVED, shot] = believed
    shots[SHOT_X_M, shot] = world.body[X_M, player]
    shots[SHOT_Y_M, shot] = world.body[Y_M, player]
    shots[SHOT_COS, shot] = cosine
    shots[SHOT_SIN, shot] = sine
    shots[SHOT_INPUT, shot] = input_tick
