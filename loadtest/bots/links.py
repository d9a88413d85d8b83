"""Emulated network links, one direction at a time, in compiled queues: a bottleneck, bursts of loss, delay,
jitter.

A datagram that enters a link waits for its turn at the bottleneck, and is dropped where it would wait longer
than the buffer lasts. It is then lost with the probability of the link's present state, good or bad. Before
each datagram the state may change, which makes bursts of losses (Gilbert 1960, Elliott 1963). A datagram that
is not lost travels for ``delay + jitter · e``, where ``e`` is exponential with mean 1: what the queues on a
path add is never negative, and its mean equals its standard deviation. Some datagrams take a detour and
arrive ``detour`` later, and some arrive twice. Datagrams come out in the order of their arrival, so a large
jitter or a detour lets one overtake another, as on a real path.

Each link has its own random stream and draws exactly five numbers for each datagram: the n-th datagram of a
player meets the same chances in every run of the same seed, whatever the others send.

The datagrams in flight on all links of one direction are one heap (``loadtest.bots.heap``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import INNER, STAGE, njit
from loadtest.bots.heap import HEAP_DTYPE, heap_pop, heap_push
from loadtest.bots.rng import next_exponential, next_uniform

# Offsets into LinkQueue.counts.
IN_FLIGHT = 0
SENT = 1
LOST = 2
OVERFLOWED = 3  # the emulator's own queue was full: the generator's fault, not the network's
DELIVERED = 4
CONGESTED = 5  # the bottleneck's buffer was full; these count as lost as well
DUPLICATED = 6
COUNTS = 7

INLINE = {**STAGE, "forceinline": True}  # a stage, because tests call it, too

SLOT_BITS = 24  # of a pair's number in the heap: 16 million datagrams in flight
SLOT_MASK = (1 << SLOT_BITS) - 1

HEADER_BYTES = 28  # of IP and UDP, which pass the bottleneck as well

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
SLOT_DTYPE = np.dtype([("due_s", np.float64), ("link", np.int32), ("length", np.int32)])


class LinkQueue(NamedTuple):
    """One direction of n links and the datagrams in flight on them.

    Few arrays of records rather than one array a field: handing an array to a compiled call costs about 2 µs.

    Attributes:
        links: LINK_DTYPE[n]; shares are probabilities.
        states: LINK_STATE_DTYPE[n].
        streams: uint64[n], each link's random stream.
        heap: HEAP_DTYPE[capacity], by arrival time and then by order of entry: a pair's number is the count
            of datagrams so far, shifted by SLOT_BITS, and the slot.
        slots: SLOT_DTYPE[capacity]: when the datagram arrives, whose it is, and its bytes.
        payload: uint8[capacity, width], by slot.
        free: int32[capacity], slots; those from ``counts[IN_FLIGHT]`` on are free.
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
    """Make the queue of one direction of ``len(seeds)`` links, without delay or loss until ``links`` says
    otherwise.

    Args:
        seeds: uint64[n]; a link's seeds must differ between its two directions.
        capacity: datagrams that can be in flight at the same time, at most ``1 << SLOT_BITS``; the next ones
            are dropped and counted as OVERFLOWED.
        width: bytes of the longest datagram.
    """
    return LinkQueue(
        links=np.zeros(len(seeds), LINK_DTYPE),
        states=np.zeros(len(seeds), LINK_STATE_DTYPE),
        streams=seeds.astype(np.uint64),
        heap=np.zeros(capacity, HEAP_DTYPE),
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
    parameters, state = queue.links[link], queue.states[link]
    change = next_uniform(streams, link)
    loss_draw = next_uniform(streams, link)
    queueing = next_exponential(streams, link)
    route = next_uniform(streams, link)
    copies = next_uniform(streams, link)
    state.bad = change >= parameters.to_good if state.bad else change < parameters.to_bad
    passed_s = _pass_bottleneck(parameters, state, length, now_s)
    if passed_s < 0.0:
        counts[CONGESTED] += 1
        counts[LOST] += 1
        return False
    if parameters.cut or loss_draw < (parameters.loss_bad if state.bad else parameters.loss):
        counts[LOST] += 1
        return False
    due_s = passed_s + parameters.delay_s + parameters.jitter_s * queueing
    if route < parameters.detour:
        due_s += parameters.detour_s
    if not _enter(queue, link, datagram, length, due_s):
        return False
    if copies < parameters.duplicate and _enter(queue, link, datagram, length, due_s):
        counts[DUPLICATED] += 1
    return True


@njit(cache=True, nogil=True, **INNER)
def _pass_bottleneck(parameters: Any, state: Any, length: int, now_s: float) -> float:
    """When a datagram is through the bottleneck, or −1.0 where its buffer has no room left."""
    if parameters.bytes_s <= 0.0:
        return now_s
    begins_s = max(now_s, state.busy_until_s)
    if begins_s - now_s > parameters.buffer_s:
        return -1.0
    state.busy_until_s = begins_s + (length + HEADER_BYTES) / parameters.bytes_s
    return float(state.busy_until_s)


@njit(cache=True, nogil=True, **INNER)
def _enter(queue: LinkQueue, link: int, datagram: npt.NDArray[np.uint8], length: int, due_s: float) -> bool:
    """Put a datagram in flight."""
    counts = queue.counts
    position = counts[IN_FLIGHT]
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
    counts[IN_FLIGHT] = position + 1
    heap_push(queue.heap, position, due_s, counts[SENT] << SLOT_BITS | slot)
    return True


@njit(cache=True, nogil=True, **INLINE)
def link_pop(queue: LinkQueue, now_s: float) -> int:
    """Take out the earliest datagram that has arrived by ``now_s``; its slot, or −1 when there is none.

    What ``slots`` and ``payload`` hold there stays as they are until the next push to the same queue.
    """
    counts, heap = queue.counts, queue.heap
    if counts[IN_FLIGHT] == 0 or heap[0].due_s > now_s:
        return -1
    slot = heap_pop(heap, counts[IN_FLIGHT]) & SLOT_MASK
    counts[IN_FLIGHT] -= 1
    counts[DELIVERED] += 1
    queue.free[counts[IN_FLIGHT]] = slot
    return int(slot)
