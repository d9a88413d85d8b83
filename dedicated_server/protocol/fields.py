"""The tables of what a server and a client say, but for reliable messages (`reliable_kinds`).

Writers, readers and PROTOCOL.md are made from the tables (`tables`); numba sees their widths as constants.
The columns named beside a table are places in a row of its values.
"""

from __future__ import annotations

from dedicated_server.native.compilation import njit
from dedicated_server.protocol.tables import Field, columns, leasts, widths

TICK_HZ = 60  # ticks of a server and frames of a client in a second
HISTORY_TICKS = 64  # snapshots that can serve as a baseline; a power of two
MAX_TICK = 0x7FFFFFFF


# --- positions ----------------------------------------------------------------------------------------------
POSITION_UNITS_PER_M = 64  # 1.6 cm
WORLD_HALF_M = 1024.0
POSITION_BITS = 17
POSITION_MASK = (1 << POSITION_BITS) - 1

# --- the match ----------------------------------------------------------------------------------------------
PHASE_WAITING, PHASE_PLAYING, PHASE_OVER = range(3)
MAX_SCORES = 31  # in a match: score fields times teams
MAX_OBJECTIVES = 15  # flags in a match

MATCH_FIELDS = (
    Field("phase", 2, "0 waiting, 1 playing, 2 over"),
    Field("zone_x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("zone_y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("zone_radius", POSITION_BITS, "metres × 64"),
    Field("alive", 12, "players alive"),
    Field("countdown", 20, "ticks until the phase ends; 1,048,575 (4 h 51 min): that or more"),
    Field("scores", 5, "how many scores follow the table: by score field, then by team"),
    Field("objectives", 4, "how many objectives follow the scores: the match's flags, by entity"),
)
SCORE_FIELDS = (Field("score", 12, "of one team in one score field; 4,095: that or more"),)
OBJECTIVE_FIELDS = (
    Field("state", 2, "0 at home, 1 carried, 2 dropped"),
    Field("carrier", 12, "entity that carries it; −1: nobody", least=-1),
    Field("team", 5, "whose flag it is"),
)
MATCH_PHASE, MATCH_ZONE_X, MATCH_ZONE_Y, MATCH_ZONE_RADIUS, MATCH_ALIVE, MATCH_COUNTDOWN = columns(
    MATCH_FIELDS, "phase zone_x zone_y zone_radius alive countdown"
)
MATCH_SCORES, MATCH_OBJECTIVES = columns(MATCH_FIELDS, "scores objectives")
OBJECTIVE_STATE, OBJECTIVE_CARRIER, OBJECTIVE_TEAM = columns(OBJECTIVE_FIELDS, "state carrier team")
OBJECTIVE_COLUMNS = len(OBJECTIVE_FIELDS)
FLAG_AT_HOME, FLAG_CARRIED, FLAG_DROPPED = range(3)
# The state of a match in one row: its table, all scores that can be, and all objectives.
MATCH_SCORES_AT = len(MATCH_FIELDS)
MATCH_OBJECTIVES_AT = MATCH_SCORES_AT + MAX_SCORES
MATCH_COLUMNS = MATCH_OBJECTIVES_AT + MAX_OBJECTIVES * OBJECTIVE_COLUMNS
MATCH_WIDTHS, MATCH_LEASTS = widths(MATCH_FIELDS), leasts(MATCH_FIELDS)
SCORE_WIDTHS, SCORE_LEASTS = widths(SCORE_FIELDS), leasts(SCORE_FIELDS)
OBJECTIVE_WIDTHS, OBJECTIVE_LEASTS = widths(OBJECTIVE_FIELDS), leasts(OBJECTIVE_FIELDS)

# --- a snapshot ---------------------------------------------------------------------------------------------
MESSAGE_KEEP_ALIVE, MESSAGE_SNAPSHOT, MESSAGE_FAREWELL = range(3)

SNAPSHOT_FIELDS = (
    Field("message", 2, "0 keep-alive, which ends here; 1 snapshot; 2 farewell, which has its own table"),
    Field("tick", 24, "server tick, its low 24 bits"),
    Field("input_newest", 16, "newest client tick received, its low 16 bits"),
    Field("input_lag", 6, "how many of those are not used yet; 63: that or more"),
    Field("base_age", 6, "age in ticks of the baseline most records are against; 0: none"),
    Field("gap_bits", 4, "parameter of the code for gaps between entity indexes"),
    Field("pace", 2, "how fast the client is to count its ticks: 0 as ever, 1 2 % faster, 2 2 % slower"),
)
(
    SNAPSHOT_MESSAGE,
    SNAPSHOT_TICK,
    SNAPSHOT_INPUT_NEWEST,
    SNAPSHOT_INPUT_LAG,
    SNAPSHOT_BASE_AGE,
    SNAPSHOT_GAP_BITS,
    SNAPSHOT_PACE,
) = columns(SNAPSHOT_FIELDS, "message tick input_newest input_lag base_age gap_bits pace")
PACE_STEADY, PACE_FASTER, PACE_SLOWER = range(3)
PACE_SHARE = (0.0, 0.02, -0.02)  # by which a client's ticks are to come faster than 60 a second, by pace
SNAPSHOT_WIDTHS, SNAPSHOT_LEASTS = widths(SNAPSHOT_FIELDS), leasts(SNAPSHOT_FIELDS)
MESSAGE_BITS, TICK_BITS, CLIENT_TICK_BITS, INPUT_LAG_BITS, AGE_BITS, _ = SNAPSHOT_WIDTHS[:6]
TICK_MASK = (1 << TICK_BITS) - 1
CLIENT_TICK_MASK = (1 << CLIENT_TICK_BITS) - 1

FAREWELL_FIELDS = (
    Field("message", 2, "2 farewell"),
    Field("reason", 6, "why the session ends"),
)
(FAREWELL_REASON,) = columns(FAREWELL_FIELDS, "reason")
FAREWELL_WIDTHS, FAREWELL_LEASTS = widths(FAREWELL_FIELDS), leasts(FAREWELL_FIELDS)

INDEX_BITS = 11  # of an entity
MAX_ENTITIES = 1 << INDEX_BITS  # the largest match that the wire can express
RECORD_COUNT_BITS = 9

HINT_FIELDS = (Field("octants", 16, "2 bits of intensity each, the first east, then counter-clockwise"),)
HINT_WIDTHS, HINT_LEASTS = widths(HINT_FIELDS), leasts(HINT_FIELDS)

LEAVE_COUNT_BITS = 6

# Who is told how a player is, by a mode's card: the player, their team too, or everybody.
SHOWN_TO_SELF, SHOWN_TO_TEAM, SHOWN_TO_EVERYBODY = range(3)
SHOWN_TO = {"self": SHOWN_TO_SELF, "team": SHOWN_TO_TEAM, "everybody": SHOWN_TO_EVERYBODY}
HEALTH_NOT_SHOWN = 127  # in place of a health that the viewer is not told

VITALS_COUNT_BITS = 6
MAX_VITALS = (1 << VITALS_COUNT_BITS) - 1
VITALS_FIELDS = (
    Field("entity", INDEX_BITS, "a player: the client's own, or of its team"),
    Field("health", 7, "points, 0 to 100; 127: not told"),
    Field("connected", 1, "0: away; 1: connected, or not told"),
)
VITALS_ENTITY, VITALS_HEALTH, VITALS_CONNECTED = columns(VITALS_FIELDS, "entity health connected")
VITALS_WIDTHS, VITALS_LEASTS = widths(VITALS_FIELDS), leasts(VITALS_FIELDS)

# --- what a client says -------------------------------------------------------------------------------------
MESSAGE_INPUTS, MESSAGE_LEAVE = range(2)

CLIENT_MESSAGE_FIELDS = (
    Field("message", 2, "0 inputs, 1 leave; a leave ends here"),
    Field("ack_tick", TICK_BITS, "tick of the newest snapshot received, its low 24 bits; 0: none"),
    Field("ack_bits", 32, "bit i: the snapshot of ack_tick − 1 − i was received too"),
    Field(
        "reliable_ack",
        16,
        "number of the newest reliable message received, all before it included",
    ),
    Field("input_tick", CLIENT_TICK_BITS, "client tick of the newest input, its low 16 bits"),
    Field("input_count", 5, "inputs that follow, at most 16"),
    Field("says", 1, "1: a reliable message follows the inputs"),
)
INPUT_FIELDS = (
    Field("move_x", 8, "1/127 of full speed east", least=-128),
    Field("move_y", 8, "1/127 of full speed north", least=-128),
    Field("yaw", 16, "1/65536 turn"),
    Field("buttons", 8, "bits: 1 fire; a server passes over the others"),
    Field("view_lag", 8, "ack_tick minus the tick that the player was shown; 255: that or more"),
    Field("view_fraction", 4, "sixteenths of a tick by which the player was shown a later moment"),
)
VIEW_FRACTIONS = 16  # of a tick

BUTTON_FIRE = 1


@njit(cache=True, nogil=True)
def quantise_position(metres: float) -> int:
    """Metres −1,024…1,024 as units of 1/64 m, 0…131,071; beyond, and not a number, held at the edge."""
    units = (metres + WORLD_HALF_M) * POSITION_UNITS_PER_M + 0.5
    if not units > 0.0:
        return 0
    return int(units) if units < POSITION_MASK else POSITION_MASK
