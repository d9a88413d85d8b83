"""One step of the swarm, compiled: everything that all bots do on the network in about four milliseconds.

Its stages, in order: receive what the sockets hold into the links towards the bots; deliver what those links let out to the
clients; let those bots whose turn it is decide and speak; send what the links towards the servers let out; tell which bots'
circumstances changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol.client import RECEIVED_SNAPSHOT, client_receive, client_transmit
from dedicated_server.protocol.client_view import view_frame, view_received, view_sent
from dedicated_server.protocol.fields import FLAG_ALIVE, PHASE_PLAYING, entity_flags
from loadtest.behaviour import decide
from loadtest.links import LinkQueue, link_pop, link_push
from loadtest.udp import POLLERR, POLLIN, poll_sockets, receive, send

# The network is served four times as often as the bots speak: a datagram then waits 2 ms on average for the swarm, instead of 8.
STEPS_PER_FRAME = 4
FRAME_HZ = 60
STEP_HZ = FRAME_HZ * STEPS_PER_FRAME
MAX_DATAGRAMS_A_STEP = 64  # from one socket; a server sends one a tick, so more than this is not ours
NO_SESSION = -1

# Bits of a bot's circumstances beside its client's state (the low byte).
DIED = 1 << 8
MATCH_OVER = 1 << 9

# Offsets into Swarm.counts.
RECEIVED = 0
SENT = 1
SEND_REFUSED = 2  # the system's buffers were full
COUNTS = 3


class Swarm(NamedTuple):
    """Everything about B bots that compiled code needs.

    Attributes:
        clients: ``ClientSessions.state`` of the protocol.
        screens: what its clients show their players, a ``client_view.ClientView``.
        inbound, outbound: the links from and to the servers.
        brains: behaviour.BRAIN_DTYPE[B].
        streams: uint64[B], random streams of the bots' behaviour.
        poll: udp.POLL_DTYPE[B], the sockets.
        session: int32[B], index of a bot's client session, or NO_SESSION.
        circumstances: int64[B], what was last told of each bot: its client's state, DIED, MATCH_OVER.
        changed: int32[B], bots whose circumstances changed in this step; the first so many are valid.
        scratch: uint8[2, 1200+], a datagram each way.
        counts: int64[COUNTS].
    """

    clients: Any
    screens: Any
    inbound: LinkQueue
    outbound: LinkQueue
    brains: npt.NDArray[np.void]
    streams: npt.NDArray[np.uint64]
    poll: npt.NDArray[np.void]
    session: npt.NDArray[np.int32]
    circumstances: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int32]
    scratch: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def step(swarm: Swarm, number: int, now_s: float) -> int:
    """Run step ``number`` at ``now_s``; returns how many bots' circumstances changed, listed in ``swarm.changed``."""
    _receive(swarm, now_s)
    _deliver(swarm, now_s)
    _speak(swarm, number, now_s)
    _send(swarm, now_s)
    return int(_changes(swarm))


@njit(cache=True, nogil=True)
def _receive(swarm: Swarm, now_s: float) -> None:
    left = poll_sockets(swarm.poll)
    buffer = swarm.scratch[0]
    for bot in range(len(swarm.poll)):
        if left <= 0:
            break
        row = swarm.poll[bot]
        if row.revents == 0:
            continue
        left -= 1
        if not row.revents & (POLLIN | POLLERR):
            continue
        for _ in range(MAX_DATAGRAMS_A_STEP):
            length = receive(row.fd, buffer)
            if length < 0:
                break
            swarm.counts[RECEIVED] += 1
            link_push(swarm.inbound, bot, buffer, length, now_s)


@njit(cache=True, nogil=True)
def _deliver(swarm: Swarm, now_s: float) -> None:
    inbound, clients = swarm.inbound, swarm.clients
    slot = link_pop(inbound, now_s)
    while slot >= 0:
        session = swarm.session[inbound.slots[slot].link]
        if session != NO_SESSION:
            length = inbound.slots[slot].length
            if client_receive(clients, session, inbound.payload[slot], length, now_s) == RECEIVED_SNAPSHOT:
                view_received(swarm.screens, clients, session, now_s)
        slot = link_pop(inbound, now_s)


@njit(cache=True, nogil=True)
def _speak(swarm: Swarm, number: int, now_s: float) -> None:
    """Every fourth bot in turn: players' frames are not in step with each other."""
    clients, out = swarm.clients, swarm.scratch[1]
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        session = swarm.session[bot]
        if session == NO_SESSION:
            continue
        view_tick = view_frame(swarm.screens, clients, session, now_s)
        decide(
            swarm.brains,
            swarm.streams,
            bot,
            clients.sessions[session],
            swarm.screens.shown[session],
            clients.seen_tick[session],
            now_s,
        )
        mind = swarm.brains[bot]
        length = client_transmit(
            clients, session, now_s, mind.move_x, mind.move_y, mind.yaw, mind.buttons, view_tick, out
        )
        view_sent(swarm.screens, clients, session)
        if length > 0:
            link_push(swarm.outbound, bot, out, length, now_s)


@njit(cache=True, nogil=True)
def _send(swarm: Swarm, now_s: float) -> None:
    outbound = swarm.outbound
    slot = link_pop(outbound, now_s)
    while slot >= 0:
        descriptor = swarm.poll[outbound.slots[slot].link].fd
        if descriptor >= 0:
            sent = send(descriptor, outbound.payload[slot], outbound.slots[slot].length)
            swarm.counts[SENT if sent >= 0 else SEND_REFUSED] += 1
        slot = link_pop(outbound, now_s)


@njit(cache=True, nogil=True)
def _changes(swarm: Swarm) -> int:
    clients, count = swarm.clients, 0
    for bot in range(len(swarm.session)):
        session = swarm.session[bot]
        if session == NO_SESSION:
            continue
        told = clients.sessions[session]
        # Death is final in this game mode, and a dead player may get no more records of its own body.
        circumstances = np.int64(told.state) | (swarm.circumstances[bot] & DIED)
        if told.match_over:
            circumstances |= MATCH_OVER
        own = told.own_entity
        if (
            told.match_phase == PHASE_PLAYING
            and clients.seen_tick[session, own] != 0
            and not entity_flags(clients.seen[session, own]) & FLAG_ALIVE
        ):
            circumstances |= DIED
        if circumstances != swarm.circumstances[bot]:
            swarm.circumstances[bot] = circumstances
            swarm.changed[count] = bot
            count += 1
    return count
