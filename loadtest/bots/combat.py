"""What a bot's client is told of its player's fights: kills and deaths, over all lives of a match."""

from __future__ import annotations

from typing import Final

from dedicated_server.native.compilation import STAGE, Longs, njit
from dedicated_server.protocol.client.state import EVENT_RING, ClientState
from dedicated_server.protocol.reliable_kinds import KILL_KILLER, KILL_VICTIM, RELIABLE_KILL, RELIABLE_KIND

KILLS, DEATHS, EVENTS_READ = range(3)  # columns of what is counted
COMBAT_COLUMNS: Final = 3


@njit(cache=True, nogil=True, **STAGE)
def count_combat(wire: ClientState, index: int, counted: Longs) -> None:
    """Add the kills and deaths to ``counted`` of which a client was told since the last call.

    Args:
        wire: of all clients.
        index: of the client.
        counted: int64[COMBAT_COLUMNS], zeros when the client's session begins.
    """
    session = wire.sessions[index]
    for number in range(counted[EVENTS_READ], session.events_count):
        event = wire.events[index, number % EVENT_RING]
        if event[RELIABLE_KIND] == RELIABLE_KILL:
            counted[KILLS] += event[KILL_KILLER] == session.own_entity
            counted[DEATHS] += event[KILL_VICTIM] == session.own_entity
    counted[EVENTS_READ] = session.events_count
