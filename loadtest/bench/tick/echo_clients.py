"""The clients of the transport benchmark: whatever a socket receives, it answers with a datagram of one size."""

from __future__ import annotations

import socket
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from loadtest.bench.harness.poller import Poller, allow_descriptors
from loadtest.bench.harness.run_config import HOST
from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.udp import open_socket, receive, send

DATAGRAM_BYTES: Final = 1_232
IDLE_S: Final = 0.1  # without anything: then all speak up


@njit(cache=True, nogil=True)
def answer(
    descriptors: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int32],
    buffer: npt.NDArray[np.uint8],
    reply_bytes: int,
) -> int:
    """Read one datagram of each of these rows, and answer it; how many were answered."""
    answered = 0
    for row in rows:
        if receive(descriptors[row], buffer) >= 0 and send(descriptors[row], buffer, reply_bytes) >= 0:
            answered += 1
    return answered


def prepare(_board: SharedState, _tell: Send) -> bool:
    """Compile or load the kernel."""
    nothing = np.zeros(0, np.int32)
    answer(nothing, nothing, np.zeros(DATAGRAM_BYTES, np.uint8), 0)
    return True


def play(board: SharedState, _tell: Send, ports: list[int], clients: int, reply_bytes: int) -> int:
    """Answer until the window is over, with ``clients`` sockets to each of the ports; how many were answered.

    Those to the last port are on the notice board.
    """
    allow_descriptors(clients * len(ports))
    sockets: list[socket.socket] = []
    buffer = np.zeros(DATAGRAM_BYTES, np.uint8)
    answered = 0
    with Poller() as doorbell:
        try:
            sockets += [open_socket(HOST, port) for port in ports for _ in range(clients)]
            descriptors = np.array([one.fileno() for one in sockets], np.int32)
            doorbell.watch(descriptors)
            board.floor_port[:clients] = [one.getsockname()[1] for one in sockets[-clients:]]
            while board.window != Window.OVER:
                rows = doorbell.wait(IDLE_S)
                if len(rows):
                    answered += int(answer(descriptors, rows, buffer, reply_bytes))
                elif board.window == Window.CLOSED:
                    for descriptor in descriptors:
                        send(descriptor, buffer, reply_bytes)
        finally:
            for one in sockets:
                one.close()
    return answered
