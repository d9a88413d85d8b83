"""The vitals section: health and connection of those whose entity records do not say them.

A mode's card says who is shown a player's health and connection. Where that is not everybody, the records of
entities hold neither; each client gets its own player's, and those of its team where the card shows them to
the team: all of them with the state of the match, and those that change at once.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INLINE, INNER, Words, int64, njit
from dedicated_server.protocol.bits import append
from dedicated_server.protocol.fields import (
    HEALTH_NOT_SHOWN,
    MAX_VITALS,
    SHOWN_TO_EVERYBODY,
    SHOWN_TO_TEAM,
    VITALS_COUNT_BITS,
    VITALS_FIELDS,
    VITALS_LEASTS,
    VITALS_WIDTHS,
)
from dedicated_server.protocol.server.state import (
    VITALS_CHANGED,
    VITALS_FRESH,
    VITALS_VALUE,
    ServerState,
)
from dedicated_server.protocol.tables import length_of, write_fields

VITALS_BITS = length_of(VITALS_FIELDS)
CONNECTED_AT = 7  # bit of a packed value, above the health


@njit(cache=True, nogil=True, **INLINE)
def note_vitals(state: ServerState, player: int, health: int, connected: bool) -> None:
    """What a player's vitals are in this tick. The tick sets ``vitals_changed`` to 0 before."""
    value = health | (int64(connected) << CONNECTED_AT)
    fresh = state.vitals[VITALS_VALUE, player] != value
    state.vitals[VITALS_FRESH, player] = fresh
    if fresh:
        state.vitals[VITALS_VALUE, player] = value
        identity = state.identity[0]
        state.vitals[VITALS_CHANGED, identity.vitals_changed] = player
        identity.vitals_changed += 1


@njit(cache=True, nogil=True, **INNER)
def write_vitals(
    state: ServerState, words: Words, position: int, client: int, turn: int, due: bool, bits_left: int
) -> int:
    """Append a flag, then count and vitals: where ``due`` all that the client is shown, else what changed.

    Of a team that does not fit a datagram, a part: another one each ``turn``.
    """
    most = min(MAX_VITALS, max(bits_left - VITALS_COUNT_BITS, 0) // VITALS_BITS)
    count = _collect(state, client, turn, due, most)
    position = append(words, position, int64(count > 0), 1)
    if count > 0:
        position = append(words, position, count, VITALS_COUNT_BITS)
        for place in range(count):
            position = _write_one(state, words, position, client, int64(state.shown[place]))
    return position


@njit(cache=True, nogil=True, **INNER)
def _collect(state: ServerState, client: int, turn: int, due: bool, most: int) -> int:
    """Put the players whose vitals the client gets into ``shown``, at most so many; return how many."""
    identity, shown = state.identity[0], state.shown
    if most == 0 or min(identity.shows_health, identity.shows_connection) == SHOWN_TO_EVERYBODY:
        return 0
    to_team = max(identity.shows_health, identity.shows_connection) >= SHOWN_TO_TEAM
    team = state.roster[client].team
    first = int64(state.team_start[team])
    members = int64(state.team_start[team + 1]) - first if to_team else int64(0)
    count = int64(0)
    if due:
        shown[0] = client
        count += 1
        begin = turn * (most - 1)
        for place in range(min(members, most - 1)):
            member = int64(state.team_members[first + (begin + place) % members])
            if member != client and state.slots[member].player_id != 0:
                shown[count] = member
                count += 1
    elif identity.vitals_changed == 0:
        return 0
    elif members == 0:
        shown[0] = client
        count += int64(state.vitals[VITALS_FRESH, client])
    elif members <= identity.vitals_changed:  # of team and changes, the fewer are gone through
        for place in range(first, first + members):
            member = int64(state.team_members[place])
            if count < most and state.vitals[VITALS_FRESH, member] != 0:
                shown[count] = member
                count += 1
    else:
        for place in range(identity.vitals_changed):
            player = int64(state.vitals[VITALS_CHANGED, place])
            if count < most and state.roster[player].team == team:
                shown[count] = player
                count += 1
    return count


@njit(cache=True, nogil=True, **INNER)
def _write_one(state: ServerState, words: Words, position: int, viewer: int, player: int) -> int:
    identity = state.identity[0]
    value = int64(state.vitals[VITALS_VALUE, player])
    health, connected = value & ((1 << CONNECTED_AT) - 1), value >> CONNECTED_AT
    if player != viewer and identity.shows_health < SHOWN_TO_TEAM:
        health = int64(HEALTH_NOT_SHOWN)
    if player != viewer and identity.shows_connection < SHOWN_TO_TEAM:
        connected = int64(1)
    return write_fields(words, position, (int64(player), health, connected), VITALS_WIDTHS, VITALS_LEASTS)
