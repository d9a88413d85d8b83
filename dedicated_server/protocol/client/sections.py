"""What a snapshot has before its records: reliable messages, the state of the match, vitals, hints.

Each reader returns the bit position behind its section; where the stream ends before, at bit ``bits``, that
is a position beyond it.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INLINE, INNER, Row, Words, int64, njit
from dedicated_server.protocol import layout
from dedicated_server.protocol.bits import nearest, take_int
from dedicated_server.protocol.client.state import EVENT_RING, UNKNOWN, ClientState
from dedicated_server.protocol.entities import entity_health, load_record
from dedicated_server.protocol.fields import (
    CLIENT_TICK_BITS,
    HEALTH_NOT_SHOWN,
    HINT_LEASTS,
    HINT_WIDTHS,
    MATCH_LEASTS,
    MATCH_WIDTHS,
    MAX_OBJECTIVES,
    MAX_SCORES,
    OBJECTIVE_COLUMNS,
    OBJECTIVE_LEASTS,
    OBJECTIVE_WIDTHS,
    SCORE_LEASTS,
    SCORE_WIDTHS,
    VITALS_CONNECTED,
    VITALS_COUNT_BITS,
    VITALS_ENTITY,
    VITALS_HEALTH,
    VITALS_LEASTS,
    VITALS_WIDTHS,
)
from dedicated_server.protocol.reliable_kinds import (
    HEARD_NUMBER,
    HEARD_TAKEN,
    HIT_INPUT_TICK,
    KIND_FIELDS,
    KIND_LEASTS,
    KIND_WIDTHS,
    MAX_NAME_BYTES,
    RELIABLE_COLUMNS,
    RELIABLE_COUNT,
    RELIABLE_FIRST,
    RELIABLE_HEAD_LEASTS,
    RELIABLE_HEAD_WIDTHS,
    RELIABLE_HEARD,
    RELIABLE_HIT,
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
from dedicated_server.protocol.tables import read_fields, read_number


@njit(cache=True, nogil=True, **INNER)
def read_reliable(
    state: ClientState, session: Row, index: int, words: Words, position: int, bits: int
) -> int:
    """Deliver the new messages in order, each once."""
    has_messages = read_number(words, position, bits, 1)
    position += 1
    if has_messages == 0:
        return position
    row = state.row
    length = session.lengths[layout.LENGTH_RELIABLE_HEAD]
    position = read_fields(words, position, bits, length, RELIABLE_HEAD_WIDTHS, RELIABLE_HEAD_LEASTS, row)
    if position > bits:
        return position
    count, first = row[RELIABLE_COUNT], row[RELIABLE_FIRST]
    for message in range(count):
        kind = read_number(words, position, bits, RELIABLE_KIND_BITS)
        length = read_number(words, position + RELIABLE_KIND_BITS, bits, RELIABLE_LENGTH_BITS)
        position += RELIABLE_KIND_BITS + RELIABLE_LENGTH_BITS
        if position + length > bits:
            return bits + 1
        ahead = (first + message - session.reliable_received) & RELIABLE_NUMBER_MASK
        if ahead == 1:
            session.reliable_received += 1
            _deliver(state, session, index, words, position, kind, length)
        position += length
    return position


@njit(cache=True, nogil=True, **INNER)
def _deliver(
    state: ClientState, session: Row, index: int, words: Words, position: int, kind: int, length: int
) -> None:
    """Take in one message, which is complete. A kind that is not known is passed over."""
    fields = KIND_FIELDS[kind]
    if fields == 0:
        return
    row = state.row
    row[:RELIABLE_COLUMNS] = 0
    row[RELIABLE_KIND] = kind
    end = position + length
    read_fields(words, position, end, length, KIND_WIDTHS[kind, :fields], KIND_LEASTS[kind, :fields], row[1:])
    if kind == RELIABLE_ROSTER:
        _take_slot(state, index, words, end, length)
        return
    if kind == RELIABLE_HEARD:
        if session.said_waiting != 0 and row[HEARD_NUMBER] == session.said_number:
            session.said_waiting = 0
            session.said_refused += int64(row[HEARD_TAKEN] == 0)
        return
    if kind == RELIABLE_HIT:
        row[HIT_INPUT_TICK] = nearest(session.input_tick, row[HIT_INPUT_TICK], CLIENT_TICK_BITS)
    if kind == RELIABLE_MATCH_OVER:
        session.match_over = 1
    event = state.events[index, session.events_count % EVENT_RING]
    for column in range(RELIABLE_COLUMNS):
        event[column] = row[column]
    session.events_count += 1


@njit(cache=True, nogil=True, **INNER)
def _take_slot(state: ClientState, index: int, words: Words, end: int, length: int) -> None:
    """Note who has a slot; the name is the last bytes before ``end``."""
    entity = state.row[ROSTER_ENTITY]
    if entity >= state.roster_team.shape[1]:
        return
    if state.roster_player[index, entity] != state.row[ROSTER_PLAYER]:
        state.vitals[index, entity] = UNKNOWN
    state.roster_team[index, entity] = state.row[ROSTER_TEAM]
    state.roster_player[index, entity] = state.row[ROSTER_PLAYER]
    if entity < state.roster_name.shape[1]:
        name = state.roster_name[index, entity]
        name_bytes = min(state.row[ROSTER_NAME_BYTES], MAX_NAME_BYTES, length >> 3)
        name[0] = name_bytes
        for byte in range(name_bytes):
            name[1 + byte] = take_int(words, end - 8 * (name_bytes - byte), 8)


@njit(cache=True, nogil=True, **INNER)
def read_match(state: ClientState, session: Row, index: int, words: Words, position: int, bits: int) -> int:
    """The match's table, its scores, its objectives."""
    has_match = read_number(words, position, bits, 1)
    position += 1
    if has_match == 0:
        return position
    lengths, row = session.lengths, state.row
    position = read_fields(
        words, position, bits, lengths[layout.LENGTH_MATCH], MATCH_WIDTHS, MATCH_LEASTS, session.match
    )
    if position > bits:
        return position
    for score in range(min(session.score_count, MAX_SCORES)):
        length = lengths[layout.LENGTH_SCORE]
        position = read_fields(words, position, bits, length, SCORE_WIDTHS, SCORE_LEASTS, row)
        if position > bits:
            return position
        state.scores[index, score] = row[0]
    for objective in range(min(session.objective_count, MAX_OBJECTIVES)):
        length = lengths[layout.LENGTH_OBJECTIVE]
        position = read_fields(words, position, bits, length, OBJECTIVE_WIDTHS, OBJECTIVE_LEASTS, row)
        if position > bits:
            return position
        for column in range(OBJECTIVE_COLUMNS):
            state.objectives[index, objective, column] = row[column]
    return position


