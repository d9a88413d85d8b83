"""One step of the swarm, compiled: everything that all bots do on the network in about four milliseconds.

Its stages, in order: read the sockets of those bots whose turn it is into the links towards the bots; deliver what those links let out
to the clients; let those whose turn it is look and decide; let them speak; send what the links towards the servers let out.

A bot acts once a frame, so its socket need not be read more often: each datagram carries the time at which the system had it, is under
way on its link from then on, and is delivered as of when it was due.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.native.compilation import INNER, STAGE, njit
from dedicated_server.protocol.client.prediction import predict
from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.fields import FLAG_ALIVE, PHASE_PLAYING, TICK_HZ, entity_flags
from loadtest.bots.behaviour import choose_target, decide
from loadtest.bots.links import LinkQueue, link_pop, link_push
from loadtest.bots.perception import (
    Perception,
    perceive_frame,
    perceive_snapshot,
    target_record,
    track_target,
)
from loadtest.bots.udp import MAX_BATCH_DATAGRAMS, Inbox, arrival_time_s, receive_batch, send

CLOCK_THREAD_CPUTIME_ID = 3  # of Linux
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))

# Steps a frame: a datagram on its way to the server then waits 2 ms on average for the swarm, instead of 8.
STEPS_PER_FRAME = 4
STEP_HZ = TICK_HZ * STEPS_PER_FRAME
MAX_BATCHES_PER_TURN = (
    8  # from one socket in a turn; a server sends one datagram a tick, so more than this is not ours
)
NO_SESSION = -1

# Bits of a bot's circumstances beside its client's state (the low byte).
DIED = 1 << 8
MATCH_OVER = 1 << 9

# Offsets into Swarm.counts.
RECEIVED = 0
SENT = 1
SEND_REFUSED = 2  # the system's buffers were full
COUNTS = 3

STAGES = ("receive", "deliver", "decide", "speak", "send")
_RECEIVE, _DELIVER, _DECIDE, _SPEAK, _SEND = range(len(STAGES))


class SwarmState(NamedTuple):
    """Everything about B bots that compiled code needs.

    Attributes:
        clients: ``ClientSessions.state`` of the protocol.
        eyes: what its clients show their players.
        inbound, outbound: the links from and to the servers.
        brains: behaviour.BRAIN_DTYPE[B].
        streams: uint64[B], random streams of the bots' behaviour.
        sockets: int32[B], descriptors, or udp.UNUSED.
        read_s: float64[B], when each bot's socket was read last.
        session: int32[B], index of a bot's client session, or NO_SESSION.
        circumstances: int64[B], what was last told of each bot: its client's state, DIED, MATCH_OVER.
        changed: int32[B], bots whose circumstances changed in this step; the first so many are valid.
        view_tick: int32[B], the server tick that each was shown in its last turn.
        inbox: where datagrams are read.
        lengths: int64[AT_ONCE], their bytes.
        outbox: uint8[1200+], a datagram on its way out.
        counts: int64[COUNTS].
        spent_ns: int64[len(STAGES)], processor time by stage.
        clock: int64[2], room for ``thread_cpu_ns``.
    """

    clients: Any
    perception: Perception
    inbound: LinkQueue
    outbound: LinkQueue
    bot_states: npt.NDArray[np.void]
    streams: npt.NDArray[np.uint64]
    sockets: npt.NDArray[np.int32]
    read_s: npt.NDArray[np.float64]
    session: npt.NDArray[np.int32]
    status: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int32]
    view_tick: npt.NDArray[np.int32]
    inbox: Inbox
    lengths: npt.NDArray[np.int64]
    outbox: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    stage_ns: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]


@njit(cache=True, nogil=True, **STAGE)
def step(swarm: SwarmState, number: int, now_s: float, ahead_s: float) -> int:
    """Run step ``number`` at ``now_s``; returns how many bots' circumstances changed, listed in ``swarm.changed``.

    ``ahead_s``: what the system's wall clock is ahead of the clock of ``now_s``.
    """
    begun_ns = thread_cpu_ns(swarm.clock)
    _receive(swarm, number, now_s, ahead_s)
    begun_ns = _lap(swarm, _RECEIVE, begun_ns)
    _deliver(swarm, now_s)
    begun_ns = _lap(swarm, _DELIVER, begun_ns)
    _decide(swarm, number, now_s)
    begun_ns = _lap(swarm, _DECIDE, begun_ns)
    changed = _speak(swarm, number, now_s)
    begun_ns = _lap(swarm, _SPEAK, begun_ns)
    _send(swarm, now_s)
    _lap(swarm, _SEND, begun_ns)
    return changed


@njit(cache=True, nogil=True, **STAGE)
def thread_cpu_ns(timespec: npt.NDArray[np.int64]) -> int:
    """Nanoseconds of processor time that this thread has used, from the C library's ``clock_gettime``.

    Args:
        timespec: int64[2], room for the answer, in the layout of 64-bit Linux: seconds, nanoseconds.
    """
    _clock_gettime(CLOCK_THREAD_CPUTIME_ID, timespec.ctypes.data)
    return int(timespec[0] * 1_000_000_000 + timespec[1])


@njit(cache=True, nogil=True, **INNER)
def _lap(swarm: SwarmState, stage: int, begun_ns: int) -> int:
    now_ns = thread_cpu_ns(swarm.clock)
    swarm.stage_ns[stage] += now_ns - begun_ns
    return now_ns


@njit(cache=True, nogil=True, **INNER)
def _receive(swarm: SwarmState, number: int, now_s: float, ahead_s: float) -> None:
    """Every fourth bot in turn, here and below: players' frames are not in step with each other."""
    inbox, lengths = swarm.inbox, swarm.lengths
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        if swarm.sockets[bot] < 0:
            continue
        for _ in range(MAX_BATCHES_PER_TURN):
            count = receive_batch(swarm.sockets[bot], inbox, lengths)
            for row in range(count):
                came_s = arrival_time_s(inbox, row, ahead_s, swarm.read_s[bot], now_s)
                link_push(swarm.inbound, bot, inbox.data[row], lengths[row], came_s)
            swarm.counts[RECEIVED] += count
            if count < MAX_BATCH_DATAGRAMS:
                break
        swarm.read_s[bot] = now_s


