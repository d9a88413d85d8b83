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
from dedicated_server.protocol.movement import BODY_RADIUS_M as BODY_RADIUS_M
from dedicated_server.protocol.movement import NOWHERE_M
from dedicated_server.simulation.layout import RIFLES_ONLY, WorldLayout

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

# --- rows of World.body, float64 ----------------------------------------------------------------------------
X_M = 0  # east of the map's centre
Y_M = 1  # north of it
HEALTH_POINTS = 2
DAMAGE_POINTS = 3  # dealt to others so far
TAKEN_POINTS = 4  # from others and from the zone so far
# Newest server tick, with fraction, that the player was shown; inputs do not go back behind it.
SHOWN_VIEW = 5
BODY_ROWS = 6

# --- rows of World.status, int32 ----------------------------------------------------------------------------
TEAM = 0
PRESENT = 1  # has a player: from the start, or since the newcomer arrived; 0: not yet, or not any more
ALIVE = 2
YAW = 3  # 65,536 to the turn, counter-clockwise from east
FIRING = 4  # fired in this tick
APPLIED_INPUT = 5  # client tick of the last input used, 0 before the first
SPARE_TICKS = 6  # how long there has been an input to spare; below 0: there were too few, see reserve.py
PLAYED_TICKS = 7  # inputs played so far: the player's own clock, which weapons are timed by
NEXT_SHOT = 8  # value of PLAYED_TICKS from which the weapon fires again
WEAPON = 9  # row of World.weapons
KILLS = 10
DEATHS = 11
SHOTS = 12
HITS = 13
CHANGED_TICK = 14  # tick of the last death or spawn, or of the return to a slot without a body
KILLER = 15  # entity that killed this one last, NOBODY: the zone
REFUSED_INPUTS = 16  # inputs that would have been faster than time
CLAMPED_REWINDS = 17  # shots that asked for a tick that their player cannot have been shown
SHOWN = 18  # others may see it: alive, or not long dead
HURT_TICK = 19  # tick of the last damage taken
HURT_BY = 20  # entity whose weapon hurt this one last in this life, NOBODY: none did
HURT_BY_TICK = 21  # when it did, for the last time
HURT_BY_BEFORE = 22  # … and the one before it, another
HURT_BY_BEFORE_TICK = 23
DIED_TICK = 24  # tick of the last death, NEVER_DIED before the first
STATUS_ROWS = 25

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
RULES = 9

# --- World.counters, int64: counts and scratch lengths ------------------------------------------------------
TICK = 0
START_TICK = 1  # first tick of play
SHOT_COUNT = 2  # rows of World.shots in use this tick
HIT_COUNT = 3  # rows of World.hits in use this tick
EVENT_COUNT = 4  # rows of World.events in use since the last drain
EVENTS_LOST = 5
ELAPSED = 6  # ticks since the one before; more than 1 after an overload
DEATH_COUNT = 7  # columns of World.deaths in use: the deaths of this tick, of who left before its inputs too
DEATHS_APPLIED = 8  # 1: the inputs of those deaths' tick have been applied, so who leaves begins a new list
COUNTERS = 9

# --- rows of World.shots, float64, one column a shot --------------------------------------------------------
SHOT_ACTOR = 0
SHOT_VIEW = 1  # server tick that the shooter says to have been shown, with fraction
SHOT_X_M = 2
SHOT_Y_M = 3
SHOT_COS = 4
SHOT_SIN = 5
SHOT_INPUT = 6  # client tick of the input that fired it
SHOT_BELIEVED = 7  # and the one that is believed
SHOT_ROWS = 8

# --- rows of World.hits, int32, one column a hit ------------------------------------------------------------
HIT_ACTOR = 0
HIT_VICTIM = 1
HIT_POINTS = 2
HIT_FATAL = 3
HIT_INPUT = 4  # client tick of the shot
HIT_ROWS = 5

# --- columns of World.weapons, float64, one row a weapon ----------------------------------------------------
WEAPON_DAMAGE_POINTS = 0  # health points a hit takes
WEAPON_INTERVAL_TICKS = 1  # between two shots, in ticks
WEAPON_RANGE_M = 2

# --- rows of World.deaths, int32, one column a death --------------------------------------------------------
DEATH_VICTIM = 0
DEATH_KILLER = 1  # NOBODY: the zone, or a player who left unhurt
DEATH_ASSIST = 2  # who else had hurt the victim, NOBODY: none
DEATH_WEAPON = 3  # row of World.weapons, NOBODY: none
DEATH_ROWS = 4

# --- rows of World.objects, float64, one column an object ---------------------------------------------------
OBJECT_X_M = 0
OBJECT_Y_M = 1
OBJECT_EAST_M = 2  # a projectile's velocity per tick, an obstacle's half size
OBJECT_NORTH_M = 3
OBJECT_ROWS = 4

# --- rows of World.object_status, int32; what A, B and C are depends on the kind ----------------------------
OBJECT_KIND = 0  # KIND_… of `cards.kinds`, constant through the match
OBJECT_SHOWN = 1  # others may see it
OBJECT_YAW = 2  # as YAW above
OBJECT_A = 3  # flag: team; item: what; projectile: owner; obstacle: standing, 0 or 1
OBJECT_B = 4  # flag: carrier, NOBODY: none; item: taken by, NOBODY: nobody; projectile: weapon
OBJECT_C = 5  # flag: 0 at home, 1 carried, 2 dropped; projectile: ticks that it still flies
OBJECT_CHANGED_TICK = 6  # when it was shown, hidden or put elsewhere last
OBJECT_STATUS_ROWS = 7

