"""The clients' process: every player of the match, each with a socket of its own, really decoding and acknowledging.

Beside each goes a second socket to the floor: for every datagram of a client one of the same size is sent there. The process sleeps
until a datagram or its next step is due, as clients do: waking it is part of what sending costs, for the server and for the floor.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, ClientState
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.fields import entity_x, entity_y
from dedicated_server.replication.priority import HORIZON_M
from loadtest.bench.errors import BenchError
from loadtest.bench.harness import hostile_traffic, statistics
from loadtest.bench.harness.hostile_traffic import HostileTraffic
from loadtest.bench.harness.layout import MAP
from loadtest.bench.harness.movement import move, new_walkers
from loadtest.bench.harness.poller import Poller, allow_descriptors
from loadtest.bench.harness.run_config import HOST, JOIN_S, ClientFigures, RunConfig, ServerReady
from loadtest.bench.harness.shared_state import TICK_TIMES, SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.udp import UNUSED, open_socket, receive, send

FRAME_HZ: Final = 60
STEPS_PER_FRAME: Final = (
    4  # a quarter of the clients speaks in each step: players' frames are not in step with each other
)
STEP_HZ: Final = FRAME_HZ * STEPS_PER_FRAME
PERIOD_S: Final = 1.0 / FRAME_HZ
MAX_READS_PER_STEP: Final = 16  # datagrams read from one socket in a step
DATAGRAM_BYTES: Final = 1_232
IP_UDP_BYTES: Final = 28
STALENESS_BIN_MS: Final = 0.1
STALENESS_BINS: Final = 20_000  # up to two seconds
MAX_WATCHED_PAIRS: Final = (
    40_000  # (client, entity) per frame whose age is taken: more would make the crowd the bottleneck
)
NEVER: Final = -1.0


class Clients(NamedTuple):
    """Everything about N clients that compiled code needs."""

    state: ClientState
    descriptors: npt.NDArray[np.int32]  # [2 N]: the clients' sockets, then those to the floor, −1: none
    walkers: npt.NDArray[np.void]  # walk.WALKER[N]
    streams: npt.NDArray[np.uint64]  # [N]
    tick_at_s: npt.NDArray[np.float64]  # the notice board's
    ground_truth: npt.NDArray[np.float64]  # likewise
    inside_since_s: npt.NDArray[np.float64]  # [N / watch_every, N]: when the entity came within the horizon
    staleness: npt.NDArray[np.int64]  # [STALENESS_BINS]
    scratch: npt.NDArray[np.uint8]  # [2, DATAGRAM_BYTES]


@njit(cache=True, nogil=True)
def step(crowd: Clients, number: int, now_s: float, half_m: float, watch_every: int, counts: bool) -> None:
    """Let a quarter of the clients look, move and speak."""
    clients, out, count = crowd.state, crowd.scratch[1], len(crowd.walkers)
    for client in range(number % STEPS_PER_FRAME, count, STEPS_PER_FRAME):
        if client % watch_every == 0:
            measure_staleness(crowd, client, client // watch_every, now_s, counts)
        session = clients.sessions[client]
        record = clients.seen[client, session.own_entity]
        move_x, move_y, yaw, buttons = move(
            crowd.walkers, crowd.streams, client, entity_x(record), entity_y(record), half_m, now_s, PERIOD_S
        )
        length = client_transmit(clients, client, now_s, move_x, move_y, yaw, buttons, 0, out)
        if length > 0:
            send(crowd.descriptors[client], out, length)
            if crowd.descriptors[count + client] >= 0 and session.state == CLIENT_CONNECTED:
                send(crowd.descriptors[count + client], out, length)


@njit(cache=True, nogil=True)
def read(crowd: Clients, rows: npt.NDArray[np.int32], now_s: float) -> None:
    """Take in what came for these rows of ``descriptors``; what came from the floor is read, and no more."""
    buffer, count = crowd.scratch[0], len(crowd.walkers)
    for row in rows:
        for _ in range(MAX_READS_PER_STEP):
            length = receive(crowd.descriptors[row], buffer)
            if length < 0:
                break
            if row < count:
                client_receive(crowd.state, row, buffer, length, now_s)


@njit(cache=True, nogil=True)
def measure_staleness(crowd: Clients, client: int, row: int, now_s: float, counts: bool) -> None:
    """Add the age of what ``client`` knows of each entity that truly is within the horizon now to the histogram.

    Age runs from the beginning of the tick that the newest record tells of. Of who has just come within the horizon, it runs from
    then: nobody could have told sooner.
    """
    truth, since_s = crowd.ground_truth, crowd.inside_since_s[row]
    own = crowd.state.sessions[client].own_entity
    own_x_m, own_y_m = truth[0, own], truth[1, own]
    for entity in range(crowd.state.seen.shape[1]):
        east, north = truth[0, entity] - own_x_m, truth[1, entity] - own_y_m
        if east * east + north * north > HORIZON_M * HORIZON_M:
            since_s[entity] = NEVER
            continue
        if since_s[entity] < 0.0:
            since_s[entity] = now_s
        newest_s = since_s[entity]
        tick = crowd.state.seen_tick[client, entity]
        if tick > 0:
            newest_s = max(newest_s, crowd.tick_at_s[tick % TICK_TIMES])
        if counts:
            age_ms = max(now_s - newest_s, 0.0) * 1e3
            crowd.staleness[min(int(age_ms / STALENESS_BIN_MS), STALENESS_BINS - 1)] += 1


def play(board: SharedState, _tell: Send, plan: RunConfig, opened: ServerReady) -> ClientFigures:
    """Connect everybody, and play until the window is over. Raises BenchError where it never opens."""
    allow_descriptors(2 * plan.players)
    sessions = ClientSessions(plan.players, plan.players)
    ports = [sessions.address_of(sessions.add(token))[1] for token in opened.tokens]
    if opened.floor_port:
        ports += plan.players * [opened.floor_port]
    descriptors = np.full(2 * plan.players, UNUSED, np.int32)
    with ExitStack() as sockets, Poller() as doorbell:
        for row, port in enumerate(ports):
            opened_socket = sockets.enter_context(open_socket(HOST, port))
            descriptors[row] = opened_socket.fileno()
            if row >= plan.players:
                board.floor_port[row - plan.players] = opened_socket.getsockname()[1]
        doorbell.watch(descriptors)
        guns = None
        if plan.hostile_per_s:
            mine = descriptors[: plan.players]
            guns = sockets.enter_context(
                HostileTraffic(sessions.state, mine, ports[0], plan.hostile_per_s, plan.seed)
            )
        return _run_steps(plan, board, sessions, descriptors, doorbell, guns)


def prepare(board: SharedState, _tell: Send) -> bool:
    """Compile or load both kernels."""
    nobody = np.full(4, UNUSED, np.int32)
    crowd, _ = _new_clients(RunConfig(2, MAP, 0.0), board, ClientSessions(2, 2), nobody)
    step(crowd, 0, 0.0, 1.0, 1, False)
    read(crowd, np.zeros(0, np.int32), 0.0)
    hostile_traffic.load_kernels(crowd.state)
    return True


def _run_steps(
    plan: RunConfig,
    board: SharedState,
    sessions: ClientSessions,
    descriptors: npt.NDArray[np.int32],
    doorbell: Poller,
    guns: HostileTraffic | None,
) -> ClientFigures:
    crowd, watch_every = _new_clients(plan, board, sessions, descriptors)
    table = sessions.sessions
    half_m = plan.layout.half_m
    late_ns: list[int] = []
    seconds: list[
        npt.NDArray[np.int64]
    ] = []  # bytes so far of every client, each second from when the window opened
    opened_s = next_s = busy_before_s = 0.0
    snapshots_before = missed = 0
    start_ns = time.perf_counter_ns()
    number = 0
    while True:
        number += 1
        due_ns = start_ns + number * 1_000_000_000 // STEP_HZ
        now_ns = time.perf_counter_ns()
        while True:
            rows = doorbell.wait((due_ns - now_ns) / 1e9)
            now_ns = time.perf_counter_ns()
            read(crowd, rows, now_ns / 1e9)
            if now_ns >= due_ns:
                break
        now_s = now_ns / 1e9
        window = board.window
        if window == Window.OVER:
            break
        if window == Window.OPEN:
            late_ns.append(now_ns - due_ns)
            if not seconds:
                opened_s = next_s = now_s
                busy_before_s = time.thread_time()
                snapshots_before = int(table["snapshots"].sum())
            if now_s >= next_s:
                seconds.append(_wire_bytes(table))
                next_s += 1.0
        elif now_ns - start_ns > (JOIN_S + 10.0) * 1e9:
            raise BenchError(_missing_clients(sessions))
        step(crowd, number, now_s, half_m, watch_every, window == Window.OPEN)
        if guns is not None and not guns.ready:
            guns.capture(now_s)
        elif guns is not None and board.disturbed:
            guns.step(1.0 / STEP_HZ, now_s, number % STEPS_PER_FRAME == 0)
        behind = (time.perf_counter_ns() - start_ns) * STEP_HZ // 1_000_000_000 - number
        if (
            behind > STEPS_PER_FRAME
        ):  # let go what cannot be made up, in whole frames, so that everyone keeps their turn
            number += behind - behind % STEPS_PER_FRAME
            missed += behind - behind % STEPS_PER_FRAME if window == Window.OPEN else 0
    busy_s = time.thread_time() - busy_before_s
    lasted_s = time.perf_counter() - opened_s
    kbit = (_wire_bytes(table) - seconds[0]) / 125.0 / lasted_s
    in_a_second = np.diff(np.array(seconds), axis=0) / 125.0
    return ClientFigures(
        kbit=kbit.tolist(),
        kbit_peak=round(float(max(in_a_second.max(initial=0.0), kbit.max())), 1),
        staleness_ms=statistics.histogram_percentiles(crowd.staleness, STALENESS_BIN_MS, 50, 99, 100),
        late_us=statistics.percentiles(np.array(late_ns) / 1e3, 50, 99),
        missed_steps=missed,
        load=round(busy_s / lasted_s, 3),
        connected=int(np.count_nonzero(table["state"] == CLIENT_CONNECTED)),
        snapshots=int(table["snapshots"].sum()) - snapshots_before,
        dropped={name: count for name, count in sessions.drops_by_reason().items() if count},
        hostile_sent=0 if guns is None else guns.sent,
    )


def _new_clients(
    plan: RunConfig, board: SharedState, sessions: ClientSessions, descriptors: npt.NDArray[np.int32]
) -> tuple[Clients, int]:
    seeds = np.random.SeedSequence(plan.seed).spawn(2)
    watch_every = max(1, plan.players * plan.players // MAX_WATCHED_PAIRS)
    crowd = Clients(
        state=sessions.state,
        descriptors=descriptors,
        walkers=new_walkers(plan.players, np.random.default_rng(seeds[0])),
        streams=np.asarray(seeds[1].generate_state(plan.players, np.uint64), np.uint64),
        tick_at_s=board.tick_at_s,
        ground_truth=board.ground_truth,
        inside_since_s=np.full((plan.players // watch_every + 1, plan.players), NEVER),
        staleness=np.zeros(STALENESS_BINS, np.int64),
        scratch=np.zeros((2, DATAGRAM_BYTES), np.uint8),
    )
    return crowd, watch_every


def _wire_bytes(table: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    total: npt.NDArray[np.int64] = table["received_bytes"] + IP_UDP_BYTES * table["received_datagrams"]
    return total


def _missing_clients(sessions: ClientSessions) -> str:
    states: Sequence[int] = sessions.sessions["state"].tolist()
    connected = sum(state == CLIENT_CONNECTED for state in states)
    return f"only {connected} of {len(states)} clients are connected; dropped: {sessions.drops_by_reason()}"
