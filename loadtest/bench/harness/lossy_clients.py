"""The clients' process over lossy links: between each real socket and its player a link delays, jitters and
loses.

Each player has what a real client has: a clock, prediction of its own entity, interpolation of the others. In
every frame the shown positions are compared with the true ones of the shown tick, which the server writes to
SharedState.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, EVENT_RING, ClientState
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.client.view import ClientView, new_view, view_frame, view_received, view_sent
from dedicated_server.protocol.entities import FLAG_ALIVE, entity_flags, entity_x, entity_y, load_record
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.movement import movement_of
from dedicated_server.protocol.reliable_kinds import (
    HIT_INPUT_TICK,
    HIT_POINTS,
    HIT_VICTIM,
    RELIABLE_HIT,
    RELIABLE_KIND,
)
from loadtest.bench.harness import statistics
from loadtest.bench.harness.movement import move, new_walkers
from loadtest.bench.harness.poller import Poller, StepLoop, allow_descriptors
from loadtest.bench.harness.run_config import (
    HOST,
    Hit,
    LinkConfig,
    LossyClientFigures,
    RunConfig,
    ServerReady,
)
from loadtest.bench.harness.shared_state import POSITION_TICKS, SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.links import LOST, SENT, LinkQueue, link_pop, link_push, link_queue
from loadtest.bots.udp import DATAGRAM_BYTES, open_socket, receive, send

STEPS_PER_FRAME: Final = 8
STEP_HZ: Final = TICK_HZ * STEPS_PER_FRAME  # links deliver to 2 ms
PERIOD_S: Final = 1.0 / TICK_HZ
MAX_READS_PER_STEP: Final = 16  # datagrams read from one socket in a step
IN_FLIGHT_PER_PLAYER: Final = 64  # a second of datagrams
ERROR_BIN_M: Final = 0.001
ERROR_BINS: Final = 20_000  # up to 20 m
EVENT_STEPS: Final = STEP_HZ // 4  # between two looks at the reliable messages
UP, DOWN = range(2)


class LossyClients(NamedTuple):
    """Everything about N clients and their links that compiled code needs."""

    state: ClientState
    views: ClientView
    up: LinkQueue
    down: LinkQueue
    descriptors: npt.NDArray[np.int32]  # [N]
    walkers: npt.NDArray[np.void]  # movement.WALKER[N]
    streams: npt.NDArray[np.uint64]  # [N]
    position_history: npt.NDArray[np.float64]  # of SharedState
    position_history_tick: npt.NDArray[np.int64]  # of SharedState
    errors: npt.NDArray[np.int64]  # [ERROR_BINS]
    # [2]: sum of the ticks by which shown frames are behind the server, their number
    behind: npt.NDArray[np.float64]
    scratch: npt.NDArray[np.uint8]  # [2, DATAGRAM_BYTES]


@njit(cache=True, nogil=True)
def step(clients: LossyClients, number: int, now_s: float, half_m: float, counts: bool) -> None:
    """Let an eighth of the clients show a frame, move and send; what they send enters their links.

    The arguments are those of ``clients.step``.
    """
    state, out = clients.state, clients.scratch[1]
    for client in range(number % STEPS_PER_FRAME, len(clients.walkers), STEPS_PER_FRAME):
        view_tick = view_frame(clients.views, state, client, now_s)
        if counts:
            measure_shown_error(clients, client)
        record = load_record(clients.views.shown[client, state.sessions[client].own_entity])
        move_x, move_y, yaw, buttons = move(
            clients.walkers,
            clients.streams,
            client,
            entity_x(record),
            entity_y(record),
            half_m,
            now_s,
            PERIOD_S,
        )
        length = client_transmit(state, client, now_s, move_x, move_y, yaw, buttons, view_tick, out)
        view_sent(clients.views, state, client)
        if length > 0:
            link_push(clients.up, client, out, length, now_s)


@njit(cache=True, nogil=True)
def deliver_to_server(clients: LossyClients, now_s: float) -> None:
    """Take what has arrived out of the links to the server, and send it to the server's socket."""
    while True:
        slot = link_pop(clients.up, now_s)
        if slot < 0:
            break
        datagram = clients.up.slots[slot]
        send(clients.descriptors[datagram.link], clients.up.payload[slot], datagram.length)


