"""What a client says: snapshots seen, reliable messages received, and inputs the server may not have.

Layout, bit-packed (table CLIENT_MESSAGE_FIELDS), then ``input_count`` inputs, newest first. The newest is
written whole; each older one as bit 1 when it repeats the next newer (and was shown one tick less), else
bit 0 and whole.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, njit
from dedicated_server.protocol.arrays import Ints, Longs, Words, int64
from dedicated_server.protocol.bits import append, take_int
from dedicated_server.protocol.fields import Field
from dedicated_server.protocol.server.state import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_RING,
    INPUT_TICK,
    INPUT_VIEW_TICK,
    INPUT_YAW,
    MAX_INPUTS,
)

MESSAGE_INPUTS, MESSAGE_LEAVE = range(2)

CLIENT_MESSAGE_FIELDS = (
    Field("message", 2, "0 inputs, 1 leave; a leave ends here"),
    Field("ack_tick", 32, "tick of the newest snapshot received, 0: none"),
    Field("ack_bits", 32, "bit i: the snapshot of ack_tick − 1 − i was received too"),
    Field("reliable_ack", 16, "number of the newest reliable message received, all before it included"),
    Field("input_tick", 31, "client tick of the newest input, 0: none yet"),
    Field("input_count", 5, "inputs that follow, at most 16"),
)
INPUT_FIELDS = (
    Field("move_x", 8, "signed, 1/127 of full speed east"),
    Field("move_y", 8, "signed, 1/127 of full speed north"),
    Field("yaw", 16, "1/65536 turn"),
    Field("buttons", 8, "bits: 1 fire, 2 sprint, 4 reload, 8 use"),
    Field("view_lag", 8, "ack_tick minus the tick that the player was shown; 255: that or more"),
)
HEAD_BITS = sum(field.bits for field in CLIENT_MESSAGE_FIELDS)
LEAVE_BITS = 2
INPUT_BITS = sum(field.bits for field in INPUT_FIELDS)
MAX_VIEW_LAG = 255
MAX_TICK = 0x7FFFFFFF

# What read_head fills.
HEAD_MESSAGE, HEAD_ACK_TICK, HEAD_ACK_BITS, HEAD_RELIABLE_ACK, HEAD_INPUT_TICK, HEAD_INPUT_COUNT = range(6)


@njit(cache=True, nogil=True, **STAGE)
def write_head(
    words: Words, ack_tick: int, ack_bits: int, reliable_ack: int, input_tick: int, input_count: int
) -> int:
    """Begin an inputs message in cleared words; returns the bit position behind the head."""
    words[0] = np.uint64(0)
    position = append(words, 0, MESSAGE_INPUTS, 2)
    position = append(words, position, ack_tick, 32)
    position = append(words, position, ack_bits, 32)
    position = append(words, position, reliable_ack, 16)
    position = append(words, position, input_tick, 31)
    return append(words, position, input_count, 5)


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
            int64(row[INPUT_MOVE_X] & 0xFF)
            | (int64(row[INPUT_MOVE_Y] & 0xFF) << 8)
            | (int64(row[INPUT_YAW] & 0xFFFF) << 16)
            | (int64(row[INPUT_BUTTONS] & 0xFF) << 32)
            | (lag << 40)
        )
        if back > 0:
            repeats = code == newer + (int64(1) << 40)
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
    if bits < LEAVE_BITS:
        return -1
    head[HEAD_MESSAGE] = take_int(words, 0, 2)
    if head[HEAD_MESSAGE] == MESSAGE_LEAVE:
        return LEAVE_BITS
    if head[HEAD_MESSAGE] != MESSAGE_INPUTS or bits < HEAD_BITS:
        return -1
    head[HEAD_ACK_TICK] = take_int(words, 2, 32)
    head[HEAD_ACK_BITS] = take_int(words, 34, 32)
    head[HEAD_RELIABLE_ACK] = take_int(words, 66, 16)
    head[HEAD_INPUT_TICK] = take_int(words, 82, 31)
    head[HEAD_INPUT_COUNT] = take_int(words, 113, 5)
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
            code += int64(1) << 40
        else:
            code = take_int(words, position, INPUT_BITS)
            position += INPUT_BITS
        tick = head[HEAD_INPUT_TICK] - back
        row = ring[tick % INPUT_RING]
        if row[INPUT_TICK] < tick:
            row[INPUT_TICK] = tick
            row[INPUT_MOVE_X] = _signed_byte(code & 0xFF)
            row[INPUT_MOVE_Y] = _signed_byte((code >> 8) & 0xFF)
            row[INPUT_YAW] = (code >> 16) & 0xFFFF
            row[INPUT_BUTTONS] = (code >> 32) & 0xFF
            row[INPUT_VIEW_TICK] = max(ack_tick - min(code >> 40, MAX_VIEW_LAG), 0)


@njit(cache=True, nogil=True, **INNER)
def _signed_byte(value: int) -> int:
    return value - ((value & 0x80) << 1)
