"""A million datagrams that nobody should send, in the middle of a match that must not notice."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import psutil

from dedicated_server.native.mmsg import sockaddr
from dedicated_server.protocol import fields
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.protocol.hostile import HostileDatagrams
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from tests.dedicated_server.tick.swarm import FLEET_KEY, START_S, config, token_for

PLAYERS = 8
HOSTILE = 1_000  # a tick: 60,000 a second
FIRST_PORT = 40_000


class OpenPort(MemoryTransport):
    """Takes whole batches in, ahead of what is delivered one by one."""

    def besiege(
        self, data: npt.NDArray[np.uint8], length: npt.NDArray[np.int32], sender: npt.NDArray[np.uint8]
    ) -> None:
        assert self._filled == 0
        count = len(length)
        self.inbox.data[:count] = data
        self.inbox.length[:count] = length
        self.inbox.address[:count] = sender
        self._filled = count
        self.traffic.rx_datagrams += count


class Match:
    """Honest clients that run in circles and shoot, on a perfect line."""

    def __init__(self) -> None:
        self.transport = OpenPort(capacity=HOSTILE + PLAYERS)
        self.engine = Engine(
            config(PLAYERS, match_s=600.0, spawn_radius_m=30.0),
            FLEET_KEY,
            self.transport,
            clock_ns=lambda: 0,
            secret=bytes(SECRET_BYTES),
        )
        self.clients = ClientSessions(PLAYERS, PLAYERS)
        self.real: list[bytes] = []
        self.now_s = START_S
        self._out = np.zeros(1_216, np.uint8)
        for entity in range(PLAYERS):
            self.clients.add(token_for(self.engine, entity))

    def play(self, ticks: int, siege: HostileDatagrams | None = None) -> None:
        senders = np.stack([sockaddr("198.51.100.1", FIRST_PORT + number) for number in range(2 * PLAYERS)])
        random = np.random.default_rng(77)
        for _ in range(ticks):
            self.now_s += 1 / 60
            if siege is not None:
                data, length = siege.batch(HOSTILE)
                self.transport.besiege(data, length, senders[random.integers(0, len(senders), HOSTILE)])
            for client in range(PLAYERS):
                self._send(client)
            self.engine.tick(self.now_s)
            self.engine.drain_events()
            self._hear()

    def _send(self, client: int) -> None:
        turn = (self.engine.tick_number // 30 + client) % 4
        move = ((127, 0), (0, 127), (-127, 0), (0, -127))[turn]
        yaw = self.engine.tick_number * 900 + client * 8_000 & 65_535
        length = client_transmit(
            self.clients.state, client, self.now_s, *move, yaw, fields.BUTTON_FIRE, 0.0, self._out
        )
        if length:
            self.real.append(self._out[:length].tobytes())
            del self.real[:-2_000]
            self.transport.deliver(self.real[-1], ("198.51.100.1", FIRST_PORT + client))

    def _hear(self) -> None:
        room = np.zeros(1_216, np.uint8)
        for datagram, (_, port) in self.transport.sent:
            if port < FIRST_PORT + PLAYERS:
                room[: len(datagram)] = np.frombuffer(datagram, np.uint8)
                client_receive(self.clients.state, port - FIRST_PORT, room, len(datagram), self.now_s)
        self.transport.sent.clear()

    def world(self) -> list[bytes]:
        world = self.engine.match.world
        return [
            array.tobytes() for array in (world.body, world.status, world.position_history, world.counters)
        ]


def test_a_million_hostile_datagrams_leave_a_match_as_it_would_have_been_in_peace() -> None:
    peace, fire = Match(), Match()
    for match in (peace, fire):
        match.play(60)
    siege = HostileDatagrams(np.random.default_rng(3), list(fire.real))
    process = psutil.Process()
    fire.play(200, siege)
    before_bytes, begun_s = process.memory_info().rss, time.perf_counter()
    fire.play(800, siege)
    took_s = time.perf_counter() - begun_s
    grown_mb = (process.memory_info().rss - before_bytes) / 1e6
    peace.play(1_000)

    dropped = fire.engine.wire.drops_by_reason()
    bad = sum(dropped.values()) + fire.engine.wire.counters_by_name()["challenges"]
    print(
        {
            "datagrams": 1_000_000,
            "seconds_for_800,000": round(took_s, 1),
            "grown_mb": round(grown_mb, 1),
            **dropped,
        }
    )
    assert bad >= 1_000_000
    assert grown_mb < 4.0
    assert fire.world() == peace.world()
    assert (fire.engine.wire.status == CONNECTED).all()
    assert fire.clients.sessions["snapshot_tick"].tolist() == [fire.engine.tick_number] * PLAYERS
    assert fire.clients.state.seen.tobytes() == peace.clients.state.seen.tobytes()
    for reason in (
        "length",
        "kind",
        "unknown_connection",
        "too_old",
        "replayed",
        "forged",
        "version",
        "token_forged",
    ):
        assert dropped[reason] > 0, reason


def test_a_million_are_made_and_taken_in_in_seconds() -> None:
    match = Match()
    match.play(60)
    siege = HostileDatagrams(np.random.default_rng(4), list(match.real))
    batches = [siege.batch(HOSTILE) for _ in range(20)]
    sender = np.tile(sockaddr("198.51.100.1", FIRST_PORT), (HOSTILE, 1))
    wire, begun_s = match.engine.wire, time.perf_counter()
    for number in range(1_000):
        data, lengths = batches[number % 20]
        wire.open_batch(data, lengths, sender, HOSTILE, match.now_s, match.engine.tick_number)
    took_s = time.perf_counter() - begun_s
    print({"datagrams_per_s": round(1_000_000 / took_s), "seconds": round(took_s, 3)})
    assert took_s < 20.0
    assert (wire.status == CONNECTED).all()
