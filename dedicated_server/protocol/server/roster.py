"""The roster: every client is told who has which slot, after it connected, and at every change.

A change of a slot takes the next version of the roster. A client goes over the slots, its own team's before
the others', and gets a message for each whose version it does not know. It looks at a few in a tick, and only
while its ring of reliable messages has room for what happens in the match meanwhile. So a change costs
nobody a tick, and none is lost with a full ring. What a message says is read when it is written.
"""

from __future__ import annotations

from dedicated_server.native.compilation import INNER, Row, int64, njit
from dedicated_server.protocol.reliable_kinds import RELIABLE_ROSTER
from dedicated_server.protocol.server.reliable import append_reliable
from dedicated_server.protocol.server.state import RELIABLE_RING, ServerState

MAX_WAITING = RELIABLE_RING // 2  # messages in a client's ring up to which slots are added to it
SLOTS_PER_TICK = 64  # looked at for one client


@njit(cache=True, nogil=True, **INNER)
def begin_roster(slot: Row) -> None:
    """A client has connected: it knows no slot."""
    slot.roster_cursor = 0
    slot.roster_known = 0
    slot.roster_target = 0


@njit(cache=True, nogil=True, **INNER)
def queue_roster(state: ServerState, client: int) -> None:
    """Queue messages for slots that a client does not know as they are now."""
    slot, roster = state.slots[client], state.roster
    newest = state.identity[0].roster_version
    if slot.roster_known == newest:
        return
    players = roster.shape[0]
    if slot.roster_cursor == 0:
        slot.roster_target = newest
    own_team = roster[client].team
    cursor = slot.roster_cursor
    last = min(cursor + SLOTS_PER_TICK, 2 * players)
    while cursor < last and slot.reliable_count < MAX_WAITING:
        entity, of_own_team = cursor % players, cursor < players
        entry = roster[entity]
        if entry.version > slot.roster_known and (entry.team == own_team) == of_own_team:
            append_reliable(slot, RELIABLE_ROSTER, (int64(entity),))
        cursor += 1
    if cursor == 2 * players:
        cursor = 0
        slot.roster_known = slot.roster_target
    slot.roster_cursor = cursor
