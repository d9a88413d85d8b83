"""The small reliable section: numbered messages in a ring a client, repeated until acknowledged."""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, STAGE, Row, Words, int64, njit
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.bits import append
from dedicated_server.protocol.fields import (
    MAX_RELIABLE_MESSAGES,
    RELIABLE_A_BITS,
    RELIABLE_B_BITS,
    RELIABLE_BITS,
    RELIABLE_COUNT_BITS,
    RELIABLE_HEAD_BITS,
    RELIABLE_KIND_BITS,
    RELIABLE_NUMBER_BITS,
    RELIABLE_NUMBER_MASK,
)
from dedicated_server.protocol.server.state import RELIABLE_RING, ServerState


@njit(cache=True, nogil=True, **STAGE)
def queue_reliable(state: ServerState, slot: int, kind: int, a: int, b: int) -> None:
    """Queue a message for one slot, or for all with slot −1. ``a`` and ``b`` are 0…2³²−1.

    A queue is full at 128 unacknowledged messages; what does not fit is counted as reliable_overflow and
    lost, rather than growing memory for a client that stopped listening.
    """
    first = 0 if slot < 0 else slot
    last = state.slots.shape[0] if slot < 0 else slot + 1
    for index in range(first, last):
        client = state.slots[index]
        if client.reliable_count >= RELIABLE_RING:
            state.counters[datagrams.RELIABLE_OVERFLOW] += 1
            continue
        row = client.reliable[(client.reliable_first + client.reliable_count) % RELIABLE_RING]
        row[0] = int64(kind) & ((1 << RELIABLE_KIND_BITS) - 1)
        row[1] = int64(a) & 0xFFFFFFFF
        row[2] = int64(b) & 0xFFFFFFFF
        client.reliable_count += 1


@njit(cache=True, nogil=True, **INNER)
def acknowledge_reliable(client: Row, number16: int) -> None:
    """Forget messages up to a number of which the client sent the low 16 bits; nonsense is ignored."""
    passed = (number16 - (client.reliable_first - 1 - client.reliable_base)) & RELIABLE_NUMBER_MASK
    if passed <= client.reliable_count:
        client.reliable_first += passed
        client.reliable_count -= passed


@njit(cache=True, nogil=True, **INNER)
def write_reliable(words: Words, position: int, client: Row, bits_left: int) -> int:
    """Append the oldest messages that fit: a flag, then count, number of the first, and the messages."""
    count = min(
        client.reliable_count, MAX_RELIABLE_MESSAGES, max(bits_left - RELIABLE_HEAD_BITS, 0) // RELIABLE_BITS
    )
    position = append(words, position, int64(count > 0), 1)
    if count > 0:
        number = (client.reliable_first - client.reliable_base) & RELIABLE_NUMBER_MASK
        position = append(words, position, count, RELIABLE_COUNT_BITS)
        position = append(words, position, number, RELIABLE_NUMBER_BITS)
        for message in range(count):
            row = client.reliable[(client.reliable_first + message) % RELIABLE_RING]
            position = append(words, position, row[0], RELIABLE_KIND_BITS)
            position = append(words, position, row[1], RELIABLE_A_BITS)
            position = append(words, position, row[2], RELIABLE_B_BITS)
    return position
