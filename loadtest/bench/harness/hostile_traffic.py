"""Hostile traffic: what a server meets on an open port, sent from the clients' process in disturbed blocks.

Unknown sockets, and those of a few hijacked clients, send malformed and forged datagrams
(`protocol.hostile`). A few more clients hold valid sessions and cheat in every frame: they send many times
the inputs that time allows, all running and shooting at what they claim to have seen long ago, and they
acknowledge snapshots of the future.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.protocol.client.state import CLIENT_CONNECTED, ClientState
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.datagrams import ROW_BYTES
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.protocol.hostile import HostileDatagrams
from loadtest.bench.harness.run_config import HOST
from loadtest.bots.udp import open_socket, send

UNKNOWN_SOCKETS: Final = 4  # sockets that belong to no client
HIJACKED_CLIENTS: Final = 4  # clients whose addresses send hostile datagrams, too
CHEATING_CLIENTS: Final = 4  # the clients after those
EXTRA_INPUTS: Final = 4  # of a cheating client in every frame
CAPTURED_DATAGRAMS: Final = 512  # real datagrams that the server has received from hijacked clients
HOSTILE_POOL: Final = 50_000  # hostile datagrams, sent again and again
FULL_SPEED: Final = 127
LONG_AGO_TICK: Final = 1.0
FUTURE_TICKS: Final = 1_000


@njit(cache=True, nogil=True)
def send_rows(
    descriptors: npt.NDArray[np.int32],
    data: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int32],
    first: int,
    count: int,
) -> int:
    """Send ``count`` rows from row ``first`` on, round the table and the sockets; return how many the system
    took.

    ``descriptors`` is int32[S], ``data`` uint8[N, ROW_BYTES], ``lengths`` int32[N].
    """
    sent = 0
    for number in range(first, first + count):
        row = number % len(lengths)
        sent += send(descriptors[number % len(descriptors)], data[row], lengths[row]) >= 0
    return sent


@njit(cache=True, nogil=True)
def send_cheating_inputs(
    clients: ClientState, client: int, descriptor: int, now_s: float, out: npt.NDArray[np.uint8]
) -> int:
    """Send what a cheating client sends in a frame beside its honest datagram; return the number of
    datagrams.

    ``out`` is uint8[ROW_BYTES], overwritten.
    """
    session = clients.sessions[client]
    if session.state != CLIENT_CONNECTED:
        return 0
    for _ in range(EXTRA_INPUTS):
        length = client_transmit(clients, client, now_s, FULL_SPEED, 0, 0, BUTTON_FIRE, LONG_AGO_TICK, out)
        send(descriptor, out, length)
    seen = session.snapshot_tick
    session.snapshot_tick = seen + FUTURE_TICKS
    length = client_transmit(clients, client, now_s, FULL_SPEED, 0, 0, BUTTON_FIRE, LONG_AGO_TICK, out)
    session.snapshot_tick = seen
    send(descriptor, out, length)
    return EXTRA_INPUTS + 1


class HostileTraffic:
    """A source of hostile datagrams at the port of the server. A context manager: it has sockets of its own.

    Args:
        clients: all sessions of the run.
        descriptors: int32[N], the clients' sockets, at least HIJACKED_CLIENTS + CHEATING_CLIENTS of them.
        port: of the server.
        hostile_per_s: datagrams a second.
        seed: of the datagrams.
    """

    def __init__(
        self,
        clients: ClientState,
        descriptors: npt.NDArray[np.int32],
        port: int,
        hostile_per_s: int,
        seed: int,
    ) -> None:
        self._clients = clients
        self._descriptors = descriptors
        self._per_s = hostile_per_s
        self._seed = seed
        self._out = np.zeros(ROW_BYTES, np.uint8)
        self._real: list[bytes] = []
        self._data = np.zeros((0, ROW_BYTES), np.uint8)
        self._lengths = np.zeros(0, np.int32)
        self._owed = 0.0
        self._number = 0
        self._stack = ExitStack()
        strangers = [
            self._stack.enter_context(open_socket(HOST, port)).fileno() for _ in range(UNKNOWN_SOCKETS)
        ]
        self._from = np.array([*strangers, *descriptors[:HIJACKED_CLIENTS]], np.int32)
        self.sent = 0

    def __enter__(self) -> HostileTraffic:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def ready(self) -> bool:
        """Whether enough real datagrams were captured, so that there are hostile ones to send."""
        return len(self._lengths) > 0

    def capture(self, now_s: float) -> None:
        """Send and keep real datagrams of the hijacked clients; once there are enough, make the hostile ones
        of them.
        """
        for client in range(HIJACKED_CLIENTS):
            if self._clients.sessions[client]["state"] == CLIENT_CONNECTED:
                length = client_transmit(self._clients, client, now_s, 0, 0, 0, 0, 0.0, self._out)
                send(self._descriptors[client], self._out, length)
                self._real.append(self._out[:length].tobytes())
        if len(self._real) >= CAPTURED_DATAGRAMS:
            supply = HostileDatagrams(np.random.default_rng(self._seed), self._real)
            self._data, self._lengths = supply.batch(HOSTILE_POOL)

    def step(self, period_s: float, now_s: float, new_frame: bool) -> None:
        """Send the hostile datagrams of a step of ``period_s`` seconds; cheating clients act once a frame."""
        self._owed += self._per_s * period_s
        count = int(self._owed)
        self._owed -= count
        self.sent += int(send_rows(self._from, self._data, self._lengths, self._number, count))
        self._number = (self._number + count) % len(self._lengths)
        if new_frame:
            for client in range(HIJACKED_CLIENTS, HIJACKED_CLIENTS + CHEATING_CLIENTS):
                self.sent += int(
                    send_cheating_inputs(self._clients, client, self._descriptors[client], now_s, self._out)
                )


def load_kernels(clients: ClientState) -> None:
    """Compile or load the kernels."""
    nothing = np.zeros(0, np.int32)
    out = np.zeros(ROW_BYTES, np.uint8)
    send_rows(nothing, np.zeros((0, ROW_BYTES), np.uint8), nothing, 0, 0)
    send_cheating_inputs(clients, 0, -1, 0.0, out)