@njit(cache=True, nogil=True, **INNER)
def _deliver(swarm: SwarmState, now_s: float) -> None:
    inbound, clients = swarm.inbound, swarm.clients
    slot = link_pop(inbound, now_s)
    while slot >= 0:
        record = inbound.slots[slot]
        session = swarm.session[record.link]
        if session != NO_SESSION:
            due_s = record.due_s
            if (
                client_receive(clients, session, inbound.payload[slot], record.length, due_s)
                == RECEIVED_SNAPSHOT
            ):
                perceive_snapshot(swarm.perception, clients, session, due_s)
        slot = link_pop(inbound, now_s)


@njit(cache=True, nogil=True, **INNER)
def _decide(swarm: SwarmState, number: int, now_s: float) -> None:
    clients, brains, streams, eyes = swarm.clients, swarm.bot_states, swarm.streams, swarm.perception
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        index = swarm.session[bot]
        if index == NO_SESSION:
            continue
        session = clients.sessions[index]
        tick, own = perceive_frame(eyes, clients, index, now_s)
        swarm.view_tick[bot] = round(tick)
        target = choose_target(
            brains, streams, bot, session, own, clients.seen[index], clients.seen_tick[index], now_s
        )
        track_target(eyes, clients, index, target)
        decide(brains, streams, bot, session, own, target_record(eyes, index, tick), now_s)


@njit(cache=True, nogil=True, **INNER)
def _speak(swarm: SwarmState, number: int, now_s: float) -> int:
    """Returns how many of those whose turn it is are in other circumstances than they were."""
    clients, out, changed = swarm.clients, swarm.outbox, 0
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        session = swarm.session[bot]
        if session == NO_SESSION:
            continue
        mind = swarm.bot_states[bot]
        length = client_transmit(
            clients,
            session,
            now_s,
            mind.move_x,
            mind.move_y,
            mind.yaw,
            mind.buttons,
            swarm.view_tick[bot],
            out,
        )
        predict(swarm.perception.prediction, clients, session)
        if length > 0:
            link_push(swarm.outbound, bot, out, length, now_s)
        circumstances = _circumstances(swarm, bot, session)
        if circumstances != swarm.status[bot]:
            swarm.status[bot] = circumstances
            swarm.changed[changed] = bot
            changed += 1
    return changed


@njit(cache=True, nogil=True, **INNER)
def _send(swarm: SwarmState, now_s: float) -> None:
    outbound = swarm.outbound
    slot = link_pop(outbound, now_s)
    while slot >= 0:
        descriptor = swarm.sockets[outbound.slots[slot].link]
        if descriptor >= 0:
            sent = send(descriptor, outbound.payload[slot], outbound.slots[slot].length)
            swarm.counts[SENT if sent >= 0 else SEND_REFUSED] += 1
        slot = link_pop(outbound, now_s)


@njit(cache=True, nogil=True, **INNER)
def _circumstances(swarm: SwarmState, bot: int, session: int) -> int:
    clients = swarm.clients
    told = clients.sessions[session]
    # Death is final in this game mode, and a dead player may get no more records of its own body.
    circumstances = np.int64(told.state) | (swarm.status[bot] & DIED)
    if told.match_over:
        circumstances |= MATCH_OVER
    own = told.own_entity
    if (
        told.match_phase == PHASE_PLAYING
        and clients.seen_tick[session, own] != 0
        and not entity_flags(clients.seen[session, own]) & FLAG_ALIVE
    ):
        circumstances |= DIED
    return int(circumstances)
