"""Rates: once in how many ticks each client gets a snapshot, and how large it may be.

`set_rates` is called before `interest`, which serves clients by what is written here. A client gets a
snapshot in every tick; under overload, and where its line is too thin (`protocol.server.line`), more rarely.
Headers and seal are sixty bytes of each datagram, so a thin line gets fewer of them before it gets smaller
ones. Who is dead only watches, and before the match begins there is nothing to react to: 15 snapshots a
second are smooth enough for both, by interpolation.
"""

from __future__ import annotations

from typing import Final

from numba import njit

from dedicated_server.native.compilation import INLINE, INNER, Row
from dedicated_server.protocol.datagrams import CONNECTED, IP_UDP_BYTES, MAX_DATAGRAM_BYTES
from dedicated_server.protocol.fields import PHASE_WAITING
from dedicated_server.protocol.server.line import COMFORT_BYTES, LEAST_LIMIT, NO_LIMIT, review_line
from dedicated_server.protocol.server.state import LINE_BYTES, SNAPSHOT_EVERY, ServerState
from dedicated_server.simulation.world import ALIVE, DIED_TICK, World

WATCHING_EVERY: Final = 4  # ticks to a snapshot for the dead, and while the match waits for its players
DEATH_TICKS: Final = 30  # for which the dead are told of their death as the living are
# Of a thin line; rarer than 7.5 a second, and keep-alives would fill the gaps. Larger steps would be too much
# for a line at once.
RARER_EVERY: Final = (2, 3, 4, 6, 8)
MOST_EVERY: Final = RARER_EVERY[-1]
LEAST_BYTES: Final = int(LEAST_LIMIT) * MOST_EVERY - IP_UDP_BYTES  # of a snapshot: its head and some records
SILENT_TICKS: Final = 60  # without an acknowledgement: the line may be down, or its queue this long


@njit(cache=True, nogil=True, **INLINE)
def set_rates(world: World, wire: ServerState, tick: int, phase: int, every: int) -> None:
    """Write each connected client's SNAPSHOT_EVERY and LINE_BYTES for ``tick``.

    ``phase``: PHASE_… of `protocol.fields`. ``every``: what the server's own load allows.
    """
    for client in range(len(wire.status)):
        if wire.status[client] != CONNECTED:
            continue
        own_every, line = every, wire.lines[client]
        if phase == PHASE_WAITING or _watches(world, client, tick):
            own_every = max(every, WATCHING_EVERY)
        if tick >= line.review_at:
            review_line(line, tick)
        limit = line.limit_bytes
        if tick - max(line.heard_at, wire.identity[0].resumed_tick) > SILENT_TICKS:
            limit = LEAST_LIMIT
        line_bytes = MAX_DATAGRAM_BYTES
        if limit < NO_LIMIT:
            own_every = _every_within(line, limit, own_every)
            line_bytes = min(max(int(limit * own_every) - IP_UDP_BYTES, LEAST_BYTES), MAX_DATAGRAM_BYTES)
        wire.per_slot[SNAPSHOT_EVERY, client] = own_every
        wire.per_slot[LINE_BYTES, client] = line_bytes


@njit(cache=True, nogil=True, **INNER)
def _watches(world: World, client: int, tick: int) -> bool:
    status = world.status
    return not status[ALIVE, client] and tick - status[DIED_TICK, client] > DEATH_TICKS


@njit(cache=True, nogil=True, **INNER)
def _every_within(line: Row, limit: float, every: int) -> int:
    """The least number of ticks, from ``every`` on, in which a wanted snapshot is within the limit."""
    wanted = min(line.wanted_bytes, float(COMFORT_BYTES))
    for step in RARER_EVERY:
        if every < step and limit * every < wanted:
            every = step
    return every