FULL_HEALTH_POINTS = 100.0
POSITION_HISTORY_TICKS = 24  # positions remembered; more than MAX_REWIND_TICKS at 60 Hz, and no power of two
CORPSE_TICKS = 120  # dead players stay visible for two seconds
MAX_SHOTS_PER_PLAYER = 4  # in one tick, when saved-up inputs are played at once
EVENTS_PER_PLAYER = 4  # between two drains: a player dies at most once a tick, respawns are seconds apart
EVENTS_OF_MODE = 64  # and what a mode's hooks may say between them

NOBODY: Final = -1  # instead of an entity or a weapon
NO_INPUT: Final = 0  # client ticks count from 1
NEVER_DIED: Final = -(2**30)

EVENT_DTYPE: Final = np.dtype(
    [
        ("kind", np.int32),
        ("tick", np.int32),
        ("actor", np.int32),  # entity, NOBODY where there is none
        ("victim", np.int32),
        ("weapon", np.int32),  # row of World.weapons, NOBODY where there is none
        ("assist", np.int32),  # entity that had hurt the victim too, NOBODY where there is none
        ("value", np.int32),  # what a mode's event says, 0 otherwise
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

    N players, index = entity = client slot, and M objects: entities N … N + M − 1. T teams.
    """

    body: Floats  # [BODY_ROWS, N]
    status: Ints  # [STATUS_ROWS, N]
    rules: Floats  # [RULES]
    counters: Longs  # [COUNTERS]
    position_history: Floats  # [TRAIL_TICKS, 2, N]: x and y in metres at tick t in row t % TRAIL_TICKS
    spawns: Floats  # [2, N]: where each player (re)appears, metres
    shots: Floats  # [SHOT_ROWS, MAX_SHOTS_PER_PLAYER * N]
    hits: Ints  # [HIT_ROWS, MAX_SHOTS_PER_PLAYER * N]
    events: npt.NDArray[Any]  # [EVENTS_PER_PLAYER * N + EVENTS_OF_MODE] of EVENT_DTYPE
    deaths: Ints  # [DEATH_ROWS, 2 * N]
    weapons: Floats  # [W, 3], columns WEAPON_…
    boxes: Floats  # [B + O, 4] the map's boxes, then one for each obstacle object: NOWHERE_M unless it stands
    objects: Floats  # [OBJECT_ROWS, M]
    object_status: Ints  # [OBJECT_STATUS_ROWS, M]
    scores: Ints  # [F, T] by field and team
    limits: Ints  # [F] score with which a team wins, 0: none
    own_players: Floats  # [R, N] the mode's own numbers, as its card names them
    own_teams: Floats  # [R, T]
    own_match: Floats  # [R]


def new_world(
    teams: npt.ArrayLike,
    spawns: npt.ArrayLike,
    rules: npt.ArrayLike,
    zeros: AllocateZeros = np.zeros,
    layout: WorldLayout = RIFLES_ONLY,
) -> World:
    """Allocate the world of one match: everyone present, alive and unhurt at their spawn point, tick 0.

    ``teams``: int[N]; ``spawns``: float[2, N] metres; ``rules``: float[RULES]; ``zeros`` allocates;
    ``layout``: what the card says of weapons, boxes, objects and scores. No object is shown.
    """
    team = np.asarray(teams, dtype=np.int32)
    players, objects = len(team), len(layout.kinds)
    sides = max(layout.teams, int(team.max()) + 1)
    spawn = np.array(spawns, dtype=np.float64)
    body = zeros((BODY_ROWS, players))
    body[X_M : Y_M + 1] = spawn
    body[HEALTH_POINTS] = FULL_HEALTH_POINTS
    status = zeros((STATUS_ROWS, players), dtype=np.int32)
    status[TEAM] = team
    status[PRESENT] = status[ALIVE] = 1
    status[SHOWN] = 1
    status[DIED_TICK] = NEVER_DIED
    status[KILLER] = status[HURT_BY] = status[HURT_BY_BEFORE] = NOBODY
    trail = zeros((POSITION_HISTORY_TICKS, 2, players))
    trail[:] = spawn
    boxes = zeros((len(layout.boxes) + layout.obstacles, 4))
    boxes[:] = NOWHERE_M
    boxes[: len(layout.boxes)] = layout.boxes
    object_status = zeros((OBJECT_STATUS_ROWS, objects), dtype=np.int32)
    object_status[OBJECT_KIND] = layout.kinds
    object_status[OBJECT_B] = NOBODY
    return World(
        body=body,
        status=status,
        rules=np.array(rules, dtype=np.float64),
        counters=zeros(COUNTERS, dtype=np.int64),
        position_history=trail,
        spawns=spawn,
        shots=zeros((SHOT_ROWS, MAX_SHOTS_PER_PLAYER * players)),
        hits=zeros((HIT_ROWS, MAX_SHOTS_PER_PLAYER * players), dtype=np.int32),
        events=zeros(EVENTS_PER_PLAYER * players + EVENTS_OF_MODE, dtype=EVENT_DTYPE),
        deaths=zeros((DEATH_ROWS, 2 * players), dtype=np.int32),
        weapons=np.array(layout.weapons),
        boxes=boxes,
        objects=zeros((OBJECT_ROWS, objects)),
        object_status=object_status,
        scores=zeros((len(layout.limits), sides), dtype=np.int32),
        limits=np.array(layout.limits),
        own_players=zeros((layout.own_players, players)),
        own_teams=zeros((layout.own_teams, sides)),
        own_match=zeros(layout.own_match),
    )


def new_inputs(players: int, ring: int = INPUT_RING) -> Inputs:
    """Allocate empty rings."""
    return Inputs(
        newest=np.zeros(players, dtype=np.int32),
        rows=np.zeros((players, ring, INPUT_COLUMNS), dtype=np.int32),
    )


WORLD_TYPE: Final = typeof(new_world([0], np.zeros((2, 1)), np.zeros(RULES)))
