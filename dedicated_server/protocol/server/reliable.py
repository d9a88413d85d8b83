"""The small reliable section: numbered messages in a ring a client, repeated until acknowledged."""

from __future__ import annotations

from typing import Any

from dedicated_server.native.compilation import INNER, STAGE, Longs, Row, Words, int64, njit
from dedicated_server.protocol import datagrams, reasons
from dedicated_server.protocol.bits import append
from dedicated_server.protocol.reliable_kinds import (
    KIND_BITS,
    KIND_FIELDS,
    KIND_LEASTS,
    KIND_WIDTHS,
    MAX_RELIABLE_MESSAGES,
    RELIABLE_HEAD_BITS,
    RELIABLE_HEAD_LEASTS,
    RELIABLE_HEAD_WIDTHS,
    RELIABLE_KIND,
    RELIABLE_KIND_BITS,
    RELIABLE_LENGTH_BITS,
    RELIABLE_MATCH_OVER,
    RELIABLE_NUMBER_MASK,
    RELIABLE_ROSTER,
    ROSTER_ENTITY,
    ROSTER_NAME_BYTES,
    ROSTER_PLAYER,
    ROSTER_TEAM,
)
from dedicated_server.protocol.server.state import RELIABLE_RING, ServerState
from dedicated_server.protocol.tables import write_fields


@njit(cache=True, nogil=True, **STAGE)
def queue_reliable(state: ServerState, slot: int, kind: int, values: Any) -> None:
    """Queue a message for one slot; or, with slot −1, for all that are connected now.

    ``values``: of the kind's fields, a tuple of int64. A slot that nobody is connected to hears nothing of
    what happens to everybody; what is its own player's waits for them. A player who has not come yet gets
    nothing but how the match ended for them: all else is of whoever had the slot before.

    A queue is full at 128 unacknowledged messages. A client that lets it fill is disconnected, for a message
    that is lost and not told would leave it with another match than the server's. What waits for a player who
    is away is forgotten then. reliable_overflow counts what was lost.
    """
    first = 0 if slot < 0 else slot
    last = state.slots.shape[0] if slot < 0 else slot + 1
    for index in range(first, last):
        if slot < 0 and state.status[index] != datagrams.CONNECTED:
            continue
        if state.status[index] == datagrams.VACANT and kind != RELIABLE_MATCH_OVER:
            continue
        client = state.slots[index]
        if client.reliable_count >= RELIABLE_RING and state.status[index] == datagrams.CONNECTED:
            state.counters[datagrams.RELIABLE_OVERFLOW] += 1
            if client.dismissal == 0:
                client.dismissal = reasons.TOO_SLOW
            continue
        if client.reliable_count >= RELIABLE_RING:  # they are away: what comes last matters most
            state.counters[datagrams.RELIABLE_OVERFLOW] += client.reliable_count
            client.reliable_first += client.reliable_count
            client.reliable_count = 0
        append_reliable(client, kind, values)


@njit(cache=True, nogil=True, **INNER)
def append_reliable(client: Row, kind: int, values: Any) -> None:
    """Put a message into a client's ring, which has room for it; ``values`` of the kind's first fields."""
    row = client.reliable[(client.reliable_first + client.reliable_count) % RELIABLE_RING]
    row[:] = 0
    row[RELIABLE_KIND] = kind
    for place in range(len(values)):
        row[1 + place] = values[place]
    client.reliable_count += 1


@njit(cache=True, nogil=True, **INNER)
def acknowledge_reliable(client: Row, number16: int) -> None:
    """Forget messages up to a number of which the client sent the low 16 bits; nonsense is ignored."""
    passed = (number16 - (client.reliable_first - 1 - client.reliable_base)) & RELIABLE_NUMBER_MASK
    if passed <= client.reliable_count:
        client.reliable_first += passed
        client.reliable_count -= passed


@njit(cache=True, nogil=True, **INNER)
def write_reliable(state: ServerState, words: Words, position: int, client: Row, bits_left: int) -> int:
    """Append the oldest messages that fit: a flag, then count, number of the first, and the messages."""
    count = int64(0)
    bits_left -= RELIABLE_HEAD_BITS
    while count < min(client.reliable_count, MAX_RELIABLE_MESSAGES):
        row = client.reliable[(client.reliable_first + count) % RELIABLE_RING]
        bits_left -= RELIABLE_KIND_BITS + RELIABLE_LENGTH_BITS + _length(state, row)
        if bits_left < 0:
            break
        count += 1
    position = append(words, position, int64(count > 0), 1)
    if count > 0:
        number = (client.reliable_first - client.reliable_base) & RELIABLE_NUMBER_MASK
        position = write_fields(
            words, position, (count, int64(number)), RELIABLE_HEAD_WIDTHS, RELIABLE_HEAD_LEASTS
        )
        for message in range(count):
            row = client.reliable[(client.reliable_first + message) % RELIABLE_RING]
            position = _write_message(state, words, position, row)
    return position


@njit(cache=True, nogil=True, **INNER)
def _length(state: ServerState, row: Longs) -> int:
    """Bits of a message behind its kind and length."""
    bits = int64(KIND_BITS[row[RELIABLE_KIND]])
    if row[RELIABLE_KIND] == RELIABLE_ROSTER:
        bits += 8 * state.roster[row[ROSTER_ENTITY]].name_bytes
    return bits


@njit(cache=True, nogil=True, **INNER)
def _write_message(state: ServerState, words: Words, position: int, row: Longs) -> int:
    kind = row[RELIABLE_KIND]
    entity = int64(0)
    if kind == RELIABLE_ROSTER:
        entity = row[ROSTER_ENTITY]
        row[ROSTER_TEAM] = state.roster[entity].team
        row[ROSTER_PLAYER] = state.slots[entity].player_id
        row[ROSTER_NAME_BYTES] = state.roster[entity].name_bytes
    fields = KIND_FIELDS[kind]
    position = append(words, position, kind, RELIABLE_KIND_BITS)
    position = append(words, position, _length(state, row), RELIABLE_LENGTH_BITS)
    position = write_fields(
        words, position, row[1 : 1 + fields], KIND_WIDTHS[kind, :fields], KIND_LEASTS[kind, :fields]
    )
    if kind == RELIABLE_ROSTER:
        name = state.roster[entity].name
        for byte in range(row[ROSTER_NAME_BYTES]):
            position = append(words, position, int64(name[byte]), 8)
    return position
