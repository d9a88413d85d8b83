"""One step of the swarm, compiled: everything that all bots do on the network in about four milliseconds.

Its stages, in order: read the sockets of the bots whose turn it is into their inbound links; deliver to the
clients what those links let out; let the bots whose turn it is perceive and decide; let them transmit; send
what the outbound links let out.

A bot acts once a frame, so its socket need not be read more often: each datagram carries the time at which
the system received it, is on its link from then on, and is delivered with the time at which it was due.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.native.compilation import INNER, STAGE, Floats, Longs, njit
from dedicated_server.protocol.client.knowledge import ModeView
from dedicated_server.protocol.client.prediction import predict
from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.entities import FLAG_ALIVE, entity_flags, load_record
from dedicated_server.protocol.fields import PHASE_PLAYING, TICK_HZ
from loadtest.bots.aim import choose_target
from loadtest.bots.behaviour import decide
from loadtest.bots.combat import count_combat
from loadtest.bots.links import LinkQueue, link_pop, link_push
from loadtest.bots.mode_table import ModeTable
from loadtest.bots.perception import (
    Perception,
    own_place,
    perceive_frame,
    perceive_snapshot,
    target_place,
    track_target,
)
from loadtest.bots.udp import MAX_BATCH_DATAGRAMS, Inbox, arrival_time_s, receive_batch, send

CLOCK_THREAD_CPUTIME_ID = 3  # of Linux
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))

# Steps per frame. With four, an outbound datagram waits 2 ms on average for the swarm, instead of 8.
STEPS_PER_FRAME = 4
STEP_HZ = TICK_HZ * STEPS_PER_FRAME
MAX_BATCHES_PER_TURN = 8  # from one socket; a server sends one datagram a tick, so more than this is not ours
NO_SESSION = -1

# Bits of a bot's session status beside its client's state (the low byte).
DIED = 1 << 8
MATCH_OVER = 1 << 9
REASON_AT = 16  # and from this bit on what the server has said of it, of `protocol.reasons`

# Offsets into Swarm.counts.
RECEIVED = 0
SENT = 1
SEND_REFUSED = 2  # the system's buffers were full
COUNTS = 3

STAGES = ("receive", "deliver", "decide", "transmit", "send")
_RECEIVE, _DELIVER, _DECIDE, _TRANSMIT, _SEND = range(len(STAGES))


class SwarmState(NamedTuple):
    """Everything about B bots that compiled code needs.

    Attributes:
        combat: int64[B, COMBAT_COLUMNS], what each bot's client was told of its fights in this session.
        perception: what each client shows its player.
        inbound, outbound: the links from and to the servers.
        knowledge: what each client knows of its match; its wire is ``ClientSessions.state``.
        modes: of all modes that the bots may play.
        goal_m: float64[clients, 2], where the mode's hook sends each; not a number where it does not.
        bot_states: bot_state.BOT_STATE_DTYPE[B].
        streams: uint64[B], random streams of the bots' behaviour.
        sockets: int32[B], descriptors, or udp.UNUSED.
        read_s: float64[B], when each bot's socket was read last.
        session: int32[B], index of a bot's client session, or NO_SESSION.
        status: int64[B], the session status that was last passed on: the client's state, DIED, MATCH_OVER.
        changed: int32[B], bots whose status changed in this step; as many are valid as :func:`step` returns.
        view_tick: float64[B], the server tick, with fraction, that each bot saw in its last turn.
        inbox: where datagrams are read.
        lengths: int64[AT_ONCE], their bytes.
        outbox: uint8[1200+], a datagram on its way out.
        counts: int64[COUNTS].
        spent_ns: int64[len(STAGES)], processor time by stage.
        clock: int64[2], room for ``thread_cpu_ns``.
    """

    perception: Perception
    combat: Longs
    inbound: LinkQueue
    outbound: LinkQueue
    knowledge: ModeView
    modes: ModeTable
    goal_m: Floats
    bot_states: npt.NDArray[np.void]
    streams: npt.NDArray[np.uint64]
    sockets: npt.NDArray[np.int32]
    read_s: npt.NDArray[np.float64]
    session: npt.NDArray[np.int32]
    status: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int32]
    view_tick: npt.NDArray[np.float64]
    inbox: Inbox
    lengths: npt.NDArray[np.int64]
    outbox: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    stage_ns: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]


@njit(cache=True, nogil=True, **STAGE)
def step(swarm: SwarmState, number: int, now_s: float, ahead_s: float) -> int:
    """Run one step.

    Args:
        swarm: all bots.
        number: of the step; bots take turns by it.
        now_s: seconds of the machine's monotonic clock.
        ahead_s: wall clock minus monotonic clock, in seconds.

    Returns:
        How many bots' session status changed; they are listed in ``swarm.changed``.
    """
    begun_ns = thread_cpu_ns(swarm.clock)
    _receive(swarm, number, now_s, ahead_s)
    begun_ns = _lap(swarm, _RECEIVE, begun_ns)
    _deliver(swarm, now_s)
    begun_ns = _lap(swarm, _DELIVER, begun_ns)
    _decide(swarm, number, now_s)
    begun_ns = _lap(swarm, _DECIDE, begun_ns)
    changed = _transmit(swarm, number, now_s)
    begun_ns = _lap(swarm, _TRANSMIT, begun_ns)
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
    """Every fourth bot in turn, here and below, because players' frames are not synchronous."""
    inbox, lengths = swarm.inbox, swarm.lengths
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        if swarm.sockets[bot] < 0:
            continue
        for _ in range(MAX_BATCHES_PER_TURN):
            count = receive_batch(swarm.sockets[bot], inbox, lengths)
            for row in range(count):
                received_s = arrival_time_s(inbox, row, ahead_s, swarm.read_s[bot], now_s)
                link_push(swarm.inbound, bot, inbox.data[row], lengths[row], received_s)
            swarm.counts[RECEIVED] += count
            if count < MAX_BATCH_DATAGRAMS:
                break
        swarm.read_s[bot] = now_s


