"""What a client says: snapshots seen, reliable messages received, and inputs the server may not have.

Layout, bit-packed: the table CLIENT_MESSAGE_FIELDS, then ``input_count`` inputs, newest first. The newest is
written whole; each older one as bit 1 when it repeats the next newer (and was shown one tick less), else
bit 0 and whole. What the player was shown matters for shots alone. So an input that does not fire repeats
already where its view is within half a tick of that: frames are never quite even, and a whole input is 52
bits. Where ``says`` is 1, one reliable message follows (`client_kinds`).

Client ticks have 16 bits on the wire, server ticks 24. Who reads them takes the number nearest to the newest
that they know (`bits.nearest`), so neither comes to an end: a client may begin at any tick, and pass 2³².
"""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, STAGE, Ints, Longs, Words, int64, njit
from dedicated_server.protocol.bits import append, nearest, take_int
from dedicated_server.protocol.fields import (
    BUTTON_FIRE,
    CLIENT_MESSAGE_FIELDS,
    CLIENT_TICK_BITS,
    INPUT_FIELDS,
    MAX_TICK,
    MESSAGE_INPUTS,
    MESSAGE_LEAVE,
    TICK_BITS,
    VIEW_FRACTIONS,
)
from dedicated_server.protocol.tables import columns, leasts, length_of, positions, read_fields, widths

# What read_head fills, and what an inputs message begins with.
HEAD_MESSAGE, HEAD_ACK_TICK, HEAD_ACK_BITS, HEAD_RELIABLE_ACK, HEAD_INPUT_TICK, HEAD_INPUT_COUNT = columns(
    CLIENT_MESSAGE_FIELDS, "message ack_tick ack_bits reliable_ack input_tick input_count"
)
(HEAD_SAYS,) = columns(CLIENT_MESSAGE_FIELDS, "says")
HEAD_WIDTHS, HEAD_LEASTS = widths(CLIENT_MESSAGE_FIELDS), leasts(CLIENT_MESSAGE_FIELDS)
HEAD_BITS = length_of(CLIENT_MESSAGE_FIELDS)
MESSAGE_BITS = HEAD_WIDTHS[HEAD_MESSAGE]

# Columns of the rings in which both ends keep inputs: the client tick, then the table's fields. In place of
# the lag stands the server tick that it says. The last is the server's own: the oldest tick that its player's
# line lets be shown (`server.view_age`).
INPUT_TICK = 0  # client tick of the input in this row; 0: none
INPUT_MOVE_X, INPUT_MOVE_Y, INPUT_YAW, INPUT_BUTTONS, INPUT_VIEW_TICK, INPUT_VIEW_FRACTION = (
    1 + column for column in columns(INPUT_FIELDS, "move_x move_y yaw buttons view_lag view_fraction")
)
INPUT_OLDEST_VIEW = 1 + len(INPUT_FIELDS)
INPUT_COLUMNS = 2 + len(INPUT_FIELDS)

INPUT_RING = 32  # client ticks kept
MAX_INPUTS = 16  # inputs repeated in one datagram
MAX_CLIENT_TICK = MAX_TICK - INPUT_RING  # of a session; its first 16 bits may be any

INPUT_WIDTHS, INPUT_LEASTS, INPUT_AT = widths(INPUT_FIELDS), leasts(INPUT_FIELDS), positions(INPUT_FIELDS)
INPUT_BITS = length_of(INPUT_FIELDS)
_BUTTONS, _VIEW_LAG, _VIEW_FRACTION = INPUT_BUTTONS - 1, INPUT_VIEW_TICK - 1, INPUT_VIEW_FRACTION - 1
_ONE_LAG = 1 << INPUT_AT[_VIEW_LAG]
_MAX_LAG = (1 << INPUT_WIDTHS[_VIEW_LAG]) - 1
_FIRE = BUTTON_FIRE << INPUT_AT[_BUTTONS]
_VIEW = _MAX_LAG << INPUT_AT[_VIEW_LAG] | (VIEW_FRACTIONS - 1) << INPUT_AT[_VIEW_FRACTION]
VIEW_SLACK_TICKS = 3  # a client shows a tick behind what it could, and frames of both ends are a tick apart
LONGEST_REPEATED_AGE = 4  # ticks by which an input may come late, with a later one, and count as on time


@njit(cache=True, nogil=True, **STAGE)
def write_inputs(
    words: Words, position: int, ring: Ints, input_tick: int, input_count: int, ack_tick: int
) -> int:
    """Append inputs ``input_tick`` down from a ring of them; returns the bit position behind."""
    newer = int64(-1)
    for back in range(input_count):
        code = _pack(ring[(input_tick - back) % INPUT_RING], ack_tick)
        if back > 0:
            longest = (newer >> INPUT_AT[_VIEW_LAG]) & _MAX_LAG == _MAX_LAG
            repeats = not longest and _is_near(code, newer + _ONE_LAG)
            position = append(words, position, int64(repeats), 1)
            if repeats:
                newer += _ONE_LAG
                continue
        position = append(words, position, code, INPUT_BITS)
        newer = code
    return position


@njit(cache=True, nogil=True, **INNER)
def _is_near(code: int, repeated: int) -> bool:
    """Whether an input may be said to be another: it is, or does not fire and was shown nearly that."""
    if code == repeated:
        return True
    if (code ^ repeated) & ~_VIEW != 0 or code & _FIRE != 0:
        return False
    return abs(_view_of(code) - _view_of(repeated)) <= VIEW_FRACTIONS // 2


