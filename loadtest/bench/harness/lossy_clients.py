"""The clients' process over bad lines: real sockets, and between each of them and its player a line that delays, jitters and loses.

Each player has what a real client has: a clock, prediction of its own entity, interpolation of the others. In every frame what is shown is
held against what was true in the tick that is shown, which the server writes on the notice board.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol import fields
from dedicated_server.protocol.client.prediction import MOVEMENT
from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, EVENT_RING, ClientState
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.client.view import ClientView, new_view, view_frame, view_received, view_sent
from loadtest.bench.errors import BenchError
from loadtest.bench.harness import statistics
from loadtest.bench.harness.movement import move, new_walkers
from loadtest.bench.harness.poller import Poller, allow_descriptors
from loadtest.bench.harness.run_config import (
    HOST,
    JOIN_S,
    LinkConfig,
    LossyClientFigures,
    RunConfig,
    ServerReady,
)
from loadtest.bench.harness.shared_state import POSITION_TICKS, SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.links import LOST, SENT, LinkQueue, link_pop, link_push, link_queue
from loadtest.bots.udp import open_socket, receive, send

FRAME_HZ: Final = 60
STEPS_PER_FRAME: Final = 8
STEP_HZ: Final = FRAME_HZ * STEPS_PER_FRAME  # lines deliver to 2 ms
PERIOD_S: Final = 1.0 / FRAME_HZ
MAX_READS_PER_STEP: Final = 16  # datagrams read from one socket in a step
DATAGRAM_BYTES: Final = 1_232
IN_FLIGHT_PER_PLAYER: Final = 64  # a second of datagrams
ERROR_BIN_M: Final = 0.001
ERROR_BINS: Final = 20_000  # up to 20 m
EVENT_STEPS: Final = STEP_HZ // 4  # between two looks for reliable messages
UP, DOWN = range(2)


class LossyClients(NamedTuple):
    """Everything about N clients and their lines that compiled code needs."""

    state: ClientState
    view: ClientView
    up: LinkQueue
    down: LinkQueue
    descriptors: npt.NDArray[np.int32]  # [N]
    walkers: npt.NDArray[np.void]  # walk.WALKER[N]
    streams: npt.NDArray[np.uint64]  # [N]
    position_history: npt.NDArray[np.float64]  # the notice board's
    position_history_tick: npt.NDArray[np.int64]  # likewise
    errors: npt.NDArray[np.int64]  # [ERROR_BINS]
    behind: npt.NDArray[
        np.float64
    ]  # [2] ticks by which what is shown is behind the server's, summed, and of how many frames
    scratch: npt.NDArray[np.uint8]  # [2, DATAGRAM_BYTES]


@njit(cache=True, nogil=True)
def step(crowd: LossyClients, number: int, now_s: float, half_m: float, counts: bool) -> None:
    """Let some of the clients be shown a frame, move and speak; what they say enters their lines."""
    clients, out = crowd.state, crowd.scratch[1]
    for client in range(number % STEPS_PER_FRAME, len(crowd.walkers), STEPS_PER_FRAME):
        view_tick = view_frame(crowd.view, clients, client, now_s)
        if counts:
            measure_shown_error(crowd, client)
        record = crowd.view.shown[client, clients.sessions[client].own_entity]
        move_x, move_y, yaw, buttons = move(
            crowd.walkers, crowd.streams, client, fields.entity_x(record), fields.entity_y(record), half_m,
            now_s, PERIOD_S,
        )  # fmt: skip
        length = client_transmit(clients, client, now_s, move_x, move_y, yaw, buttons, view_tick, out)
        view_sent(crowd.view, clients, client)
        if length > 0:
            link_push(crowd.up, client, out, length, now_s)


@njit(cache=True, nogil=True)
def deliver(crowd: LossyClients, now_s: float) -> None:
    """Take what has arrived out of the lines: to the server's socket, or to the client."""
    while True:
        slot = link_pop(crowd.up, now_s)
        if slot < 0:
            break
        datagram = crowd.up.slots[slot]
        send(crowd.descriptors[datagram.link], crowd.up.payload[slot], datagram.length)
    while True:
        slot = link_pop(crowd.down, now_s)
        if slot < 0:
            break
        client, length = crowd.down.slots[slot].link, crowd.down.slots[slot].length
        if client_receive(crowd.state, client, crowd.down.payload[slot], length, now_s) == RECEIVED_SNAPSHOT:
            view_received(crowd.view, crowd.state, client, now_s)


