"""One entity's record as the difference to a baseline: prefix codes, at most 64 bits.

In the order of the bits::

    changed   0: the record equals the baseline, and ends here
    moved     0: no   10: tight   110: wide   111: absolute
              tight: dx, dy as zigzag numbers of `tight_bits(age)` bits; wide: of 3 more
              absolute: x and y, 17 bits each
    turned    0: no   10: zigzag difference in 6 bits, round the circle   11: yaw in 10 bits
    vitals    0: no   1: health in 7 bits, flags in 6

The older the baseline, the further a player can have moved, so the width of a tight move follows from the
age: ±15/64 m in two ticks is 7 m/s, and that speed fits at any age. Sizing it by the age instead of once
for all saves about 6 bits a record.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, STAGE, Words, int64, njit
from dedicated_server.protocol.bits import bit_length, take_int, unzigzag, zigzag
from dedicated_server.protocol.entities import (
    FLAG_BITS,
    HEALTH_AT,
    HEALTH_BITS,
    RECORD_BITS,
    YAW_BITS,
    YAW_MASK,
    YAW_TURN,
    Record,
    at_place,
    x_units,
    y_units,
    yaw_units,
)
from dedicated_server.protocol.fields import POSITION_BITS, POSITION_MASK

WIDE_MORE_BITS = 3
SMALL_TURN_BITS = 6
VITALS_BITS = HEALTH_BITS + FLAG_BITS

_SMALL_TURNS = 1 << SMALL_TURN_BITS


@njit(cache=True, nogil=True, **STAGE)
def tight_bits(age: int) -> int:
    """Bits for each of dx and dy at a baseline of this age in ticks: 5 up to 2, 6 to 4 … 10 to 64."""
    return 5 + bit_length((age - 1) >> 1)


@njit(cache=True, nogil=True, **STAGE)
def encode_delta(record: Record, base: Record, age: int) -> tuple[np.uint64, int]:
    """Code ``record`` against ``base``, ``age`` ticks older: lowest bit first, and its length in bits."""
    if record == base:
        return np.uint64(0), int64(1)
    code = np.uint64(1)
    length = int64(1)

    x, y = x_units(record), y_units(record)
    dx = zigzag(x - x_units(base))
    dy = zigzag(y - y_units(base))
    width = tight_bits(age)
    reach = dx | dy
    if reach == 0:
        length += 1
    elif reach >> width == 0:
        code, length = _put(code, length, 0b01 | (dx << 2) | (dy << (2 + width)), 2 + 2 * width)
    elif reach >> (width + WIDE_MORE_BITS) == 0:
        width += WIDE_MORE_BITS
        code, length = _put(code, length, 0b011 | (dx << 3) | (dy << (3 + width)), 3 + 2 * width)
    else:
        code, length = _put(
            code, length, 0b111 | (x << 3) | (y << (3 + POSITION_BITS)), 3 + 2 * POSITION_BITS
        )

    yaw = yaw_units(record)
    turn = (yaw - yaw_units(base) + YAW_TURN // 2) % YAW_TURN - YAW_TURN // 2
    if turn == 0:
        length += 1
    elif zigzag(turn) < _SMALL_TURNS:
        code, length = _put(code, length, 0b01 | (zigzag(turn) << 2), 2 + SMALL_TURN_BITS)
    else:
        code, length = _put(code, length, 0b11 | (yaw << 2), 2 + YAW_BITS)

    vitals = record[0] >> HEALTH_AT
    if vitals == base[0] >> HEALTH_AT:
        length += 1
    else:
        code, length = _put(code, length, 1 | (vitals << 1), 1 + VITALS_BITS)
    return code, length


@njit(cache=True, nogil=True, **STAGE)
def decode_delta(words: Words, position: int, base: Record, age: int) -> tuple[Record, int]:
    """The reverse of `encode_delta`, from a stream: the record and the position behind it."""
    if take_int(words, position, 1) == 0:
        return base, position + 1
    position += 1
    x, y, yaw = x_units(base), y_units(base), yaw_units(base)
    vitals = base[0] >> HEALTH_AT

    move = take_int(words, position, 3)
    if move & 1 == 0:
        position += 1
    elif move == 0b111:
        x = take_int(words, position + 3, POSITION_BITS)
        y = take_int(words, position + 3 + POSITION_BITS, POSITION_BITS)
        position += 3 + 2 * POSITION_BITS
    else:
        prefix, width = 2, tight_bits(age)
        if move & 2:
            prefix, width = 3, width + WIDE_MORE_BITS
        x = (x + unzigzag(take_int(words, position + prefix, width))) & POSITION_MASK
        y = (y + unzigzag(take_int(words, position + prefix + width, width))) & POSITION_MASK
        position += prefix + 2 * width

    turn = take_int(words, position, 2)
    if turn & 1 == 0:
        position += 1
    elif turn == 0b11:
        yaw = take_int(words, position + 2, YAW_BITS)
        position += 2 + YAW_BITS
    else:
        yaw = (yaw + unzigzag(take_int(words, position + 2, SMALL_TURN_BITS))) & YAW_MASK
        position += 2 + SMALL_TURN_BITS

    if take_int(words, position, 1) == 1:
        vitals = take_int(words, position + 1, VITALS_BITS)
        position += VITALS_BITS
    return at_place((vitals << HEALTH_AT, *base[1:]), x, y, yaw), position + 1


@njit(cache=True, nogil=True, **STAGE)
def whole_record(words: Words, position: int) -> Record:
    """Read a whole record of RECORD_BITS bits from a stream."""
    return (take_int(words, position, RECORD_BITS),)


@njit(cache=True, nogil=True, **INNER)
def _put(code: np.uint64, length: int, value: int, bits: int) -> tuple[np.uint64, int]:
    return code | (np.uint64(value) << np.uint64(length)), length + bits
