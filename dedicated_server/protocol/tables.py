"""What a message is made of: a table of fields, from which its writer, its reader and its document are made.

A field goes over the wire as an unsigned number of its bits, its value minus the least that it can have. A
value beyond either end is written as that end. A table's fields lie behind each other in its order.

Tables grow at their end. An end says in the handshake how long its tables are (`layout`), so that the other
skips what it does not know, and reads as zero bits what the writer does not know yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from dedicated_server.native.compilation import INLINE, INNER, Longs, Words, int64, njit
from dedicated_server.protocol.bits import append, take_int


class Field(NamedTuple):
    """One field of a table.

    Attributes:
        name: of the field.
        bits: 1 to 63.
        meaning: what one unit of it means, and special values.
        least: the value that zero bits stand for.
    """

    name: str
    bits: int
    meaning: str
    least: int = 0


Table = tuple[Field, ...]


def widths(table: Sequence[Field]) -> tuple[int, ...]:
    """Bits of each field of a table."""
    return tuple(field.bits for field in table)


def leasts(table: Sequence[Field]) -> tuple[int, ...]:
    """The least value of each field of a table."""
    return tuple(field.least for field in table)


def positions(table: Sequence[Field]) -> tuple[int, ...]:
    """Bit at which each field of a table begins, counted from the table's beginning."""
    return (0, *accumulate(widths(table)))[:-1]


def length_of(table: Sequence[Field]) -> int:
    """Bits of a whole table."""
    return sum(widths(table))


def columns(table: Sequence[Field], names: str) -> tuple[int, ...]:
    """The places in a table of fields by their names, which are parted by blanks."""
    places = {field.name: place for place, field in enumerate(table)}
    return tuple(places[name] for name in names.split())


@njit(cache=True, nogil=True, **INLINE)
def write_fields(words: Words, position: int, values: Any, bits: Any, least: Any) -> int:
    """Append one value a field; return the bit position behind them.

    ``bits`` and ``least``: of each field, tuples or int64 arrays. ``values``: likewise, of the first fields;
    the others are zero bits.
    """
    for place in range(len(bits)):
        width = int64(bits[place])
        most = (int64(1) << width) - int64(1)
        value = int64(0)
        if place < len(values):
            value = max(int64(0), min(int64(values[place]) - int64(least[place]), most))
        position = append(words, position, value, width)
    return position


@njit(cache=True, nogil=True, **INLINE)
def read_fields(
    words: Words, position: int, end: int, length: int, bits: Any, least: Any, values: Longs
) -> int:
    """Read a table that its writer makes ``length`` bits long into ``values`` (int64[fields]).

    Return the bit position behind it. Where the stream ends before, at bit ``end``, or has ended already,
    that is a position beyond ``end``, and ``values`` stay as they are.
    """
    if position + length > end:
        return end + 1
    at = int64(0)
    for place in range(len(bits)):
        width = int64(bits[place])
        value = int64(0)
        if at + width <= length:
            value = take_int(words, position + at, width)
        values[place] = value + int64(least[place])
        at += width
    return position + length


@njit(cache=True, nogil=True, **INNER)
def read_number(words: Words, position: int, end: int, bits: int) -> int:
    """A number of ``bits`` (1…63) at a position; 0 where the stream ends before."""
    return take_int(words, position, bits) if position + bits <= end else int64(0)