@njit(cache=True, nogil=True)
def read(crowd: LossyClients, rows: npt.NDArray[np.int32], now_s: float) -> None:
    """Let what came for these clients enter their lines."""
    buffer = crowd.scratch[0]
    for row in rows:
        for _ in range(MAX_READS_PER_STEP):
            length = receive(crowd.descriptors[row], buffer)
            if length < 0:
                break
            link_push(crowd.down, row, buffer, length, now_s)


@njit(cache=True, nogil=True)
def measure_shown_error(crowd: LossyClients, client: int) -> None:
    """Add how far from the truth, at the tick that is shown, the others are shown that are alive and in view."""
    shown_tick = crowd.view.clocks[client].view_tick
    before = int(shown_tick)
    row, following = before % POSITION_TICKS, (before + 1) % POSITION_TICKS
    if (
        before < 1
        or crowd.position_history_tick[row] != before
        or crowd.position_history_tick[following] != before + 1
    ):
        return  # not played yet, or not remembered any more
    share = shown_tick - before
    own = crowd.state.sessions[client].own_entity
    for entity in range(crowd.view.shown.shape[1]):
        record = crowd.view.shown[client, entity]
        alive = fields.entity_flags(record) & fields.FLAG_ALIVE
        if entity == own or crowd.state.seen_tick[client, entity] == 0 or not alive:
            continue
        x_m = crowd.position_history[row, 0, entity] + share * (
            crowd.position_history[following, 0, entity] - crowd.position_history[row, 0, entity]
        )
        y_m = crowd.position_history[row, 1, entity] + share * (
            crowd.position_history[following, 1, entity] - crowd.position_history[row, 1, entity]
        )
        error_m = np.hypot(fields.entity_x(record) - x_m, fields.entity_y(record) - y_m)
        crowd.errors[min(int(error_m / ERROR_BIN_M), ERROR_BINS - 1)] += 1
    newest = before
    while crowd.position_history_tick[(newest + 1) % POSITION_TICKS] == newest + 1:
        newest += 1
    crowd.behind[0] += newest - shown_tick
    crowd.behind[1] += 1.0


def play(board: SharedState, _tell: Send, plan: RunConfig, opened: ServerReady) -> LossyClientFigures:
    """Connect everybody, and play until the window is over. Raises BenchError where it never opens."""
    allow_descriptors(plan.players)
    sessions = ClientSessions(plan.players, plan.players)
    descriptors = np.zeros(plan.players, np.int32)
    with ExitStack() as sockets, Poller() as doorbell:
        for token in opened.tokens:
            client = sessions.add(token)
            descriptors[client] = sockets.enter_context(
                open_socket(HOST, sessions.address_of(client)[1])
            ).fileno()
        doorbell.watch(descriptors)
        return _run_steps(plan, board, sessions, _new_clients(plan, board, sessions, descriptors), doorbell)


def prepare(board: SharedState, _tell: Send) -> bool:
    """Compile or load the kernels."""
    plan = RunConfig(2, link=LinkConfig())
    crowd = _new_clients(plan, board, ClientSessions(2, 2), np.full(2, -1, np.int32))
    step(crowd, 0, 0.0, 1.0, True)
    deliver(crowd, 0.0)
    read(crowd, np.zeros(0, np.int32), 0.0)
    return True


