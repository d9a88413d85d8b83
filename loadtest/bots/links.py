"""Every player's line to the server, one direction at a time, in compiled queues: a bottleneck, bursts of loss, delay, jitter.

A datagram that enters a link waits for its turn at the bottleneck, and is dropped there where it would wait longer than the buffer
lasts. It is then lost with the probability of the state that the link is in, good or bad: two states, and before each datagram a chance to
change, make bursts of losses (Gilbert 1960, Elliott 1963). What is left travels for ``delay + jitter · e``, where ``e`` is exponential
with mean 1: what the queues on a path add is never negative, and its mean equals its standard deviation. Some datagrams take a way
round, which takes ``detour`` longer, and some arrive twice. They come out in the order in which they arrive at the far end, so a
large jitter or a detour lets one overtake another, as it does on a real path.

Each link has its own random stream and takes exactly five numbers of it for each datagram: the n-th datagram of a player meets
the same chances in every run of the same seed, whatever the others send.

The datagrams under way of all links of one direction are one binary heap over preallocated arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INNER, STAGE, njit
from loadtest.bots.rng import next_exponential, next_uniform

# Offsets into LinkQueue.counts.
UNDER_WAY = 0
SENT = 1
LOST = 2
OVERFLOWED = 3  # the queue itself was full: a fault of the generator, not of the network
DELIVERED = 4
CONGESTED = 5  # the bottleneck's buffer was full; these count as lost as well
DUPLICATED = 6
COUNTS = 7

INLINE = {**STAGE, "forceinline": True}  # from tests, too

HEADER_BYTES = 28  # IP's and UDP's, which pass the bottleneck too

LINK_DTYPE = np.dtype(
    [
        ("delay_s", np.float64),
        ("jitter_s", np.float64),
        ("loss", np.float64),  # in the good state
        ("loss_bad", np.float64),
        ("to_bad", np.float64),  # before each datagram
        ("to_good", np.float64),
        ("duplicate", np.float64),
        ("detour", np.float64),  # share of datagrams that take it
        ("detour_s", np.float64),
        ("bytes_s", np.float64),  # of the bottleneck; 0: there is none
        ("buffer_s", np.float64),
        ("cut", np.bool_),  # nothing passes
    ],
    align=True,
)
LINK_STATE_DTYPE = np.dtype([("bad", np.bool_), ("busy_until_s", np.float64)], align=True)
UNDER_WAY_DTYPE = np.dtype([("due_s", np.float64), ("sequence", np.int64), ("slot", np.int32)])
SLOT_DTYPE = np.dtype([("due_s", np.float64), ("link", np.int32), ("length", np.int32)])


class LinkQueue(NamedTuple):
    """One direction of n links and the datagrams under way on them.

    Few arrays of records rather than one array a field: handing an array to a compiled call costs about 2 µs.

    Attributes:
        links: LINK_DTYPE[n]; shares are probabilities.
        states: LINK_STATE_DTYPE[n].
        streams: uint64[n], each link's random stream.
        heap: UNDER_WAY_DTYPE[capacity], by arrival time and then by order of entry.
        slots: SLOT_DTYPE[capacity]: when the datagram arrives, whose it is, and its bytes.
        payload: uint8[capacity, width], by slot.
        free: int32[capacity], slots; those from ``counts[UNDER_WAY]`` on are free.
        counts: int64[COUNTS].
    """

    links: npt.NDArray[np.void]
    states: npt.NDArray[np.void]
    streams: npt.NDArray[np.uint64]
    heap: npt.NDArray[np.void]
    slots: npt.NDArray[np.void]
    payload: npt.NDArray[np.uint8]
    free: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]


def link_queue(seeds: npt.NDArray[np.uint64], capacity: int, width: int) -> LinkQueue:
    """Make the queue of one direction of ``len(seeds)`` links, without delay or loss until ``links`` says otherwise.

    Args:
        seeds: uint64[n]; a link's seeds must differ between its two directions.
        capacity: datagrams that can be under way at once; the next ones are dropped and counted as OVERFLOWED.
        width: bytes of the longest datagram.
    """
    return LinkQueue(
        links=np.zeros(len(seeds), LINK_DTYPE),
        states=np.zeros(len(seeds), LINK_STATE_DTYPE),
        streams=seeds.astype(np.uint64),
        heap=np.zeros(capacity, UNDER_WAY_DTYPE),
        slots=np.zeros(capacity, SLOT_DTYPE),
        payload=np.zeros((capacity, width), np.uint8),
        free=np.arange(capacity, dtype=np.int32),
        counts=np.zeros(COUNTS, np.int64),
    )


@njit(cache=True, nogil=True, **INLINE)
def link_push(
    queue: LinkQueue, link: int, datagram: npt.NDArray[np.uint8], length: int, now_s: float
) -> bool:
    """Let a datagram enter a link at ``now_s``. Returns False when it was lost."""
    counts, streams = queue.counts, queue.streams
    counts[SENT] += 1
    line, state = queue.links[link], queue.states[link]
    change = next_uniform(streams, link)
    lottery = next_uniform(streams, link)
    queueing = next_exponential(streams, link)
    route = next_uniform(streams, link)
    copies = next_uniform(streams, link)
    state.bad = change >= line.to_good if state.bad else change < line.to_bad
    passed_s = _pass_bottleneck(line, state, length, now_s)
    if passed_s < 0.0:
        counts[CONGESTED] += 1
        counts[LOST] += 1
        return False
    if line.cut or lottery < (line.loss_bad if state.bad else line.loss):
        counts[LOST] += 1
        return False
    due_s = passed_s + line.delay_s + line.jitter_s * queueing
    if route < line.detour:
        due_s += line.detour_s
    if not _enter(queue, link, datagram, length, due_s):
        return False
    if copies < line.duplicate and _enter(queue, link, datagram, length, due_s):
        counts[DUPLICATED] += 1
    return True


@njit(cache=True, nogil=True, **INNER)
def _pass_bottleneck(line: Any, state: Any, length: int, now_s: float) -> float:
    """When a datagram is through the bottleneck, or −1.0 where its buffer has no room left."""
    if line.bytes_s <= 0.0:
        return now_s
    begins_s = max(now_s, state.busy_until_s)
    if begins_s - now_s > line.buffer_s:
        return -1.0
    state.busy_until_s = begins_s + (length + HEADER_BYTES) / line.bytes_s
    return float(state.busy_until_s)


@njit(cache=True, nogil=True, **INNER)
def _enter(queue: LinkQueue, link: int, datagram: npt.NDArray[np.uint8], length: int, due_s: float) -> bool:
    """Put a datagram under way."""
    counts = queue.counts
    position = counts[UNDER_WAY]
    if position == len(queue.heap):
        counts[OVERFLOWED] += 1
        return False
    slot = queue.free[position]
    queue.slots[slot].due_s = due_s
    queue.slots[slot].link = link
    queue.slots[slot].length = length
    payload = queue.payload[slot]
    for at in range(length):  # a slice of the one set to a slice of the other would allocate
        payload[at] = datagram[at]
    counts[UNDER_WAY] = position + 1
    _sift_up(queue.heap, position, due_s, counts[SENT], slot)
    return True


@njit(cache=True, nogil=True, **INLINE)
def link_pop(queue: LinkQueue, now_s: float) -> int:
    """Take out the earliest datagram that has arrived by ``now_s``; its slot, or −1 when there is none.

    What ``slots`` and ``payload`` hold there stays as they are until the next push to the same queue.
    """
    counts, heap = queue.counts, queue.heap
    if counts[UNDER_WAY] == 0 or heap[0].due_s > now_s:
        return -1
    slot = heap[0].slot
    last = counts[UNDER_WAY] - 1
    counts[UNDER_WAY] = last
    counts[DELIVERED] += 1
    queue.free[last] = slot
    if last > 0:
        _sift_down(heap, last, heap[last].due_s, heap[last].sequence, heap[last].slot)
    return int(slot)


@njit(cache=True, nogil=True, **INNER)
def _before(due_s: float, sequence: int, other_due_s: float, other_sequence: int) -> bool:
    return due_s < other_due_s or (due_s == other_due_s and sequence < other_sequence)


@njit(cache=True, nogil=True, **INNER)
def _sift_up(heap: npt.NDArray[np.void], position: int, due_s: float, sequence: int, slot: int) -> None:
    """Insert an entry at ``position``, the heap's end, and let it rise."""
    while position > 0:
        parent = (position - 1) >> 1
        if not _before(due_s, sequence, heap[parent].due_s, heap[parent].sequence):
            break
        heap[position] = heap[parent]
        position = parent
    heap[position].due_s = due_s
    heap[position].sequence = sequence
    heap[position].slot = slot


@njit(cache=True, nogil=True, **INNER)
def _sift_down(heap: npt.NDArray[np.void], size: int, due_s: float, sequence: int, slot: int) -> None:
    """Put an entry in place of the root of a heap of ``size`` entries and let it sink."""
    position = 0
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _before(
            heap[other].due_s, heap[other].sequence, heap[child].due_s, heap[child].sequence
        ):
            child = other
        if _before(due_s, sequence, heap[child].due_s, heap[child].sequence):
            break
        heap[position] = heap[child]
        position = child
    heap[position].due_s = due_s
    heap[position].sequence = sequence
    heap[position].slot = slot
