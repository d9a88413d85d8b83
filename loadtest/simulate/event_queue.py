"""The event queue of a simulation: what happens when, in a heap of (time, number) pairs.

Each starting or allocated server has one entry, so the heap is as large as the fleet. Events of one instant
come out in the order of their numbers, so the order of pushing does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.bots.heap import HEAP_DTYPE, heap_pop, heap_push


class EventQueue(NamedTuple):
    """The queue.

    Attributes:
        heap: HEAP_DTYPE[capacity]: seconds of virtual time, and a number whose meaning is the caller's.
        size: int64[1], entries in use.
    """

    heap: NDArray[np.void]
    size: NDArray[np.int64]


def empty_event_queue(capacity: int) -> EventQueue:
    """Return a queue without events that has room for ``capacity`` of them."""
    return EventQueue(np.zeros(capacity, HEAP_DTYPE), np.zeros(1, np.int64))


@njit(cache=True, nogil=True)
def push_event(queue: EventQueue, at_s: float, event: int) -> None:
    """Push an event that is due at ``at_s``. The caller has seen to the capacity."""
    heap_push(queue.heap, queue.size[0], at_s, event)
    queue.size[0] += 1


@njit(cache=True, nogil=True)
def next_event_s(queue: EventQueue) -> float:
    """Return when the next event is due; inf where there is none."""
    return queue.heap[0].due_s if queue.size[0] else np.inf


@njit(cache=True, nogil=True)
def next_event(queue: EventQueue) -> int:
    """Return the number of the next event. There must be one."""
    return int(queue.heap[0].number)


@njit(cache=True, nogil=True)
def pop_event(queue: EventQueue) -> int:
    """Remove the next event and return its number. There must be one."""
    event = heap_pop(queue.heap, queue.size[0])
    queue.size[0] -= 1
    return int(event)