@njit(cache=True, nogil=True, **INNER)
def _view_of(code: int) -> int:
    """What an input was shown, in fractions of a tick since ack_tick."""
    lag = (code >> INPUT_AT[_VIEW_LAG]) & _MAX_LAG
    return ((code >> INPUT_AT[_VIEW_FRACTION]) & (VIEW_FRACTIONS - 1)) - lag * VIEW_FRACTIONS


@njit(cache=True, nogil=True, **INNER)
def _pack(row: Ints, ack_tick: int) -> int:
    code = int64(0)
    for place in range(len(INPUT_WIDTHS)):
        value = int64(row[1 + place])
        if place == _VIEW_LAG:
            value = ack_tick - value
        elif place == _VIEW_FRACTION and row[INPUT_VIEW_TICK] > ack_tick:
            value = int64(VIEW_FRACTIONS - 1)  # the latest that can be said
        most = (int64(1) << int64(INPUT_WIDTHS[place])) - 1
        code |= max(int64(0), min(value - INPUT_LEASTS[place], most)) << int64(INPUT_AT[place])
    return code


@njit(cache=True, nogil=True, **STAGE)
def read_head(words: Words, bits: int, head_bits: int, head: Longs) -> int:
    """Read a message's head into int64[7]; returns the position behind it, or −1 when malformed.

    ``bits``: of the message; ``head_bits``: of the table as this client has it. The ticks are still low bits.
    """
    if bits < MESSAGE_BITS:
        return -1
    head[HEAD_MESSAGE] = take_int(words, 0, MESSAGE_BITS)
    if head[HEAD_MESSAGE] == MESSAGE_LEAVE:
        return MESSAGE_BITS
    position = read_fields(words, 0, bits, head_bits, HEAD_WIDTHS, HEAD_LEASTS, head)
    if position > bits or head[HEAD_MESSAGE] != MESSAGE_INPUTS or head[HEAD_INPUT_COUNT] > MAX_INPUTS:
        return -1
    return position


@njit(cache=True, nogil=True, **STAGE)
def widen_ticks(head: Longs, sent_newest_tick: int, input_newest: int) -> bool:
    """Make whole ticks of a head's low bits, by the newest snapshot sent and the newest input received.

    Returns whether inputs may have these client ticks: all of them 1 and later, and none beyond what a
    session can count.
    """
    if head[HEAD_ACK_TICK] != 0:
        head[HEAD_ACK_TICK] = nearest(sent_newest_tick, head[HEAD_ACK_TICK], TICK_BITS)
    if head[HEAD_INPUT_COUNT] == 0:
        head[HEAD_INPUT_TICK] = input_newest
        return True
    if input_newest > 0:
        head[HEAD_INPUT_TICK] = nearest(input_newest, head[HEAD_INPUT_TICK], CLIENT_TICK_BITS)
    elif head[HEAD_INPUT_TICK] < head[HEAD_INPUT_COUNT]:  # begins just behind a multiple of 2^16
        head[HEAD_INPUT_TICK] += int64(1) << int64(CLIENT_TICK_BITS)
    return bool(head[HEAD_INPUT_COUNT] <= head[HEAD_INPUT_TICK] <= MAX_CLIENT_TICK)


@njit(cache=True, nogil=True, **STAGE)
def inputs_end(words: Words, position: int, bits: int, count: int, input_bits: int) -> int:
    """Where the inputs end, or −1: they run over the end of the message.

    ``input_bits``: of an input as this client has it.
    """
    for back in range(count):
        if back > 0:
            if position >= bits:
                return -1
            repeats = take_int(words, position, 1)
            position += 1
            if repeats == 1:
                continue
        position += input_bits
        if position > bits:
            return -1
    return position


@njit(cache=True, nogil=True, **STAGE)
def is_padding(words: Words, position: int, bits: int) -> bool:
    """Whether a message ends at ``position`` (−1: nowhere): what follows is zero bits to a whole byte."""
    padding = bits - position
    if position < 0 or padding > 7:
        return False
    return padding == 0 or take_int(words, position, padding) == 0


@njit(cache=True, nogil=True, **STAGE)
def read_inputs(
    words: Words, position: int, ring: Ints, head: Longs, input_bits: int, oldest_view: int
) -> None:
    """Put inputs that are new into the ring, at client tick % INPUT_RING; `inputs_end` has been asked before.

    A tick's input never changes once it is in: the first to come wins. ``oldest_view``: the oldest server
    tick that the newest of them can have been shown; earlier ones as much earlier, as far as datagrams lost
    before this one explain it.
    """
    code = int64(0)
    known_bits = min(input_bits, INPUT_BITS)
    for back in range(head[HEAD_INPUT_COUNT]):
        repeats = int64(0)
        if back > 0:
            repeats = take_int(words, position, 1)
            position += 1
        if repeats == 1:
            code += _ONE_LAG
        else:
            code = take_int(words, position, known_bits) if known_bits > 0 else int64(0)
            position += input_bits
        tick = head[HEAD_INPUT_TICK] - back
        row = ring[tick % INPUT_RING]
        if row[INPUT_TICK] < tick:
            row[INPUT_TICK] = tick
            _unpack(code, row, head[HEAD_ACK_TICK])
            row[INPUT_OLDEST_VIEW] = max(oldest_view - min(back, LONGEST_REPEATED_AGE), 0)


@njit(cache=True, nogil=True, **INNER)
def _unpack(code: int, row: Ints, ack_tick: int) -> None:
    for place in range(len(INPUT_WIDTHS)):
        value = (code >> int64(INPUT_AT[place])) & ((int64(1) << int64(INPUT_WIDTHS[place])) - 1)
        value += INPUT_LEASTS[place]
        if place == _VIEW_LAG:
            value = max(ack_tick - value, 0)
        row[1 + place] = value