@njit(cache=True, nogil=True, **INNER)
def _deliver(swarm: SwarmState, now_s: float) -> None:
    inbound, clients = swarm.inbound, swarm.knowledge.wire
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
    clients, perception, knowledge = swarm.knowledge.wire, swarm.perception, swarm.knowledge
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        index = swarm.session[bot]
        if index == NO_SESSION:
            continue
        tick = perceive_frame(perception, index, now_s)
        swarm.view_tick[bot] = tick
        knowledge.own_m[index, 0], knowledge.own_m[index, 1] = own_place(perception, clients, index)
        mode = perception.prediction.own[index].mode
        target = choose_target(
            swarm.bot_states, swarm.streams, bot, knowledge, index, swarm.modes, mode, now_s
        )
        track_target(perception, clients, index, target)
        enemy_x_m, enemy_y_m = target_place(perception, index, tick)
        decide(
            swarm.bot_states,
            swarm.streams,
            bot,
            knowledge,
            index,
            swarm.modes,
            mode,
            enemy_x_m,
            enemy_y_m,
            swarm.goal_m[index, 0],
            swarm.goal_m[index, 1],
            now_s,
        )


@njit(cache=True, nogil=True, **INNER)
def _transmit(swarm: SwarmState, number: int, now_s: float) -> int:
    """Returns how many of the bots whose turn it is have another session status than before."""
    clients, out, changed = swarm.knowledge.wire, swarm.outbox, 0
    for bot in range(number % STEPS_PER_FRAME, len(swarm.session), STEPS_PER_FRAME):
        session = swarm.session[bot]
        if session == NO_SESSION:
            continue
        state = swarm.bot_states[bot]
        length = client_transmit(
            clients,
            session,
            now_s,
            state.move_x,
            state.move_y,
            state.yaw,
            state.buttons,
            swarm.view_tick[bot],
            out,
        )
        predict(swarm.perception.prediction, clients, session)
        count_combat(clients, session, swarm.combat[bot])
        if length > 0:
            link_push(swarm.outbound, bot, out, length, now_s)
        status = _status(swarm, bot, session)
        if status != swarm.status[bot]:
            swarm.status[bot] = status
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
def _status(swarm: SwarmState, bot: int, session: int) -> int:
    clients = swarm.knowledge.wire
    record = clients.sessions[session]
    # Where death is final, a dead player may get no more records of its own body.
    status = np.int64(record.state) | (swarm.status[bot] & DIED) | np.int64(record.reason) << REASON_AT
    if record.match_over:
        status |= MATCH_OVER
    own = record.own_entity
    if (
        not swarm.modes.respawns[swarm.perception.prediction.own[session].mode]
        and record.match_phase == PHASE_PLAYING
        and clients.seen_tick[session, own] != 0
        and not entity_flags(load_record(clients.seen[session, own])) & FLAG_ALIVE
    ):
        status |= DIED
    return int(status)