@njit(cache=True, nogil=True)
def deliver_to_clients(clients: LossyClients, now_s: float) -> None:
    """Take what has arrived out of the links to the clients, and let them receive it."""
    while True:
        slot = link_pop(clients.down, now_s)
        if slot < 0:
            break
        client, length = clients.down.slots[slot].link, clients.down.slots[slot].length
        if (
            client_receive(clients.state, client, clients.down.payload[slot], length, now_s)
            == RECEIVED_SNAPSHOT
        ):
            view_received(clients.views, clients.state, client, now_s)


@njit(cache=True, nogil=True)
def read(clients: LossyClients, rows: npt.NDArray[np.int32], now_s: float) -> None:
    """Let everything that came for these clients enter their links."""
    buffer = clients.scratch[0]
    for row in rows:
        for _ in range(MAX_READS_PER_STEP):
            length = receive(clients.descriptors[row], buffer)
            if length < 0:
                break
            link_push(clients.down, row, buffer, length, now_s)


@njit(cache=True, nogil=True)
def measure_shown_error(clients: LossyClients, client: int) -> None:
    """Add to the histogram how far each other entity, alive and in view, is shown from its true position.

    The truth is that of the shown tick, interpolated between two ticks.
    """
    shown_tick = clients.views.clocks[client].view_tick
    before = int(shown_tick)
    row, following = before % POSITION_TICKS, (before + 1) % POSITION_TICKS
    if (
        before < 1
        or clients.position_history_tick[row] != before
        or clients.position_history_tick[following] != before + 1
    ):
        return  # not played yet, or not kept any more
    share = shown_tick - before
    own = clients.state.sessions[client].own_entity
    for entity in range(clients.views.shown.shape[1]):
        record = load_record(clients.views.shown[client, entity])
        alive = entity_flags(record) & FLAG_ALIVE
        if entity == own or clients.state.seen_tick[client, entity] == 0 or not alive:
            continue
        x_m = clients.position_history[row, 0, entity] + share * (
            clients.position_history[following, 0, entity] - clients.position_history[row, 0, entity]
        )
        y_m = clients.position_history[row, 1, entity] + share * (
            clients.position_history[following, 1, entity] - clients.position_history[row, 1, entity]
        )
        error_m = np.hypot(entity_x(record) - x_m, entity_y(record) - y_m)
        clients.errors[min(int(error_m / ERROR_BIN_M), ERROR_BINS - 1)] += 1
    newest = before
    while clients.position_history_tick[(newest + 1) % POSITION_TICKS] == newest + 1:
        newest += 1
    clients.behind[0] += newest - shown_tick
    clients.behind[1] += 1.0


def play(shared: SharedState, _send: Send, config: RunConfig, opened: ServerReady) -> LossyClientFigures:
    """Connect all clients and play until the window is over. Raises BenchError where it never opens."""
    allow_descriptors(config.players)
    sessions = ClientSessions(config.players, config.players)
    descriptors = np.zeros(config.players, np.int32)
    with ExitStack() as sockets, Poller() as poller:
        for token in opened.tokens:
            client = sessions.add(token)
            descriptors[client] = sockets.enter_context(
                open_socket(HOST, sessions.address_of(client)[1])
            ).fileno()
        poller.watch(descriptors)
        return _run_steps(
            config, shared, sessions, _new_clients(config, shared, sessions, descriptors), poller
        )


def prepare(shared: SharedState, _send: Send) -> bool:
    """Compile or load the kernels."""
    config = RunConfig(2, link=LinkConfig())
    clients = _new_clients(config, shared, ClientSessions(2, 2), np.full(2, -1, np.int32))
    step(clients, 0, 0.0, 1.0, True)
    deliver_to_server(clients, 0.0)
    deliver_to_clients(clients, 0.0)
    read(clients, np.zeros(0, np.int32), 0.0)
    return True


