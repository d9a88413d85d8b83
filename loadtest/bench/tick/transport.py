"""``transport``: a tick's datagrams through both transports and through the floor, in turns of one run."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import uvloop
from numba import njit

from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol.datagrams import ROW_BYTES
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.transport import Transport, open_transport
from loadtest.bench.harness.floor import Floor
from loadtest.bench.harness.poller import Poller, allow_descriptors
from loadtest.bench.harness.rig import PREPARE_S, SLACK_S, Rig
from loadtest.bench.harness.run_config import HOST
from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.bench.harness.statistics import percentiles, ratio
from loadtest.bench.harness.worker import Send
from loadtest.bots.udp import DATAGRAM_BYTES, open_socket, receive, send

IN_BYTES: Final = 72  # of a client's input
OUT_BYTES: Final = 350  # of a snapshot with everybody in sight
IDLE_S: Final = 0.1  # without any datagram: then all clients send
WARM_UP_TICKS: Final = 60
IDLE_TURNS: Final = 200  # turns of the event loop without a datagram, after which no more are expected


@dataclass(slots=True)
class TurnTimes:
    """What the turns of one transport took.

    ``took_us`` is float64[2, T]: microseconds of receiving and of sending.
    """

    took_us: npt.NDArray[np.float64]
    datagrams_in: int
    datagrams_out: int


def run(clients: int = 100, seconds: float = 8.0) -> dict[str, Any]:
    """Measure with ``clients`` sockets on the other side; return what is printed. Raises BenchError."""
    with Rig(clients) as rig:
        rig.clients.run(prepare_echo)
        rig.clients.receive(bool, PREPARE_S)
        rig.shared.window = Window.CLOSED
        rig.server.run(serve, clients, max(1, round(seconds * TICK_HZ)))
        ports = rig.server.receive(list, PREPARE_S)
        rig.clients.run(play_echo, ports, clients, IN_BYTES)
        turns = rig.server.receive(dict, seconds + SLACK_S, rig.clients)
        rig.clients.receive(int, SLACK_S)
    return describe(clients, seconds, turns)


def describe(clients: int, seconds: float, turns: dict[str, TurnTimes]) -> dict[str, Any]:
    """Return what is printed. ``ratio``: median to median floor."""
    floor_us = float(np.median(turns["floor"].took_us.sum(axis=0)))
    found: dict[str, Any] = {
        "bench": "transport",
        "clients": clients,
        "seconds": seconds,
        "bytes": {"in": IN_BYTES, "out": OUT_BYTES},
    }
    for name, taken in turns.items():
        whole_us = taken.took_us.sum(axis=0)
        found[f"{name}_us"] = percentiles(whole_us, 50, 99) | {
            "in_p50": percentiles(taken.took_us[0], 50)["p50"],
            "out_p50": percentiles(taken.took_us[1], 50)["p50"],
            "ratio": ratio(float(np.median(whole_us)), floor_us),
            "datagrams_in": taken.datagrams_in,
            "datagrams_out": taken.datagrams_out,
        }
    return found


def serve(shared: SharedState, report: Send, clients: int, ticks: int) -> dict[str, TurnTimes]:
    """Take ``ticks`` turns with each transport; ``report`` is called with the ports, the floor's last."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(shared, report, clients, ticks))


async def _serve(shared: SharedState, report: Send, clients: int, ticks: int) -> dict[str, TurnTimes]:
    room = 2 * clients
    mmsg = await open_transport(HOST, 0, "mmsg", capacity=room)
    plain = await open_transport(HOST, 0, "asyncio", capacity=room)
    floor = Floor(HOST, room)
    try:
        report([mmsg.port, plain.port, floor.port])
        rows = {"mmsg": EchoPeers(mmsg, clients), "asyncio": EchoPeers(plain, clients)}
        for one in rows.values():
            await one.learn_addresses()
        floor.set_targets(HOST, shared.floor_port[:clients])
        shared.window = Window.OPEN
        lengths = np.full(clients, OUT_BYTES, np.int32)
        took_us = {name: np.zeros((2, WARM_UP_TICKS + ticks)) for name in ("floor", *rows)}
        datagrams = {name: np.zeros(2, np.int64) for name in took_us}
        turn, begun_s = 0, time.perf_counter()
        for tick in range(WARM_UP_TICKS + ticks):
            for name in took_us:
                turn += 1
                _sleep_until(begun_s + turn / (TICK_HZ * len(took_us)))
                if name == "floor":
                    received, sent, receive_ns, send_ns = floor.turn(lengths)
                else:
                    received, sent, receive_ns, send_ns = await rows[name].turn()
                took_us[name][:, tick] = receive_ns / 1e3, send_ns / 1e3
                if tick >= WARM_UP_TICKS:
                    datagrams[name] += received, sent
    finally:
        shared.window = Window.OVER
        await mmsg.close()
        await plain.close()
        floor.close()
    return {
        name: TurnTimes(took[:, WARM_UP_TICKS:], int(datagrams[name][0]), int(datagrams[name][1]))
        for name, took in took_us.items()
    }


