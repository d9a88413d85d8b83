"""All state of one match, as a structure of arrays that compiled code takes as one argument.

A field is a named row of a two-dimensional array (``world.body[HEALTH_POINTS]``), not an array of its own:
passing 40 arrays to a compiled function costs more than the tick's arithmetic, passing these costs about 2
µs.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import typeof

from dedicated_server.native.memory import AllocateZeros
from dedicated_server.protocol.inputs import INPUT_COLUMNS, INPUT_RING

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

# --- rows of World.body, float64 ----------------------------------------------------------------------------
X_M = 0  # east of the map's centre
Y_M = 1  # north of it
HEALTH_POINTS = 2
DAMAGE_POINTS = 3  # dealt to others so far
TAKEN_POINTS = 4  # from others and from the zone so far
BODY_ROWS = 5

# --- rows of World.status, int32 ----------------------------------------------------------------------------
TEAM = 0
PRESENT = 1  # takes part: from the start, or since the newcomer arrived; 0: never connected
ALIVE = 2
YAW = 3  # 65,536 to the turn, counter-clockwise from east
FIRING = 4  # fired in this tick
APPLIED_INPUT = 5  # client tick of the last input used, 0 before the first
CREDIT_TICKS = 6  # inputs that may still be played, see movement.py
PLAYED_TICKS = 7  # inputs played so far: the player's own clock, which weapons are timed by
NEXT_SHOT = 8  # value of PLAYED_TICKS from which the weapon fires again
WEAPON = 9  # row of weapons.WEAPONS
KILLS = 10
DEATHS = 11
SHOTS = 12
HITS = 13
CHANGED_TICK = 14  # tick of the last death or spawn
KILLER = 15  # entity that killed this one last, -1: the zone
REFUSED_INPUTS = 16  # inputs that would have been faster than time
CLAMPED_REWINDS = 17  # shots that asked for a tick further back than MAX_REWIND_TICKS, or for a future one
SHOWN = 18  # others may see it: alive, or not long dead
HURT_TICK = 19  # tick of the last damage taken
STATUS_ROWS = 20

# --- World.rules, float64: what the mode says, constant through the match -----------------------------------
MAP_HALF_M = 0
STEP_M = 1  # distance a player runs in a tick
ZONE_X_M = 2
ZONE_Y_M = 3
ZONE_START_M = 4  # radius until it shrinks
ZONE_HOLD_TICKS = 5
ZONE_CLOSED_TICKS = 6
ZONE_POINTS = 7  # health points lost per tick outside
RESPAWN_TICKS = 8  # 0: dead is dead
KILL_TARGET = 9  # kills with which a team wins, 0: none
RULES = 10

# --- World.counters, int64: counts and scratch lengths ------------------------------------------------------
TICK = 0
START_TICK = 1  # first tick of play
SHOT_COUNT = 2  # rows of World.shots in use this tick
HIT_COUNT = 3  # rows of World.hits in use this tick
EVENT_COUNT = 4  # rows of World.events in use since the last drain
EVENTS_LOST = 5
ELAPSED = 6  # ticks since the one before; more than 1 after an overload
COUNTERS = 7

# --- rows of World.shots, float64, one column a shot --------------------------------------------------------
SHOT_ACTOR = 0
SHOT_VIEW = 1  # server tick that the shooter saw, with fraction
SHOT_X_M = 2
SHOT_Y_M = 3
SHOT_COS = 4
SHOT_SIN = 5
SHOT_INPUT = 6  # client tick of the input that fired it
SHOT_ROWS = 7

# --- rows of World.hits, int32, one column a hit ------------------------------------------------------------
HIT_ACTOR = 0
HIT_VICTIM = 1
HIT_POINTS = 2
HIT_FATAL = 3
HIT_INPUT = 4  # client tick of the shot
HIT_ROWS = 5

FULL_HEALTH_POINTS = 100.0
BODY_RADIUS_M = 0.5
POSITION_HISTORY_TICKS = 24  # positions remembered; more than MAX_REWIND_TICKS at 60 Hz, and no power of two
CORPSE_TICKS = 120  # dead players stay visible for two seconds
MAX_SHOTS_PER_PLAYER = 4  # in one tick, when saved-up inputs are played at once
EVENTS_PER_PLAYER = 4  # between two drains: a player dies at most once a tick, respawns are seconds apart


NOBODY: Final = -1  # instead of an entity or a weapon in an event, and instead of a killer
NO_INPUT: Final = 0  # client ticks count from 1

EVENT_DTYPE: Final = np.dtype(
    [
        ("kind", np.int32),
        ("tick", np.int32),
        ("actor", np.int32),  # entity, NOBODY where there is none
        ("victim", np.int32),
        ("weapon", np.int32),  # row of weapons.WEAPONS, NOBODY where there is none
        ("distance_m", np.float32),
        ("actor_x_m", np.float32),
        ("actor_y_m", np.float32),
        ("victim_x_m", np.float32),
        ("victim_y_m", np.float32),
    ],
    align=True,
)


class Inputs(NamedTuple):
    """Rings of inputs, N players × R.

    Client tick t's input is row t % R while that row's INPUT_TICK says so.
    """

    newest: npt.NDArray[np.int32]  # [N] client tick of the newest input, NO_INPUT before the first
    rows: npt.NDArray[np.int32]  # [N, R, INPUT_COLUMNS], columns as `protocol.inputs` names them


class World(NamedTuple):
    """One match's state. Read the row names above for what is inside.

    N players, index = entity = client slot.
    """

    body: Floats  # [BODY_ROWS, N]
    status: Ints  # [STATUS_ROWS, N]
    rules: Floats  # [RULES]
    counters: Longs  # [COUNTERS]
    position_history: Floats  # [TRAIL_TICKS, 2, N]: x and y in metres at tick t in row t % TRAIL_TICKS
    spawns: Floats  # [2, N]: where each player (re)appears, metres
    shots: Floats  # [SHOT_ROWS, MAX_SHOTS_PER_PLAYER * N]
    hits: Ints  # [HIT_ROWS, MAX_SHOTS_PER_PLAYER * N]
    events: npt.NDArray[Any]  # [EVENTS_PER_PLAYER * N + 8] of EVENT_DTYPE


def new_world(
    teams: npt.ArrayLike, spawns: npt.ArrayLike, rules: npt.ArrayLike, zeros: AllocateZeros = np.zeros
) -> World:
    """Allocate the world of one match: everyone present, alive and unhurt at their spawn point, tick 0.

    ``teams``: int[N]; ``spawns``: float[2, N] metres; ``rules``: float[RULES]; ``zeros`` allocates.
    """
    team = np.asarray(teams, dtype=np.int32)
    players = len(team)
    spawn = np.array(spawns, dtype=np.float64)
    body = zeros((BODY_ROWS, players))
    body[X_M : Y_M + 1] = spawn
    body[HEALTH_POINTS] = FULL_HEALTH_POINTS
    status = zeros((STATUS_ROWS, players), dtype=np.int32)
    status[TEAM] = team
    status[PRESENT] = status[ALIVE] = 1
    status[SHOWN] = 1
    status[KILLER] = NOBODY
    trail = zeros((POSITION_HISTORY_TICKS, 2, players))
    trail[:] = spawn
    return World(
        body=body,
        status=status,
        rules=np.array(rules, dtype=np.float64),
        counters=zeros(COUNTERS, dtype=np.int64),
        position_history=trail,
        spawns=spawn,
        shots=zeros((SHOT_ROWS, MAX_SHOTS_PER_PLAYER * players)),
        hits=zeros((HIT_ROWS, MAX_SHOTS_PER_PLAYER * players), dtype=np.int32),
        events=zeros(EVENTS_PER_PLAYER * players + 8, dtype=EVENT_DTYPE),
    )


def new_inputs(players: int, ring: int = INPUT_RING) -> Inputs:
    """Allocate empty rings."""
    return Inputs(
        newest=np.zeros(players, dtype=np.int32),
        rows=np.zeros((players, ring, INPUT_COLUMNS), dtype=np.int32),
    )


WORLD_TYPE: Final = typeof(new_world([0], np.zeros((2, 1)), np.zeros(RULES)))
