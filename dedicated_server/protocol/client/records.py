"""What a client reads of a snapshot's entities: those that left its view, and the records of those in it."""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, Words, int64, njit
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.bits import take, take_int
from dedicated_server.protocol.client.state import ClientState
from dedicated_server.protocol.delta import read_difference, read_whole
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import (
    AGE_BITS,
    HISTORY_TICKS,
    INDEX_BITS,
    LEAVE_COUNT_BITS,
    RECORD_COUNT_BITS,
)

_AGE_MASK = HISTORY_TICKS - 1


@njit(cache=True, nogil=True, **INNER)
def read_leaves(state: ClientState, index: int, words: Words, position: int) -> int:
    """Take the entities that left out of view; return the position behind them, or −1: no such entity."""
    has_leaves = take_int(words, position, 1)
    position += 1
    if has_leaves == 0:
        return position
    count = take_int(words, position, LEAVE_COUNT_BITS)
    position += LEAVE_COUNT_BITS
    for _ in range(count):
        entity = take_int(words, position, INDEX_BITS)
        position += INDEX_BITS
        if entity >= state.seen.shape[1]:
            return -1
        state.seen_tick[index, entity] = 0
    return position


@njit(cache=True, nogil=True, **INNER)
def read_records(
    state: ClientState,
    index: int,
    words: Words,
    position: int,
    bits: int,
    tick: int,
    base_age: int,
    gap_bits: int,
) -> tuple[int, int]:
    """Decode all records; return the position behind them, and the reason to drop the rest, or −1."""
    count = take_int(words, position, RECORD_COUNT_BITS)
    position += RECORD_COUNT_BITS
    entity = int64(-1)
    history, layout = state.history[index], state.sessions[index].entity_layout
    for _ in range(count):
        if position >= bits:
            return position, datagrams.CLIENT_DROP_MALFORMED
        ones = int64(0)
        while position < bits and take_int(words, position, 1) == 1:
            ones += 1
            position += 1
        position += 1
        low = int64(0)
        if gap_bits > 0:
            low = take_int(words, position, gap_bits)
            position += gap_bits
        entity += 1 + ((ones << gap_bits) | low)
        if entity >= state.seen.shape[1]:
            return position, datagrams.CLIENT_DROP_MALFORMED
        age = base_age
        own = take_int(words, position, 1)
        position += 1
        if own == 1:
            age = take_int(words, position, AGE_BITS)
            position += AGE_BITS
        if position >= bits:
            return position, datagrams.CLIENT_DROP_MALFORMED
        row = history[tick & _AGE_MASK, entity]
        if age == 0:
            position = read_whole(words, position, row, layout)
        else:
            place = (tick - age) & _AGE_MASK
            if state.history_ticks[index, place] != tick - age:
                return position, datagrams.CLIENT_DROP_BASELINE
            position = read_difference(words, position, row, history[place, entity], age, layout)
        for word in range(RECORD_WORDS):
            state.seen[index, entity, word] = row[word]
        state.seen_tick[index, entity] = tick
    if (
        position > bits
        or bits - position > 7
        or (bits > position and take(words, position, bits - position) != 0)
    ):
        return position, datagrams.CLIENT_DROP_MALFORMED
    return position, -1
