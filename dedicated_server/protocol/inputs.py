"""What a client says: snapshots seen, reliable messages received, and inputs the server may not have.

Layout, bit-packed (table CLIENT_MESSAGE_FIELDS), then ``input_count`` inputs, newest first. The newest is
written whole; each older one as bit 1 when it repeats the next newer (and was shown one tick less), else
bit 0 and whole.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Ints, Longs, Words, int64, njit
from dedicated_server.protocol.bits import append, take_int
from dedicated_server.protocol.fields import (
    CLIENT_MESSAGE_FIELDS,
    INPUT_FIELDS,
    MAX_TICK,
    MESSAGE_INPUTS,
    MESSAGE_LEAVE,
    positions,
    widths,
)

# Columns of the rings in which both ends keep inputs.
INPUT_TICK = 0  # client tick of the input in this row; 0: none
INPUT_MOVE_X = 1  # eastward, −127…127: part of full speed
INPUT_MOVE_Y = 2  # northward
INPUT_YAW = 3  # 65,536 to the turn
INPUT_BUTTONS = 4  # BUTTON_… bits
INPUT_VIEW_TICK = 5  # server tick that the player was shown
INPUT_COLUMNS = 6

INPUT_RING = 32  # client ticks kept
MAX_INPUTS = 16  # inputs repeated in one datagram

MESSAGE_BITS, ACK_TICK_BITS, ACK_BITS_BITS, RELIABLE_ACK_BITS, INPUT_TICK_BITS, INPUT_COUNT_BITS = widths(
    CLIENT_MESSAGE_FIELDS
)
_, ACK_TICK_AT, ACK_BITS_AT, RELIABLE_ACK_AT, INPUT_TICK_AT, INPUT_COUNT_AT = positions(CLIENT_MESSAGE_FIELDS)
HEAD_BITS = sum(widths(CLIENT_MESSAGE_FIELDS))
INPUT_BITS = sum(widths(INPUT_FIELDS))
_, MOVE_Y_AT, YAW_AT, BUTTONS_AT, VIEW_LAG_AT = positions(INPUT_FIELDS)
MOVE_X_MASK, MOVE_Y_MASK, YAW_MASK, BUTTONS_MASK, MAX_VIEW_LAG = (
    (1 << bits) - 1 for bits in widths(INPUT_FIELDS)
)

# What read_head fills.
HEAD_MESSAGE, HEAD_ACK_TICK, HEAD_ACK_BITS, HEAD_RELIABLE_ACK, HEAD_INPUT_TICK, HEAD_INPUT_COUNT = range(6)


@njit(cache=True, nogil=True, **STAGE)
def write_head(
    words: Words, ack_tick: int, ack_bits: int, reliable_ack: int, input_tick: int, input_count: int
) -> int:
    """Begin an inputs message in cleared words; returns the bit position behind the head."""
    words[0] = np.uint64(0)
    position = append(words, 0, MESSAGE_INPUTS, MESSAGE_BITS)
    position = append(words, position, ack_tick, ACK_TICK_BITS)
    position = append(words, position, ack_bits, ACK_BITS_BITS)
    position = append(words, position, reliable_ack, RELIABLE_ACK_BITS)
    position = append(words, position, input_tick, INPUT_TICK_BITS)
    return append(words, position, input_count, INPUT_COUNT_BITS)


@njit(cache=True, nogil=True, **STAGE)
def write_inputs(
    words: Words, position: int, ring: Ints, input_tick: int, input_count: int, ack_tick: int
) -> int:
    """Append inputs ``input_tick`` down from a ring of them; returns the bit position behind."""
    newer = int64(-1)
    for back in range(input_count):
        row = ring[(input_tick - back) % INPUT_RING]
        view = int64(row[INPUT_VIEW_TICK])
        lag = max(0, min(ack_tick - view, MAX_VIEW_LAG))
        code = (
            int64(row[INPUT_MOVE_X] & MOVE_X_MASK)
            | (int64(row[INPUT_MOVE_Y] & MOVE_Y_MASK) << MOVE_Y_AT)
            | (int64(row[INPUT_YAW] & YAW_MASK) << YAW_AT)
            | (int64(row[INPUT_BUTTONS] & BUTTONS_MASK) << BUTTONS_AT)
            | (lag << VIEW_LAG_AT)
        )
        if back > 0:
            repeats = code == newer + (int64(1) << VIEW_LAG_AT)
            position = append(words, position, int64(repeats), 1)
            if repeats:
                newer = code
                continue
        position = append(words, position, code, INPUT_BITS)
        newer = code
    return position


@njit(cache=True, nogil=True, **STAGE)
def read_head(words: Words, bits: int, head: Longs) -> int:
    """Read a message's head into int64[6]; returns the position behind it, or −1 when malformed."""
    if bits < MESSAGE_BITS:
        return -1
    head[HEAD_MESSAGE] = take_int(words, 0, MESSAGE_BITS)
    if head[HEAD_MESSAGE] == MESSAGE_LEAVE:
        return MESSAGE_BITS
    if head[HEAD_MESSAGE] != MESSAGE_INPUTS or bits < HEAD_BITS:
        return -1
    head[HEAD_ACK_TICK] = take_int(words, ACK_TICK_AT, ACK_TICK_BITS)
    head[HEAD_ACK_BITS] = take_int(words, ACK_BITS_AT, ACK_BITS_BITS)
    head[HEAD_RELIABLE_ACK] = take_int(words, RELIABLE_ACK_AT, RELIABLE_ACK_BITS)
    head[HEAD_INPUT_TICK] = take_int(words, INPUT_TICK_AT, INPUT_TICK_BITS)
    head[HEAD_INPUT_COUNT] = take_int(words, INPUT_COUNT_AT, INPUT_COUNT_BITS)
    count = head[HEAD_INPUT_COUNT]
    if count > MAX_INPUTS or count > head[HEAD_INPUT_TICK] or head[HEAD_ACK_TICK] > MAX_TICK:
        return -1
    return HEAD_BITS