def _run_steps(
    plan: RunConfig, board: SharedState, sessions: ClientSessions, crowd: LossyClients, doorbell: Poller
) -> LossyClientFigures:
    heard: list[list[tuple[int, int]]] = [[] for _ in range(plan.players)]
    known = np.zeros(plan.players, np.int64)
    start_ns = time.perf_counter_ns()
    number = missed = 0
    while (window := board.window) != Window.OVER:
        number += 1
        due_ns = start_ns + number * 1_000_000_000 // STEP_HZ
        now_ns = time.perf_counter_ns()
        while True:
            rows = doorbell.wait((due_ns - now_ns) / 1e9)
            now_ns = time.perf_counter_ns()
            read(crowd, rows, now_ns / 1e9)
            if now_ns >= due_ns:
                break
        deliver(crowd, now_ns / 1e9)
        step(crowd, number, now_ns / 1e9, plan.layout.half_m, window == Window.OPEN)
        if number % EVENT_STEPS == 0:
            _collect_hits(sessions, known, heard)
        if window == Window.CLOSED and now_ns - start_ns > (JOIN_S + 10.0) * 1e9:
            raise BenchError(f"clients are missing; dropped: {sessions.drops_by_reason()}")
        behind = (time.perf_counter_ns() - start_ns) * STEP_HZ // 1_000_000_000 - number
        if behind > STEPS_PER_FRAME:
            number += behind - behind % STEPS_PER_FRAME
            missed += behind - behind % STEPS_PER_FRAME if window == Window.OPEN else 0
    _collect_hits(sessions, known, heard)
    return _figures(sessions, crowd, heard, missed)


def _collect_hits(
    sessions: ClientSessions, known: npt.NDArray[np.int64], heard: list[list[tuple[int, int]]]
) -> None:
    """Keep what clients were told of their hits since the last time."""
    counts = sessions.sessions["events_count"]
    for client in np.flatnonzero(counts > known):
        for number in range(int(known[client]), int(counts[client])):
            kind, a, b = sessions.state.events[client, number % EVENT_RING].tolist()
            if kind == fields.RELIABLE_HIT:
                heard[client].append((a, b))
        known[client] = counts[client]


def _figures(
    sessions: ClientSessions, crowd: LossyClients, heard: list[list[tuple[int, int]]], missed: int
) -> LossyClientFigures:
    clocks, own, table = crowd.view.clocks, crowd.view.prediction.own, sessions.sessions
    queues = (crowd.up, crowd.down)
    lost = sum(int(queue.counts[LOST]) for queue in queues) / sum(int(queue.counts[SENT]) for queue in queues)
    return LossyClientFigures(
        shown_error_m=statistics.histogram_percentiles(crowd.errors, ERROR_BIN_M, 50, 95, 99, digits=3),
        shown=int(crowd.errors.sum()),
        shown_ms_ago=round(float(crowd.behind[0] / max(crowd.behind[1], 1.0)) * 1e3 / FRAME_HZ, 1),
        rtt_ms=statistics.percentiles(table["rtt_s"] * 1e3, 50, 99),
        loss=round(lost, 4),
        starved=round(float(clocks["starved_frames"].sum() / max(clocks["frames"].sum(), 1)), 4),
        corrections=round(float(own["corrections"].sum() / max(own["checks"].sum(), 1)), 5),
        received_hits=heard,
        connected=int(np.count_nonzero(table["state"] == CLIENT_CONNECTED)),
        missed_steps=missed,
    )


def _new_clients(
    plan: RunConfig, board: SharedState, sessions: ClientSessions, descriptors: npt.NDArray[np.int32]
) -> LossyClients:
    assert plan.link is not None
    seeds = np.random.SeedSequence(plan.seed).spawn(4)
    count = plan.players
    queues = []
    for seed in seeds[2:]:
        drawn = np.asarray(seed.generate_state(count, np.uint64), np.uint64)
        queue = link_queue(drawn, IN_FLIGHT_PER_PLAYER * count, DATAGRAM_BYTES)
        for name, value in plan.link.link_fields().items():
            queue.links[name] = value
        queues.append(queue)
    return LossyClients(
        state=sessions.state,
        view=new_view(count, count, MOVEMENT["battle_royale"]),
        up=queues[UP],
        down=queues[DOWN],
        descriptors=descriptors,
        walkers=new_walkers(count, np.random.default_rng(seeds[0])),
        streams=np.asarray(seeds[1].generate_state(count, np.uint64), np.uint64),
        position_history=board.position_history,
        position_history_tick=board.position_history_tick,
        errors=np.zeros(ERROR_BINS, np.int64),
        behind=np.zeros(2),
        scratch=np.zeros((2, DATAGRAM_BYTES), np.uint8),
    )
