"""The wire's fields, one table a record: name, bits, meaning.

Encoder, decoder and PROTOCOL.md are made from the tables.

`positions` and `widths` turn a table into the numbers that kernels use; numba sees them as constants. A
record's fields are packed in the table's order, lowest bits first.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from dedicated_server.native.compilation import njit

TICK_HZ = 60  # ticks of a server and frames of a client in a second
HISTORY_TICKS = 64  # snapshots that can serve as a baseline; a power of two
MAX_TICK = 0x7FFFFFFF


class Field(NamedTuple):
    """One field of a record: its bits, and what one unit of it means."""

    name: str
    bits: int
    meaning: str


def widths(table: tuple[Field, ...]) -> tuple[int, ...]:
    """Bits of each field of a table."""
    return tuple(field.bits for field in table)


def positions(table: tuple[Field, ...]) -> tuple[int, ...]:
    """Bit at which each field of a table begins, counted from the table's beginning."""
    return (0, *accumulate(widths(table)))[:-1]


# --- positions ----------------------------------------------------------------------------------------------
POSITION_UNITS_PER_M = 64  # 1.6 cm
WORLD_HALF_M = 1024.0
POSITION_BITS = 17
POSITION_MASK = (1 << POSITION_BITS) - 1

# --- the match ----------------------------------------------------------------------------------------------
MATCH_PHASE, MATCH_ZONE_X, MATCH_ZONE_Y, MATCH_ZONE_RADIUS, MATCH_ALIVE, MATCH_COUNTDOWN = range(6)
PHASE_WAITING, PHASE_PLAYING, PHASE_OVER = range(3)

MATCH_FIELDS = (
    Field("phase", 2, "0 waiting, 1 playing, 2 over"),
    Field("zone_x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("zone_y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("zone_radius", POSITION_BITS, "metres × 64"),
    Field("alive", 11, "players alive"),
    Field("countdown", 16, "ticks until the phase ends"),
)
MATCH_WIDTHS, MATCH_AT = widths(MATCH_FIELDS), positions(MATCH_FIELDS)
MATCH_BITS = sum(MATCH_WIDTHS)

# --- a snapshot ---------------------------------------------------------------------------------------------
MESSAGE_KEEP_ALIVE, MESSAGE_SNAPSHOT = range(2)

SNAPSHOT_FIELDS = (
    Field("message", 2, "0 keep-alive, which ends here; 1 snapshot"),
    Field("tick", 32, "server tick"),
    Field("input_newest", 31, "newest client tick received"),
    Field("input_lag", 6, "how many of those are not used yet; 63: that or more"),
    Field("base_age", 6, "age in ticks of the baseline most records are against; 0: none"),
    Field("gap_bits", 4, "parameter of the code for gaps between entity indexes"),
)
MESSAGE_BITS, TICK_BITS, INPUT_NEWEST_BITS, INPUT_LAG_BITS, AGE_BITS, GAP_BITS = widths(SNAPSHOT_FIELDS)
_, TICK_AT, INPUT_NEWEST_AT, INPUT_LAG_AT, BASE_AGE_AT, GAP_BITS_AT = positions(SNAPSHOT_FIELDS)
SNAPSHOT_HEAD_BITS = sum(widths(SNAPSHOT_FIELDS))
MAX_INPUT_LAG = (1 << INPUT_LAG_BITS) - 1
HINT_BITS = 16  # 8 octants of 2 bits
LEAVE_COUNT_BITS = 6
INDEX_BITS = 11  # of an entity that left; records have gaps
MAX_ENTITIES = 1 << INDEX_BITS  # the largest match that the wire can express
RECORD_COUNT_BITS = 9

# --- reliable messages --------------------------------------------------------------------------------------
RELIABLE_HEAD_FIELDS = (
    Field("count", 4, "messages that follow"),
    Field("first", 16, "number of the first of them, its low 16 bits"),
)
RELIABLE_FIELDS = (
    Field("kind", 4, "1 kill, 2 hit, 3 match over; the others are reserved"),
    Field("a", 32, "by kind"),
    Field("b", 32, "by kind"),
)
RELIABLE_COUNT_BITS, RELIABLE_NUMBER_BITS = widths(RELIABLE_HEAD_FIELDS)
RELIABLE_HEAD_BITS = RELIABLE_COUNT_BITS + RELIABLE_NUMBER_BITS
RELIABLE_KIND_BITS, RELIABLE_A_BITS, RELIABLE_B_BITS = widths(RELIABLE_FIELDS)
_, RELIABLE_A_AT, RELIABLE_B_AT = positions(RELIABLE_FIELDS)
RELIABLE_BITS = sum(widths(RELIABLE_FIELDS))
RELIABLE_NUMBER_MASK = (1 << RELIABLE_NUMBER_BITS) - 1
MAX_RELIABLE_MESSAGES = (1 << RELIABLE_COUNT_BITS) - 1  # in one datagram

RELIABLE_KILL = 1  # a: killer entity | victim entity << 16 (65535: the zone), b: weapon | players left << 16
RELIABLE_HIT = 2  # to the shooter: a: victim entity | damage points << 16, b: client tick of the shot
RELIABLE_MATCH_OVER = 3  # a: own placement | winner entity << 16, b: own kills

# --- what a client says -------------------------------------------------------------------------------------
MESSAGE_INPUTS, MESSAGE_LEAVE = range(2)

CLIENT_MESSAGE_FIELDS = (
    Field("message", 2, "0 inputs, 1 leave; a leave ends here"),
    Field("ack_tick", 32, "tick of the newest snapshot received, 0: none"),
    Field("ack_bits", 32, "bit i: the snapshot of ack_tick − 1 − i was received too"),
    Field(
        "reliable_ack",
        RELIABLE_NUMBER_BITS,
        "number of the newest reliable message received, all before it included",
    ),
    Field("input_tick", 31, "client tick of the newest input, 0: none yet"),
    Field("input_count", 5, "inputs that follow, at most 16"),
)
INPUT_FIELDS = (
    Field("move_x", 8, "signed, 1/127 of full speed east"),
    Field("move_y", 8, "signed, 1/127 of full speed north"),
    Field("yaw", 16, "1/65536 turn"),
    Field("buttons", 8, "bits: 1 fire; the others are reserved"),
    Field("view_lag", 8, "ack_tick minus the tick that the player was shown; 255: that or more"),
)

BUTTON_FIRE = 1


@njit(cache=True, nogil=True)
def quantise_position(metres: float) -> int:
    """Metres −1,024…1,024 as units of 1/64 m, 0…131,071; beyond, and not a number, held at the edge."""
    units = (metres + WORLD_HALF_M) * POSITION_UNITS_PER_M + 0.5
    if not units > 0.0:
        return 0
    return int(units) if units < POSITION_MASK else POSITION_MASK