@njit(cache=True, nogil=True, **INNER)
def read_vitals(state: ClientState, session: Row, index: int, words: Words, position: int, bits: int) -> int:
    """Note health and connection of the players who are in the section."""
    has_vitals = read_number(words, position, bits, 1)
    position += 1
    if has_vitals == 0:
        return position
    count = read_number(words, position, bits, VITALS_COUNT_BITS)
    position += VITALS_COUNT_BITS
    length, row = session.lengths[layout.LENGTH_VITALS], state.row
    for _ in range(count):
        position = read_fields(words, position, bits, length, VITALS_WIDTHS, VITALS_LEASTS, row)
        if position > bits:
            return position
        if row[VITALS_ENTITY] < state.vitals.shape[1]:
            state.vitals[index, row[VITALS_ENTITY]] = row[VITALS_HEALTH] | (row[VITALS_CONNECTED] << 7)
    return position


@njit(cache=True, nogil=True, **INNER)
def read_hints(state: ClientState, session: Row, words: Words, position: int, bits: int) -> int:
    """Note the combat hints; there are none where the section is not there."""
    session.hints = 0
    has_hints = read_number(words, position, bits, 1)
    position += 1
    if has_hints == 1:
        length = session.lengths[layout.LENGTH_HINTS]
        position = read_fields(words, position, bits, length, HINT_WIDTHS, HINT_LEASTS, state.row)
        if position <= bits:
            session.hints = state.row[0]
    return position


@njit(cache=True, nogil=True, **INLINE)
def known_health(state: ClientState, client: int, entity: int) -> int:
    """A player's health in points, as far as a client has been told: of vitals or a record; else UNKNOWN."""
    told = int64(state.vitals[client, entity])
    health = told & HEALTH_NOT_SHOWN if told != UNKNOWN else int64(HEALTH_NOT_SHOWN)
    if health == HEALTH_NOT_SHOWN and state.seen_tick[client, entity] != 0:
        health = int64(entity_health(load_record(state.seen[client, entity])))
    return health if health != HEALTH_NOT_SHOWN else int64(UNKNOWN)