@njit(cache=True, nogil=True, **STAGE)
def inputs_end(words: Words, position: int, bits: int, count: int) -> int:
    """Where the inputs end, or −1: they run over the end, or the padding is not zero bits to a whole byte."""
    for back in range(count):
        if back > 0:
            if position >= bits:
                return -1
            repeats = take_int(words, position, 1)
            position += 1
            if repeats == 1:
                continue
        position += INPUT_BITS
        if position > bits:
            return -1
    padding = bits - position
    if padding > 7 or (padding > 0 and take_int(words, position, padding) != 0):
        return -1
    return position


@njit(cache=True, nogil=True, **STAGE)
def read_inputs(words: Words, position: int, ring: Ints, head: Longs) -> None:
    """Put inputs that are new into the ring, at client tick % INPUT_RING; `inputs_end` has been asked before.

    A tick's input never changes once it is in: the first to come wins.
    """
    code = int64(0)
    ack_tick = head[HEAD_ACK_TICK]
    for back in range(head[HEAD_INPUT_COUNT]):
        repeats = int64(0)
        if back > 0:
            repeats = take_int(words, position, 1)
            position += 1
        if repeats == 1:
            code += int64(1) << VIEW_LAG_AT
        else:
            code = take_int(words, position, INPUT_BITS)
            position += INPUT_BITS
        tick = head[HEAD_INPUT_TICK] - back
        row = ring[tick % INPUT_RING]
        if row[INPUT_TICK] < tick:
            row[INPUT_TICK] = tick
            row[INPUT_MOVE_X] = _signed_byte(code & MOVE_X_MASK)
            row[INPUT_MOVE_Y] = _signed_byte((code >> MOVE_Y_AT) & MOVE_Y_MASK)
            row[INPUT_YAW] = (code >> YAW_AT) & YAW_MASK
            row[INPUT_BUTTONS] = (code >> BUTTONS_AT) & BUTTONS_MASK
            row[INPUT_VIEW_TICK] = max(ack_tick - min(code >> VIEW_LAG_AT, MAX_VIEW_LAG), 0)


@njit(cache=True, nogil=True, **INNER)
def _signed_byte(value: int) -> int:
    return value - ((value & 0x80) << 1)
