"""A binary heap of (time, number) pairs in a preallocated array, for compiled code.

The emulated links keep datagrams in flight in it, and the simulator its events. Pairs of one instant come out
in the order of their numbers. ``heapq`` would allocate a tuple for each pair, which a tick of a thousand bots
cannot afford.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INNER, njit

# The smallest pair is at 0, the children of ``i`` at ``2 i + 1`` and ``2 i + 2``.
HEAP_DTYPE = np.dtype([("due_s", np.float64), ("number", np.int64)])


@njit(cache=True, nogil=True, **INNER)
def heap_push(heap: npt.NDArray[np.void], size: int, due_s: float, number: int) -> None:
    """Insert a pair into a heap of ``size`` pairs that has room for one more: HEAP_DTYPE[capacity]."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        if not _before(due_s, number, heap[parent].due_s, heap[parent].number):
            break
        heap[place] = heap[parent]
        place = parent
    heap[place].due_s = due_s
    heap[place].number = number


@njit(cache=True, nogil=True, **INNER)
def heap_pop(heap: npt.NDArray[np.void], size: int) -> int:
    """Remove the first of ``size`` pairs, at least one, and return its number; ``size - 1`` pairs stay."""
    taken = heap[0].number
    last = size - 1
    due_s, number = heap[last].due_s, heap[last].number
    place = 0
    while True:
        child = 2 * place + 1
        if child >= last:
            break
        other = child + 1
        if other < last and _before(
            heap[other].due_s, heap[other].number, heap[child].due_s, heap[child].number
        ):
            child = other
        if _before(due_s, number, heap[child].due_s, heap[child].number):
            break
        heap[place] = heap[child]
        place = child
    if last > 0:
        heap[place].due_s = due_s
        heap[place].number = number
    return int(taken)


@njit(cache=True, nogil=True, **INNER)
def _before(due_s: float, number: int, other_due_s: float, other_number: int) -> bool:
    return due_s < other_due_s or (due_s == other_due_s and number < other_number)
