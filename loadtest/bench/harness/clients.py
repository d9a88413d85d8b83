"""The clients' process: every player of the match with a socket of its own, decoding and acknowledging for
real.

Beside each client's socket there is a second one to the floor: for every datagram of a client, one of the
same size is sent there. The process sleeps until a datagram arrives or its next step is due, as clients do:
waking it is part of the cost of sending, for the server and for the floor.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, ClientState
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.entities import entity_x, entity_y, load_record
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.replication.priority import HORIZON_M
from loadtest.bench.harness import hostile_traffic, statistics
from loadtest.bench.harness.hostile_traffic import HostileTraffic
from loadtest.bench.harness.movement import move, new_walkers
from loadtest.bench.harness.poller import Poller, StepLoop, allow_descriptors
from loadtest.bench.harness.run_config import HOST, MAP, ClientFigures, RunConfig, ServerReady
from loadtest.bench.harness.shared_state import TICK_TIMES, SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.udp import DATAGRAM_BYTES, UNUSED, open_socket, receive, send
from loadtest.errors import BenchError

STEPS_PER_FRAME: Final = 4  # a quarter of the clients sends in each step: their frames are not synchronised
STEP_HZ: Final = TICK_HZ * STEPS_PER_FRAME
PERIOD_S: Final = 1.0 / TICK_HZ
MAX_READS_PER_STEP: Final = 16  # datagrams read from one socket in a step
IP_UDP_BYTES: Final = 28
STALENESS_BIN_MS: Final = 0.1
STALENESS_BINS: Final = 20_000  # up to two seconds
# (client, entity) pairs a frame whose age is measured: more would make the clients the bottleneck
MAX_WATCHED_PAIRS: Final = 40_000
NEVER: Final = -1.0


class Clients(NamedTuple):
    """Everything about N clients that compiled code needs."""

    state: ClientState
    descriptors: npt.NDArray[np.int32]  # [2 N]: the clients' sockets, then those to the floor; −1: none
    walkers: npt.NDArray[np.void]  # movement.WALKER[N]
    streams: npt.NDArray[np.uint64]  # [N]
    tick_at_s: npt.NDArray[np.float64]  # of SharedState
    ground_truth: npt.NDArray[np.float64]  # of SharedState
    # [N / watch_every, N]: since when the entity is within the horizon
    inside_since_s: npt.NDArray[np.float64]
    staleness: npt.NDArray[np.int64]  # [STALENESS_BINS]
    scratch: npt.NDArray[np.uint8]  # [2, DATAGRAM_BYTES]


@njit(cache=True, nogil=True)
def step(clients: Clients, number: int, now_s: float, half_m: float, watch_every: int, counts: bool) -> None:
    """Let a quarter of the clients measure, move and send.

    Args:
        clients: changed in place.
        number: of the step; it decides which quarter.
        now_s: seconds on the clock that the server writes to SharedState, too.
        half_m: half the side of the square in which the players stay.
        watch_every: the staleness of one client in this many is measured.
        counts: whether the window is open.
    """
    state, out, count = clients.state, clients.scratch[1], len(clients.walkers)
    for client in range(number % STEPS_PER_FRAME, count, STEPS_PER_FRAME):
        if client % watch_every == 0:
            measure_staleness(clients, client, client // watch_every, now_s, counts)
        session = state.sessions[client]
        record = load_record(state.seen[client, session.own_entity])
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
        length = client_transmit(state, client, now_s, move_x, move_y, yaw, buttons, 0.0, out)
        if length > 0:
            send(clients.descriptors[client], out, length)
            if clients.descriptors[count + client] >= 0 and session.state == CLIENT_CONNECTED:
                send(clients.descriptors[count + client], out, length)


@njit(cache=True, nogil=True)
def read(clients: Clients, rows: npt.NDArray[np.int32], now_s: float) -> None:
    """Receive what came for these rows of ``descriptors``; datagrams of the floor are only read."""
    buffer, count = clients.scratch[0], len(clients.walkers)
    for row in rows:
        for _ in range(MAX_READS_PER_STEP):
            length = receive(clients.descriptors[row], buffer)
            if length < 0:
                break
            if row < count:
                client_receive(clients.state, row, buffer, length, now_s)


@njit(cache=True, nogil=True)
def measure_staleness(clients: Clients, client: int, row: int, now_s: float, counts: bool) -> None:
    """Add to the histogram how old the client's knowledge is of each entity that is within the horizon now.

    The age runs from the beginning of the tick of the newest record. For an entity that has just come within
    the horizon it runs from that moment, since no server could have sent it sooner. ``row`` is the client's
    row of ``inside_since_s``.
    """
    truth, since_s = clients.ground_truth, clients.inside_since_s[row]
    own = clients.state.sessions[client].own_entity
    own_x_m, own_y_m = truth[0, own], truth[1, own]
    for entity in range(clients.state.seen.shape[1]):
        east, north = truth[0, entity] - own_x_m, truth[1, entity] - own_y_m
        if east * east + north * north > HORIZON_M * HORIZON_M:
            since_s[entity] = NEVER
            continue
        if since_s[entity] < 0.0:
            since_s[entity] = now_s
        newest_s = since_s[entity]
        tick = clients.state.seen_tick[client, entity]
        if tick > 0:
            newest_s = max(newest_s, clients.tick_at_s[tick % TICK_TIMES])
        if counts:
            age_ms = max(now_s - newest_s, 0.0) * 1e3
            clients.staleness[min(int(age_ms / STALENESS_BIN_MS), STALENESS_BINS - 1)] += 1


def play(shared: SharedState, _send: Send, config: RunConfig, opened: ServerReady) -> ClientFigures:
    """Connect all clients and play until the window is over. Raises BenchError where it never opens."""
    allow_descriptors(2 * config.players)
    sessions = ClientSessions(config.players, config.players)
    ports = [sessions.address_of(sessions.add(token))[1] for token in opened.tokens]
    if opened.floor_port:
        ports += config.players * [opened.floor_port]
    descriptors = np.full(2 * config.players, UNUSED, np.int32)
    with ExitStack() as sockets, Poller() as poller:
        for row, port in enumerate(ports):
            opened_socket = sockets.enter_context(open_socket(HOST, port))
            descriptors[row] = opened_socket.fileno()
            if row >= config.players:
                shared.floor_port[row - config.players] = opened_socket.getsockname()[1]
        poller.watch(descriptors)
        hostile = None
        if config.hostile_per_s:
            mine = descriptors[: config.players]
            hostile = sockets.enter_context(
                HostileTraffic(sessions.state, mine, ports[0], config.hostile_per_s, config.seed)
            )
        return _run_steps(config, shared, sessions, descriptors, poller, hostile)


def prepare(shared: SharedState, _send: Send) -> bool:
    """Compile or load the kernels."""
    nobody = np.full(4, UNUSED, np.int32)
    clients, _ = _new_clients(RunConfig(2, MAP, 0.0), shared, ClientSessions(2, 2), nobody)
    step(clients, 0, 0.0, 1.0, 1, False)
    read(clients, np.zeros(0, np.int32), 0.0)
    hostile_traffic.load_kernels(clients.state)
    return True


def _run_steps(
    config: RunConfig,
    shared: SharedState,
    sessions: ClientSessions,
    descriptors: npt.NDArray[np.int32],
    poller: Poller,
    hostile: HostileTraffic | None,
) -> ClientFigures:
    clients, watch_every = _new_clients(config, shared, sessions, descriptors)
    table = sessions.sessions
    half_m = config.layout.half_m
    late_ns: list[int] = []
    # Bytes so far of every client, each second since the window opened
    totals: list[npt.NDArray[np.int64]] = []
    begun_s = opened_s = next_s = busy_before_s = joined_s = 0.0
    snapshots_before = 0
    steps = StepLoop(shared, poller, STEP_HZ, STEPS_PER_FRAME, partial(read, clients))
    try:
        for number, now_s, late, window in steps:
            begun_s = begun_s or now_s
            if not joined_s and np.all(table["state"] == CLIENT_CONNECTED):
                joined_s = now_s - begun_s
            if window == Window.OPEN:
                late_ns.append(late)
                if not totals:
                    opened_s = next_s = now_s
                    busy_before_s = time.thread_time()
                    snapshots_before = int(table["snapshots"].sum())
                if now_s >= next_s:
                    totals.append(_wire_bytes(table))
                    next_s += 1.0
            step(clients, number, now_s, half_m, watch_every, window == Window.OPEN)
            if hostile is not None and not hostile.ready:
                hostile.capture(now_s)
            elif hostile is not None and shared.disturbed:
                hostile.step(1.0 / STEP_HZ, now_s, number % STEPS_PER_FRAME == 0)
    except BenchError as error:
        raise BenchError(f"{error}: {_connected(sessions)}") from None
    busy_s = time.thread_time() - busy_before_s
    lasted_s = time.perf_counter() - opened_s
    kbit = (_wire_bytes(table) - totals[0]) / 125.0 / lasted_s
    in_a_second = np.diff(np.array(totals), axis=0) / 125.0
    return ClientFigures(
        kbit=kbit.tolist(),
        kbit_peak=round(float(max(in_a_second.max(initial=0.0), kbit.max())), 1),
        staleness_ms=statistics.histogram_percentiles(clients.staleness, STALENESS_BIN_MS, 50, 99, 100),
        late_us=statistics.percentiles(np.array(late_ns) / 1e3, 50, 99),
        missed_steps=steps.missed,
        load=round(busy_s / lasted_s, 3),
        connected=int(np.count_nonzero(table["state"] == CLIENT_CONNECTED)),
        snapshots=int(table["snapshots"].sum()) - snapshots_before,
        joined_s=round(joined_s, 2),
        skipped_share=statistics.ratio(steps.missed, steps.missed + len(late_ns)),
        dropped={name: count for name, count in sessions.drops_by_reason().items() if count},
        hostile_sent=0 if hostile is None else hostile.sent,
    )


def _new_clients(
    config: RunConfig, shared: SharedState, sessions: ClientSessions, descriptors: npt.NDArray[np.int32]
) -> tuple[Clients, int]:
    seeds = np.random.SeedSequence(config.seed).spawn(2)
    watch_every = max(1, config.players * config.players // MAX_WATCHED_PAIRS)
    clients = Clients(
        state=sessions.state,
        descriptors=descriptors,
        walkers=new_walkers(config.players, np.random.default_rng(seeds[0])),
        streams=np.asarray(seeds[1].generate_state(config.players, np.uint64), np.uint64),
        tick_at_s=shared.tick_at_s,
        ground_truth=shared.ground_truth,
        inside_since_s=np.full((config.players // watch_every + 1, config.players), NEVER),
        staleness=np.zeros(STALENESS_BINS, np.int64),
        scratch=np.zeros((2, DATAGRAM_BYTES), np.uint8),
    )
    return clients, watch_every


def _wire_bytes(table: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    total: npt.NDArray[np.int64] = table["received_bytes"] + IP_UDP_BYTES * table["received_datagrams"]
    return total


def _connected(sessions: ClientSessions) -> str:
    states: Sequence[int] = sessions.sessions["state"].tolist()
    connected = sum(state == CLIENT_CONNECTED for state in states)
    return f"{connected} of {len(states)} clients are connected; dropped: {sessions.drops_by_reason()}"
