"""The timing wheel of a view: who is in it, by the tick in which a snapshot last carried them.

A wheel has a bucket for each of the last ``WHEEL_TICKS`` ticks, at tick % WHEEL_TICKS; who has waited longer
is in the oldest of them. A bucket is a set of entities: entity e is bit e % GROUP of word e / GROUP. Sending
moves an entity from its bucket into that of the tick, a word of entities at a time. Waiting costs nothing,
and the oldest bucket first is the order of staleness. Which buckets hold anybody is one word, ``filled``; a
bit of it may be left over from entities that have gone.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from dedicated_server.native.compilation import INLINE, Ints, Words, int64, njit
from dedicated_server.protocol.bits import trailing_zeros

WHEEL_TICKS: Final = 64
GROUP: Final = 64
OLDEST: Final = WHEEL_TICKS - 1  # ticks waited, of who has waited so long or longer

_NOBODY = np.uint64(0)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_63 = np.uint64(63)


@njit(cache=True, nogil=True, **INLINE)
def put_in(buckets: Words, filled: np.uint64, tick: int, entities: Words) -> np.uint64:
    """Put a set of entities, who are in no bucket, into that of ``tick``; returns ``filled`` as it is then.

    ``buckets``: uint64[WHEEL_TICKS, G], here and below; ``entities``: uint64[G].
    """
    bucket = buckets[tick & OLDEST]
    for group in range(len(bucket)):
        bucket[group] |= entities[group]
    return filled | (_ONE << np.uint64(tick & OLDEST))


@njit(cache=True, nogil=True, **INLINE)
def take_out(buckets: Words, filled: np.uint64, entities: Words) -> np.uint64:
    """Take a set of entities out of whichever buckets they are in; returns ``filled`` as it is then."""
    rest = filled
    while rest != _NOBODY:
        place = trailing_zeros(rest)
        rest &= rest - _ONE
        left = _NOBODY
        for group in range(len(entities)):
            word = buckets[place, group] & ~entities[group]
            buckets[place, group] = word
            left |= word
        if left == _NOBODY:
            filled &= ~(_ONE << np.uint64(place))
    return filled


@njit(cache=True, nogil=True, **INLINE)
def turn(buckets: Words, filled: np.uint64, last_tick: int, tick: int) -> np.uint64:
    """Turn a wheel that stood at ``last_tick`` to ``tick``; returns ``filled`` as it is then.

    Who was in a bucket that is to be that of a newer tick goes into the oldest.
    """
    steps = min(tick - last_tick, WHEEL_TICKS)
    if steps <= 0 or filled == _NOBODY:
        return filled
    first = np.uint64((tick - steps + 1) & OLDEST)
    span = _ALL >> np.uint64(WHEEL_TICKS - steps)
    passed = filled & ((span << first) | ((span >> _ONE) >> (_63 - first)))
    oldest = (tick - OLDEST) & OLDEST
    while passed != _NOBODY:
        place = trailing_zeros(passed)
        passed &= passed - _ONE
        if place != oldest:
            for group in range(buckets.shape[1]):
                buckets[oldest, group] |= buckets[place, group]
                buckets[place, group] = _NOBODY
            filled &= ~(_ONE << np.uint64(place))
            filled |= _ONE << np.uint64(oldest)
    return filled


@njit(cache=True, nogil=True, **INLINE)
def clear(buckets: Words, filled: np.uint64) -> None:
    """Empty the buckets in ``filled``."""
    while filled != _NOBODY:
        buckets[trailing_zeros(filled)] = _NOBODY
        filled &= filled - _ONE


@njit(cache=True, nogil=True, **INLINE)
def by_waiting(filled: np.uint64, tick: int) -> np.uint64:
    """``filled`` in the order of waiting: bit OLDEST − w is the bucket of who has waited w ticks."""
    oldest = np.uint64((tick - OLDEST) & OLDEST)
    return (filled >> oldest) | ((filled << _ONE) << (_63 - oldest))


@njit(cache=True, nogil=True, **INLINE)
def list_members(members: np.uint64, group: int, row: Ints, count: int, limit: int) -> int:
    """Write the members of one word of a set into ``row`` (int32) from place ``count`` up to ``limit``.

    Returns how many are in the row then.
    """
    first = GROUP * group
    while members != _NOBODY and count < limit:
        row[count] = first + trailing_zeros(members)
        count += 1
        members &= members - _ONE
    return count


@njit(cache=True, nogil=True, **INLINE)
def set_of(row: Ints, entities: Words) -> None:
    """Make ``entities`` (uint64[G]) the set of those in ``row`` (int32).

    A word is gathered in a register while the list stays within it, as lists that were made from sets do.
    """
    entities[:] = _NOBODY
    at, members = int64(0), _NOBODY
    for place in range(len(row)):
        entity = int64(row[place])
        if entity >> 6 != at:
            entities[at] |= members
            at, members = entity >> 6, _NOBODY
        members |= _ONE << np.uint64(entity & 63)
    entities[at] |= members
