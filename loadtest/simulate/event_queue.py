"""The event queue: a binary heap of (time, number) pairs in arrays, for compiled code.

Each starting or allocated server has one entry, so the heap is as large as the fleet. Events of one instant
come out in the order of their numbers, so the order of pushing does not matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class EventQueue(NamedTuple):
    """The heap; the smallest pair is at 0, the children of ``i`` at ``2 i + 1`` and ``2 i + 2``.

    Attributes:
        at_s: float64[C], seconds of virtual time.
        event: int64[C], a number whose meaning is the caller's.
        size: int64[1], entries in use.
    """

    at_s: NDArray[np.float64]
    event: NDArray[np.int64]
    size: NDArray[np.int64]


def empty_event_queue(capacity: int) -> EventQueue:
    """Return a queue without events that has room for ``capacity`` of them."""
    return EventQueue(np.zeros(capacity), np.zeros(capacity, np.int64), np.zeros(1, np.int64))


@njit(cache=True, nogil=True)
def push_event(queue: EventQueue, at_s: float, event: int) -> None:
    """Push an event that is due at ``at_s``. The caller has seen to the capacity."""
    place = queue.size[0]
    queue.size[0] += 1
    while place > 0:
        above = (place - 1) // 2
        if not _before(at_s, event, queue, above):
            break
        queue.at_s[place] = queue.at_s[above]
        queue.event[place] = queue.event[above]
        place = above
    queue.at_s[place] = at_s
    queue.event[place] = event


@njit(cache=True, nogil=True)
def next_event_s(queue: EventQueue) -> float:
    """Return when the next event is due; inf where there is none."""
    return queue.at_s[0] if queue.size[0] else np.inf


@njit(cache=True, nogil=True)
def pop_event(queue: EventQueue) -> int:
    """Remove the next event and return its number. There must be one."""
    taken = queue.event[0]
    last = queue.size[0] - 1
    queue.size[0] = last
    at_s, event = queue.at_s[last], queue.event[last]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= last:
            break
        if below + 1 < last and _before(queue.at_s[below + 1], queue.event[below + 1], queue, below):
            below += 1
        if _before(at_s, event, queue, below):
            break
        queue.at_s[place] = queue.at_s[below]
        queue.event[place] = queue.event[below]
        place = below
    if last:
        queue.at_s[place] = at_s
        queue.event[place] = event
    return int(taken)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _before(at_s: float, event: int, queue: EventQueue, place: int) -> Any:
    """Return whether a pair comes before the pair at ``place``."""
    other_s = queue.at_s[place]
    return at_s < other_s or (at_s == other_s and event < queue.event[place])
