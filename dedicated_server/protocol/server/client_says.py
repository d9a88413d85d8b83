"""Reliable messages of clients: each is taken in once, and answered by `heard`.

A *ping*, a place on the map, goes to everybody of the sender's team who is connected, the sender too. A
player may ping three times at once and once a second after that. It is no reason to disconnect anybody: a
client with much unacknowledged does not get it.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, STAGE, Longs, Row, Words, int64, njit
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.bits import take_int
from dedicated_server.protocol.client_kinds import (
    CLIENT_NUMBER_MASK,
    CLIENT_PING,
    CLIENT_PING_LEASTS,
    CLIENT_PING_WHAT,
    CLIENT_PING_WIDTHS,
    CLIENT_PING_X,
    CLIENT_PING_Y,
    PING_BURST,
    PING_EVERY_S,
    SAYS_BITS,
    SAYS_KIND,
    SAYS_LEASTS,
    SAYS_LENGTH,
    SAYS_NUMBER,
    SAYS_WIDTHS,
)
from dedicated_server.protocol.reliable_kinds import RELIABLE_HEARD, RELIABLE_PING
from dedicated_server.protocol.server.reliable import append_reliable, queue_reliable
from dedicated_server.protocol.server.state import RELIABLE_RING, ServerState
from dedicated_server.protocol.tables import read_fields

MAX_WAITING = RELIABLE_RING // 2  # messages in a client's ring up to which pings are added to it


@njit(cache=True, nogil=True, **STAGE)
def said_end(words: Words, position: int, bits: int) -> int:
    """Where the message at a position ends; −1: beyond the stream."""
    if position + SAYS_BITS > bits:
        return -1
    end = (
        position
        + SAYS_BITS
        + take_int(words, position + SAYS_BITS - SAYS_WIDTHS[SAYS_LENGTH], SAYS_WIDTHS[SAYS_LENGTH])
    )
    return end if end <= bits else int64(-1)


@njit(cache=True, nogil=True, **INNER)
def take_said(state: ServerState, client: int, words: Words, position: int, bits: int, now_s: float) -> None:
    """Take in the message at a position, of which `said_end` has been asked, where it is a new one."""
    slot, values = state.slots[client], state.said
    position = read_fields(words, position, bits, int64(SAYS_BITS), SAYS_WIDTHS, SAYS_LEASTS, values)
    number, kind, length = values[SAYS_NUMBER], values[SAYS_KIND], values[SAYS_LENGTH]
    if number != (slot.said_newest + 1) & CLIENT_NUMBER_MASK:
        return  # it was taken in before
    if slot.reliable_count >= RELIABLE_RING:
        return  # what answers it has no room: the client says it again
    slot.said_newest = number
    taken = False
    if kind == CLIENT_PING:
        read_fields(words, position, bits, length, CLIENT_PING_WIDTHS, CLIENT_PING_LEASTS, values)
        taken = _ping(state, client, slot, values, now_s)
    queue_reliable(state, client, RELIABLE_HEARD, (number, int64(taken)))


@njit(cache=True, nogil=True, **INNER)
def _ping(state: ServerState, client: int, slot: Row, values: Longs, now_s: float) -> bool:
    """Relay a ping, unless its player has used up what they may; whether it was relayed."""
    if slot.pings_paid_s > now_s + (PING_BURST - 1) * PING_EVERY_S:
        state.counters[datagrams.PINGS_REFUSED] += 1
        return False
    slot.pings_paid_s = max(slot.pings_paid_s, now_s) + PING_EVERY_S
    ping = (int64(client), values[CLIENT_PING_X], values[CLIENT_PING_Y], values[CLIENT_PING_WHAT])
    team = state.roster[client].team
    for place in range(state.team_start[team], state.team_start[team + 1]):
        member = state.team_members[place]
        if state.status[member] == datagrams.CONNECTED and state.slots[member].reliable_count < MAX_WAITING:
            append_reliable(state.slots[member], RELIABLE_PING, ping)
    state.counters[datagrams.PINGS] += 1
    return True
