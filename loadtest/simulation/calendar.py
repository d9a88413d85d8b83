"""What will happen when: a binary heap of (time, number) pairs, so that compiled code always knows what comes next.

Each live server that starts or plays has one entry, so the heap is as large as the fleet. Entries of one instant come out in
the order of their numbers: the order in which they were put in does not matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Calendar(NamedTuple):
    """The heap; the smallest pair is at 0, the children of ``i`` at ``2 i + 1`` and ``2 i + 2``.

    Attributes:
        at_s: float64[C], seconds of virtual time.
        what: int64[C], the meaning is the caller's.
        size: int64[1], entries in use.
    """

    at_s: NDArray[np.float64]
    what: NDArray[np.int64]
    size: NDArray[np.int64]


def empty_calendar(capacity: int) -> Calendar:
    """A calendar without entries, for at most ``capacity`` of them."""
    return Calendar(np.zeros(capacity), np.zeros(capacity, np.int64), np.zeros(1, np.int64))


@njit(cache=True, nogil=True)
def add_entry(calendar: Calendar, at_s: float, what: int) -> None:
    """Put an entry in. The caller has seen to the capacity."""
    place = calendar.size[0]
    calendar.size[0] += 1
    while place > 0:
        above = (place - 1) // 2
        if not _before(at_s, what, calendar, above):
            break
        calendar.at_s[place] = calendar.at_s[above]
        calendar.what[place] = calendar.what[above]
        place = above
    calendar.at_s[place] = at_s
    calendar.what[place] = what


@njit(cache=True, nogil=True)
def next_entry_s(calendar: Calendar) -> float:
    """When the next entry is due; inf without one."""
    return calendar.at_s[0] if calendar.size[0] else np.inf


@njit(cache=True, nogil=True)
def take_entry(calendar: Calendar) -> int:
    """Take the next entry out and return what it is. There must be one."""
    taken = calendar.what[0]
    last = calendar.size[0] - 1
    calendar.size[0] = last
    at_s, what = calendar.at_s[last], calendar.what[last]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= last:
            break
        if below + 1 < last and _before(calendar.at_s[below + 1], calendar.what[below + 1], calendar, below):
            below += 1
        if _before(at_s, what, calendar, below):
            break
        calendar.at_s[place] = calendar.at_s[below]
        calendar.what[place] = calendar.what[below]
        place = below
    if last:
        calendar.at_s[place] = at_s
        calendar.what[place] = what
    return int(taken)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _before(at_s: float, what: int, calendar: Calendar, place: int) -> Any:
    """Whether a pair comes before the one at ``place``."""
    other_s = calendar.at_s[place]
    return at_s < other_s or (at_s == other_s and what < calendar.what[place])
