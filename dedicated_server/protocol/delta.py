"""One entity's record on the wire: whole, or as the difference to a baseline.

A whole record is its kind's fields in the table's order. A difference is, in the order of the bits::

    changed   0: the record equals the baseline, and ends here
    moved     0: no   10: tight   110: wide   111: absolute
              tight: dx, dy as zigzag numbers of `tight_bits(age)` bits; wide: of 3 more
              absolute: x and y, 17 bits each
    turned    where the kind has an angle: 0: no   10: zigzag difference in 6 bits, round the circle
              11: the angle
    plain     0: no   1: all plain fields of the kind

The older the baseline, the further a player can have moved, so the width of a tight move follows from the
age: ±15/64 m in two ticks is 7 m/s, and that speed fits at any age. Sizing it by the age instead of once
for all saves about 6 bits a record.

Kernels here work on rows of arrays, int64[RECORD_WORDS] each. What differs by kind they look up in the tables
of `entity_table`, which are constants to the compiler.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dedicated_server.native.compilation import INLINE, INNER, STAGE, Bytes, Longs, Words, int64, njit
from dedicated_server.protocol.bits import bit_length, put, read_uint, take_int, unzigzag, zigzag
from dedicated_server.protocol.entities import KIND, PLAIN_LENGTH_BITS, X, Y
from dedicated_server.protocol.entity_table import (
    ALL_PLAIN_BITS,
    ANGLE_BITS,
    COMMON_BITS,
    FIELD_BITS,
    KIND_BITS,
    KINDS,
    PLAIN_AT,
    PLAIN_BITS,
    RECORD_WORDS,
    WHOLE_BITS,
)
from dedicated_server.protocol.fields import HISTORY_TICKS, POSITION_BITS, POSITION_MASK

WIDE_MORE_BITS: Final = 3
SMALL_TURN_BITS: Final = 6

_SMALL_TURNS = 1 << SMALL_TURN_BITS


@njit(cache=True, nogil=True, **STAGE)
def tight_bits(age: int) -> int:
    """Bits for each of dx and dy at a baseline of this age in ticks: 5 up to 2, 6 to 4 … 10 to 64."""
    return 5 + bit_length((age - 1) >> 1)


def longest_code_bits() -> int:
    """Bits of the longest code that any record has, whole or as a difference."""
    widest = 5 + (HISTORY_TICKS - 2 >> 1).bit_length() + WIDE_MORE_BITS
    moved = 3 + 2 * max(widest, POSITION_BITS)
    turned = (2 + np.maximum(ANGLE_BITS, SMALL_TURN_BITS)) * (ANGLE_BITS > 0)
    return int(max(WHOLE_BITS.max(), (1 + moved + turned + 1 + ALL_PLAIN_BITS).max()))


LONGEST_CODE_BITS: Final = longest_code_bits()
CODE_WORDS: Final = (LONGEST_CODE_BITS + 63) // 64


@njit(cache=True, nogil=True, **INLINE)
def write_whole(words: Words, row: Longs) -> int:
    """Write a whole record at the beginning of ``words``, a word of slack behind it; return its bits."""
    kind = row[0] & KIND.mask
    position, carry = int64(0), np.uint64(0)
    for word in range(RECORD_WORDS):
        position, carry = put(words, position, carry, np.uint64(row[word]), FIELD_BITS[kind, word])
    words[position >> 6] = carry
    return position


@njit(cache=True, nogil=True, **INLINE)
def write_difference(words: Words, row: Longs, base: Longs, age: int) -> int:
    """Write the difference of a record to ``base``, ``age`` ticks older, as `write_whole` does."""
    same = True
    for word in range(RECORD_WORDS):
        same &= row[word] == base[word]
    if same:
        words[0] = np.uint64(0)
        return int64(1)
    kind = row[0] & KIND.mask
    x, y = _coordinate(row, X.at), _coordinate(row, Y.at)
    dx, dy = zigzag(x - _coordinate(base, X.at)), zigzag(y - _coordinate(base, Y.at))
    width = tight_bits(age)
    reach = dx | dy
    code, length = int64(1), int64(2)  # changed, not moved
    if reach == 0:
        pass
    elif reach >> width == 0:
        code, length = 0b011 | (dx << 3) | (dy << (3 + width)), 3 + 2 * width
    elif reach >> (width + WIDE_MORE_BITS) == 0:
        width += WIDE_MORE_BITS
        code, length = 0b0111 | (dx << 4) | (dy << (4 + width)), 4 + 2 * width
    else:
        code, length = 0b1111 | (x << 4) | (y << (4 + POSITION_BITS)), int64(4 + 2 * POSITION_BITS)
    position, carry = put(words, int64(0), np.uint64(0), np.uint64(code), length)

    bits = ANGLE_BITS[kind]
    if bits > 0:
        mask, half = (int64(1) << bits) - 1, int64(1) << (bits - 1)
        value = (row[0] >> COMMON_BITS) & mask
        turn = ((value - (base[0] >> COMMON_BITS) + half) & mask) - half
        if turn == 0:
            code, length = int64(0), int64(1)
        elif zigzag(turn) < _SMALL_TURNS:
            code, length = 0b01 | (zigzag(turn) << 2), int64(2 + SMALL_TURN_BITS)
        else:
            code, length = 0b11 | (value << 2), 2 + bits
        position, carry = put(words, position, carry, np.uint64(code), length)

    same = True
    for word in range(RECORD_WORDS):
        same &= row[word] >> PLAIN_AT[kind, word] == base[word] >> PLAIN_AT[kind, word]
    if same:
        position, carry = put(words, position, carry, np.uint64(0), int64(1))
    else:
        plain = np.uint64(1) | (np.uint64(row[0] >> PLAIN_AT[kind, 0]) << np.uint64(1))
        position, carry = put(words, position, carry, plain, 1 + PLAIN_BITS[kind, 0])
        for word in range(1, RECORD_WORDS):
            plain = np.uint64(row[word] >> PLAIN_AT[kind, word])
            position, carry = put(words, position, carry, plain, PLAIN_BITS[kind, word])
    words[position >> 6] = carry
    return position


@njit(cache=True, nogil=True, **INLINE)
def read_whole(words: Words, position: int, row: Longs, layout: Bytes) -> int:
    """Read a whole record into ``row``; return the position behind it.

    ``layout``: what the writer says of its kinds, as of `entities.layout`. Of a kind that we do not know, the
    row has what is common to all.
    """
    kind = take_int(words, position, KIND_BITS)
    row[0] = take_int(words, position, COMMON_BITS + ANGLE_BITS[kind])
    for word in range(1, RECORD_WORDS):
        row[word] = 0
    position += COMMON_BITS + _angle_bits(layout, kind)
    return _read_plain(words, position, row, kind, _plain_bits(layout, kind))


@njit(cache=True, nogil=True, **INLINE)
def read_difference(words: Words, position: int, row: Longs, base: Longs, age: int, layout: Bytes) -> int:
    """Read a difference to ``base``, ``age`` ticks older, into ``row``; return the position behind it."""
    for word in range(RECORD_WORDS):
        row[word] = base[word]
    changed = take_int(words, position, 1)
    position += 1
    if changed == 0:
        return position
    kind = base[0] & KIND.mask

    move = take_int(words, position, 3)
    if move & 1 == 0:
        position += 1
    else:
        if move == 0b111:
            x = take_int(words, position + 3, POSITION_BITS)
            y = take_int(words, position + 3 + POSITION_BITS, POSITION_BITS)
            position += 3 + 2 * POSITION_BITS
        else:
            prefix, width = 2, tight_bits(age)
            if move & 2:
                prefix, width = 3, width + WIDE_MORE_BITS
            x = _coordinate(base, X.at) + unzigzag(take_int(words, position + prefix, width))
            y = _coordinate(base, Y.at) + unzigzag(take_int(words, position + prefix + width, width))
            position += prefix + 2 * width
        kept = row[0] & ~((POSITION_MASK << X.at) | (POSITION_MASK << Y.at))
        row[0] = kept | ((x & POSITION_MASK) << X.at) | ((y & POSITION_MASK) << Y.at)

    bits = _angle_bits(layout, kind)
    if bits > 0:
        turn = take_int(words, position, 2)
        if turn & 1 == 0:
            position += 1
        else:
            if turn == 0b11:
                value = take_int(words, position + 2, bits)
                position += 2 + bits
            else:
                value = (base[0] >> COMMON_BITS) + unzigzag(take_int(words, position + 2, SMALL_TURN_BITS))
                position += 2 + SMALL_TURN_BITS
            mask = (int64(1) << ANGLE_BITS[kind]) - 1
            row[0] = (row[0] & ~(mask << COMMON_BITS)) | ((value & mask) << COMMON_BITS)

    plain = take_int(words, position, 1)
    position += 1
    if plain == 0:
        return position
    return _read_plain(words, position, row, kind, _plain_bits(layout, kind))


@njit(cache=True, nogil=True, **INNER)
def _coordinate(row: Longs, at: int) -> int:
    return int64(row[0] >> at) & POSITION_MASK


@njit(cache=True, nogil=True, **INNER)
def _plain_bits(layout: Bytes, kind: int) -> int:
    return read_uint(layout, 2 * kind, 2) & ((1 << PLAIN_LENGTH_BITS) - 1)


@njit(cache=True, nogil=True, **INNER)
def _angle_bits(layout: Bytes, kind: int) -> int:
    """Of a kind that we do not know only the writer can say it."""
    return ANGLE_BITS[kind] if kind < KINDS else read_uint(layout, 2 * kind, 2) >> PLAIN_LENGTH_BITS


@njit(cache=True, nogil=True, **INNER)
def _read_plain(words: Words, position: int, row: Longs, kind: int, bits: int) -> int:
    """Read ``bits`` bits of plain fields. Those of the table that they do not reach become 0; others are
    skipped.
    """
    for word in range(RECORD_WORDS):
        known = min(PLAIN_BITS[kind, word], bits)
        if PLAIN_BITS[kind, word] > 0:
            at = PLAIN_AT[kind, word]
            row[word] &= (int64(1) << at) - 1
            if known > 0:
                row[word] |= take_int(words, position, known) << at
        position += known
        bits -= known
    return position + bits
