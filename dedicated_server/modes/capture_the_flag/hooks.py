"""Capture the flag: two sides, a flag each; who carries the other side's flag home while their own is there
scores.

A flag is at home, carried, or dropped: where its carrier died or left. Who touches a dropped flag of their
own side sends it home; one that nobody touches goes home by itself. Flag number n is that of team n.
"""

from __future__ import annotations

import math
from pathlib import Path

from dedicated_server.modes.toolbox import (
    FLAG_AT_HOME,
    FLAG_CARRIED,
    FLAG_DROPPED,
    NOBODY,
    TICK_HZ,
    World,
    add_score,
    carry_flag,
    drop_flag,
    emit_event,
    first_within,
    flag_carrier,
    flag_home,
    flag_state,
    hook,
    is_shown,
    is_within,
    move_object,
    object_position,
    position_of,
    read_card,
    team_of,
)
from dedicated_server.protocol.client import knowledge
from dedicated_server.protocol.client.knowledge import ModeView
from dedicated_server.simulation.world import OBJECT_CHANGED_TICK, TICK

CARD = read_card(Path(__file__).parent)
HOMES_M = tuple((base.x_m, base.y_m) for base in CARD.bases)  # of the flags, by team

TEAMS = 2
TOUCH_M = 1.5  # from a body's middle to a flag's
CAPTURE_M = 3.0  # from a carrier to the place of the own flag
RETURN_TICKS = 20 * TICK_HZ  # a dropped flag goes home by itself after so long
CAPTURES = 0  # the card's one score
FLAG_CAPTURED = 0  # the card's one event

# --- what bots do -------------------------------------------------------------------------------------------
ROLES = 4  # of a side of eight two each
DEFENDER = 0  # stays at home; the others go for the other side's flag
CHASER = 1  # goes for the own flag while it is away
GUARD_M = 7.0  # from the own flag's home to where a defender stands
HELP_M = 30.0  # whoever is so near to the own flag while it is away goes for it
ESCORT_M = 3.0  # from a mate who carries


@hook
def on_death(world: World, victim: int, killer: int) -> None:
    """Who carried a flag drops it. Who leaves alive dies, too."""
    for flag in range(TEAMS):
        if flag_carrier(world, flag) == victim:
            drop_flag(world, flag)


@hook
def step(world: World) -> None:
    """Flags move with their carriers, are taken, go home and are captured."""
    for flag in range(TEAMS):
        if not is_shown(world, flag):  # the first tick
            flag_home(world, flag, flag, HOMES_M[flag][0], HOMES_M[flag][1])
    for flag in range(TEAMS):
        if flag_state(world, flag) == FLAG_CARRIED:
            carrier = flag_carrier(world, flag)
            x_m, y_m = position_of(world, carrier)
            move_object(world, flag, x_m, y_m)
        else:
            touch(world, flag)
    for flag in range(TEAMS):
        capture(world, flag)


@hook
def touch(world: World, flag: int) -> None:
    """Whoever touches a flag that nobody carries takes it, or sends it home where it is their own side's."""
    x_m, y_m = object_position(world, flag)
    is_dropped = flag_state(world, flag) == FLAG_DROPPED
    player = first_within(world, TOUCH_M, x_m, y_m, NOBODY if is_dropped else flag)
    lay_ticks = world.counters[TICK] - world.object_status[OBJECT_CHANGED_TICK, flag]
    if player != NOBODY and team_of(world, player) != flag:
        carry_flag(world, flag, player)
    elif is_dropped and (player != NOBODY or lay_ticks >= RETURN_TICKS):
        flag_home(world, flag, flag, HOMES_M[flag][0], HOMES_M[flag][1])


@hook
def capture(world: World, flag: int) -> None:
    """A carrier at home, with the own flag there: a score, and the flag goes back."""
    if flag_state(world, flag) != FLAG_CARRIED:
        return
    carrier = flag_carrier(world, flag)
    team = team_of(world, carrier)
    home = flag_state(world, team) == FLAG_AT_HOME
    if home and is_within(world, carrier, CAPTURE_M, HOMES_M[team][0], HOMES_M[team][1]):
        captures = add_score(world, CAPTURES, team, 1)
        emit_event(world, FLAG_CAPTURED, carrier, NOBODY, captures)
        flag_home(world, flag, flag, HOMES_M[flag][0], HOMES_M[flag][1])


@hook
def goal(view: ModeView, client: int) -> tuple[float, float]:
    """Where a bot goes, by what its client knows and by its role, which its entity's number gives."""
    me, team = knowledge.own_entity(view, client), knowledge.own_team(view, client)
    if team < 0 or team >= TEAMS:
        return math.nan, math.nan
    role = (me // 2) % ROLES
    theirs = 1 - team
    own_x_m, own_y_m = knowledge.own_position(view, client)
    away = knowledge.flag_state(view, client, team) != FLAG_AT_HOME
    carrier = knowledge.flag_carrier(view, client, theirs)
    if carrier == me:
        return HOMES_M[team]
    if away:
        x_m, y_m = knowledge.flag_position(view, client, team)
        is_near = (x_m - own_x_m) ** 2 + (y_m - own_y_m) ** 2 < HELP_M * HELP_M
        if (role in (DEFENDER, CHASER) or is_near) and not math.isnan(x_m):
            return x_m, y_m
    if role == DEFENDER:
        return guarded_place(me, team)
    if carrier != NOBODY:
        x_m, y_m = knowledge.position_of(view, client, carrier)
        if math.isnan(x_m):
            return HOMES_M[team]
        return x_m, y_m + (ESCORT_M if me % 2 == 0 else -ESCORT_M)
    x_m, y_m = knowledge.flag_position(view, client, theirs)
    if math.isnan(x_m):
        return HOMES_M[theirs]
    return x_m, y_m


@hook
def guarded_place(me: int, team: int) -> tuple[float, float]:
    """Where a defender stands: before the flag, one on either side."""
    x_m, y_m = HOMES_M[team]
    inwards_m = GUARD_M if x_m < 0.0 else -GUARD_M
    return x_m + inwards_m, y_m + (GUARD_M if me % 2 == 0 else -GUARD_M)