def _run_steps(
    config: RunConfig, shared: SharedState, sessions: ClientSessions, clients: LossyClients, poller: Poller
) -> LossyClientFigures:
    received: list[list[Hit]] = [[] for _ in range(config.players)]
    known = np.zeros(config.players, np.int64)
    steps = StepLoop(shared, poller, STEP_HZ, STEPS_PER_FRAME, partial(read, clients))
    for number, now_s, _late_ns, window in steps:
        deliver_to_server(clients, now_s)
        deliver_to_clients(clients, now_s)
        step(clients, number, now_s, config.layout.half_m, window == Window.OPEN)
        if number % EVENT_STEPS == 0:
            _collect_hits(sessions, known, received)
    _collect_hits(sessions, known, received)
    return _figures(sessions, clients, received, steps.missed)


def _collect_hits(sessions: ClientSessions, known: npt.NDArray[np.int64], received: list[list[Hit]]) -> None:
    """Add the hits of which clients were told since the last call to ``received``."""
    counts = sessions.sessions["events_count"]
    for client in np.flatnonzero(counts > known):
        for number in range(int(known[client]), int(counts[client])):
            event = sessions.state.events[client, number % EVENT_RING].tolist()
            if event[RELIABLE_KIND] == RELIABLE_HIT:
                received[client].append((event[HIT_VICTIM], event[HIT_POINTS], event[HIT_INPUT_TICK]))
        known[client] = counts[client]


def _figures(
    sessions: ClientSessions, clients: LossyClients, received: list[list[Hit]], missed: int
) -> LossyClientFigures:
    clocks, own, table = clients.views.clocks, clients.views.prediction.own, sessions.sessions
    queues = (clients.up, clients.down)
    lost = sum(int(queue.counts[LOST]) for queue in queues) / sum(int(queue.counts[SENT]) for queue in queues)
    return LossyClientFigures(
        shown_error_m=statistics.histogram_percentiles(clients.errors, ERROR_BIN_M, 50, 95, 99, digits=3),
        shown=int(clients.errors.sum()),
        shown_ms_ago=round(float(clients.behind[0] / max(clients.behind[1], 1.0)) * 1e3 / TICK_HZ, 1),
        rtt_ms=statistics.percentiles(table["rtt_s"] * 1e3, 50, 99),
        loss=round(lost, 4),
        starved=round(float(clocks["starved_frames"].sum() / max(clocks["frames"].sum(), 1)), 4),
        corrections=round(float(own["corrections"].sum() / max(own["checks"].sum(), 1)), 5),
        received_hits=received,
        connected=int(np.count_nonzero(table["state"] == CLIENT_CONNECTED)),
        missed_steps=missed,
    )


def _new_clients(
    config: RunConfig, shared: SharedState, sessions: ClientSessions, descriptors: npt.NDArray[np.int32]
) -> LossyClients:
    assert config.link is not None
    seeds = np.random.SeedSequence(config.seed).spawn(4)
    count = config.players
    queues = []
    for seed in seeds[2:]:
        drawn = np.asarray(seed.generate_state(count, np.uint64), np.uint64)
        queue = link_queue(drawn, IN_FLIGHT_PER_PLAYER * count, DATAGRAM_BYTES)
        for name, value in config.link.link_fields().items():
            queue.links[name] = value
        queues.append(queue)
    return LossyClients(
        state=sessions.state,
        views=new_view(count, count, movement_of(shipped_cards()["battle_royale"])),
        up=queues[UP],
        down=queues[DOWN],
        descriptors=descriptors,
        walkers=new_walkers(count, np.random.default_rng(seeds[0])),
        streams=np.asarray(seeds[1].generate_state(count, np.uint64), np.uint64),
        position_history=shared.position_history,
        position_history_tick=shared.position_history_tick,
        errors=np.zeros(ERROR_BINS, np.int64),
        behind=np.zeros(2),
        scratch=np.zeros((2, DATAGRAM_BYTES), np.uint8),
    )