def _sleep_until(due_s: float) -> None:
    """Sleep and block the event loop, which would otherwise read what arrives before its turn."""
    time.sleep(max(due_s - time.perf_counter(), 0.0))


class EchoPeers:
    """A transport, and what it sends in each turn: one datagram to every address that has sent one."""

    def __init__(self, transport: Transport, clients: int) -> None:
        self._transport = transport
        self._traffic = transport.traffic  # read once: the property may be a system call
        self._clients = clients
        self._data = np.zeros((clients, ROW_BYTES), np.uint8)
        self._length = np.full(clients, OUT_BYTES, np.int32)
        self._address = np.zeros((clients, ADDRESS_BYTES), np.uint8)

    async def learn_addresses(self) -> None:
        """Receive until the addresses of all clients are known. Sends nothing."""
        known: list[bytes] = []
        while len(known) < self._clients:
            await asyncio.sleep(0)
            count = self._transport.drain()
            senders = {sender.tobytes() for sender in self._transport.inbox.address[:count]}
            known += sorted(senders.difference(known))
        self._address[:] = np.frombuffer(b"".join(known[: self._clients]), np.uint8).reshape(
            self._clients, -1
        )

    async def turn(self) -> tuple[int, int, int, int]:
        """Receive what all clients sent and send to all of them; return how many of each, and the nanoseconds
        of each.

        A transport that needs the event loop gets as many of its turns as it takes.
        """
        transport = self._transport
        begun_ns = time.perf_counter_ns()
        received, idle = transport.drain(), 0
        while received < self._clients and idle < IDLE_TURNS:
            await asyncio.sleep(0)
            count = transport.drain()
            idle = 0 if count else idle + 1
            received += count
        between_ns = time.perf_counter_ns()
        before, idle = self._traffic.tx_datagrams, 0
        transport.send(self._data, self._length, self._address, self._clients)
        while (sent := self._traffic.tx_datagrams - before) < self._clients and idle < IDLE_TURNS:
            await asyncio.sleep(0)
            idle += 1
        ended_ns = time.perf_counter_ns()
        return received, sent, between_ns - begun_ns, ended_ns - between_ns


@njit(cache=True, nogil=True)
def answer(
    descriptors: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int32],
    buffer: npt.NDArray[np.uint8],
    reply_bytes: int,
) -> int:
    """Read one datagram of each of these rows and answer it; return how many were answered."""
    answered = 0
    for row in rows:
        if receive(descriptors[row], buffer) >= 0 and send(descriptors[row], buffer, reply_bytes) >= 0:
            answered += 1
    return answered


def prepare_echo(_board: SharedState, _send: Send) -> bool:
    """Compile or load the kernel of the clients' process."""
    nothing = np.zeros(0, np.int32)
    answer(nothing, nothing, np.zeros(DATAGRAM_BYTES, np.uint8), 0)
    return True


def play_echo(shared: SharedState, _send: Send, ports: list[int], clients: int, reply_bytes: int) -> int:
    """Answer until the window is over, with ``clients`` sockets to each of the ports; return how many were
    answered.

    The ports of the sockets to the last of ``ports``, the floor's, are written to ``shared``.
    """
    allow_descriptors(clients * len(ports))
    sockets: list[socket.socket] = []
    buffer = np.zeros(DATAGRAM_BYTES, np.uint8)
    answered = 0
    with Poller() as poller:
        try:
            sockets += [open_socket(HOST, port) for port in ports for _ in range(clients)]
            descriptors = np.array([one.fileno() for one in sockets], np.int32)
            poller.watch(descriptors)
            shared.floor_port[:clients] = [one.getsockname()[1] for one in sockets[-clients:]]
            while shared.window != Window.OVER:
                rows = poller.wait(IDLE_S)
                if len(rows):
                    answered += int(answer(descriptors, rows, buffer, reply_bytes))
                elif shared.window == Window.CLOSED:
                    for descriptor in descriptors:
                        send(descriptor, buffer, reply_bytes)
        finally:
            for one in sockets:
                one.close()
    return answered
