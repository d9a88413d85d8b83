"""Siege: what a tick costs while an open port is fired at, as a ratio to the quiet tick of the same run.

One process, real sockets, no clock to keep: in each round all clients send, in rounds under fire attackers have sent before them,
and then the server's tick is timed. Quiet blocks and blocks under fire take turns, so the machine's moods fall on both alike.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.engine import STAGES, Engine
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.client import ClientSessions, client_receive, client_transmit
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.protocol.hostile import HostileDatagrams
from dedicated_server.protocol.server_wire import sockaddr
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.stopwatch import Stopwatch
from dedicated_server.transport import DEFAULT_CAPACITY, Transport, open_transport

HOST = "127.0.0.1"
FLEET_KEY = bytes(range(32))
START_S = 1_800_000_000.0
TICK_HZ = 60
BLOCK_TICKS = 30
JOIN_TICKS = 120
STRANGERS = 4  # sockets of attackers without a slot; as many clients have been taken over
CLIENT_CAPACITY = 32  # datagrams that a client takes in at once
KEPT = 4_096  # sent datagrams, to be used against the server later
FIRE_BATCHES = 32


@dataclass(frozen=True)
class SiegeFigures:
    """Ticks in microseconds, and how those under fire compare."""

    players: int
    bad_per_s: int  # sent; what the socket's buffer had no room for is in ``refused_by_kernel``
    ticks: int  # of each kind
    quiet_us: dict[str, float]
    hostile_us: dict[str, float]
    ratio: dict[str, float]  # under fire over quiet: of the medians, of the 99th percentiles
    quiet_stages_us: dict[str, float]  # medians
    hostile_stages_us: dict[str, float]
    refused_by_kernel: int
    dropped: dict[str, int]
    players_lost: int


async def besiege(
    players: int = 100,
    bad_per_s: int = 50_000,
    seconds: float = 10.0,
    spawn_radius_m: float = 60.0,
    seed: int = 1,
) -> SiegeFigures:
    """Time ``seconds`` worth of ticks of each kind, with all ``players`` within sight of each other unless the radius is larger."""
    bad = round(bad_per_s / TICK_HZ)
    async with _open_rig(players, spawn_radius_m, seed) as rig:
        rig.play(JOIN_TICKS)
        fire = rig.load(bad)
        quiet, hostile = (Stopwatch(STAGES, time.perf_counter_ns) for _ in range(2))
        blocks = max(round(seconds * TICK_HZ / BLOCK_TICKS), 1)
        with _no_collections():
            for _ in range(blocks):
                rig.engine.stopwatch = quiet
                rig.play(BLOCK_TICKS)
                rig.engine.stopwatch = hostile
                rig.play(BLOCK_TICKS, fire)
        quiet_us, hostile_us = quiet.tick_us(), hostile.tick_us()
        return SiegeFigures(
            players=players,
            bad_per_s=bad * TICK_HZ,
            ticks=blocks * BLOCK_TICKS,
            quiet_us=quiet_us,
            hostile_us=hostile_us,
            ratio={point: round(hostile_us[point] / quiet_us[point], 3) for point in ("p50", "p99")},
            quiet_stages_us=quiet.stages_us(),
            hostile_stages_us=hostile.stages_us(),
            refused_by_kernel=rig.server.traffic.rx_dropped,
            dropped={reason: count for reason, count in rig.engine.wire.drops_by_reason().items() if count},
            players_lost=int(np.count_nonzero(rig.engine.wire.status != CONNECTED)),
        )


Fire = list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]]


class _Rig:
    """A server, its clients and its attackers."""

    def __init__(
        self,
        server: Transport,
        clients: list[Transport],
        strangers: list[Transport],
        radius_m: float,
        seed: int,
    ) -> None:
        roster = [
            RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(len(clients))
        ]
        config = MatchConfig(
            UUID(int=seed), "battle_royale", seed, match_s=3_600.0, players=roster, spawn_radius_m=radius_m
        )
        self.server = server
        self.engine = Engine(config, FLEET_KEY, server)
        self._lines = clients
        self._attackers = strangers + clients[:STRANGERS]
        self._clients = ClientSessions(len(clients), len(clients))
        self._random = np.random.default_rng(seed)
        self._now_s = START_S
        self._sent: list[bytes] = []
        self._target = np.tile(sockaddr(server.host, server.port), (DEFAULT_CAPACITY, 1))
        self._out = np.zeros((1, DEFAULT_CAPACITY + 200), np.uint8)
        self._length = np.zeros(1, np.int32)
        self._turn = 0
        for player in roster:
            self._clients.add(_token(config, player, server))

    def load(self, bad: int) -> Fire:
        """Batches of ``bad`` datagrams, from what clients have sent so far."""
        supply = HostileDatagrams(self._random, self._sent)
        return [supply.batch(bad) for _ in range(FIRE_BATCHES)]

    def play(self, ticks: int, fire: Fire | None = None) -> None:
        """So many rounds."""
        for _ in range(ticks):
            self._now_s += 1 / TICK_HZ
            self._turn += 1
            if fire:
                self._fire(*fire[self._turn % len(fire)])
            for client in range(len(self._lines)):
                self._speak(client)
            self.engine.tick(self._now_s)
            self.engine.drain_events()
            for client in range(len(self._lines)):
                self._listen(client)

    def _fire(self, data: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int32]) -> None:
        share = -(-len(lengths) // len(self._attackers))
        for number, attacker in enumerate(self._attackers):
            rows = slice(number * share, (number + 1) * share)
            attacker.send(data[rows], lengths[rows], self._target, len(lengths[rows]))

    def _speak(self, client: int) -> None:
        heading = (self._turn / 90 + client) % 6.28
        move = round(127 * np.cos(heading)), round(127 * np.sin(heading))
        yaw = self._turn * 300 & 65_535
        self._length[0] = client_transmit(
            self._clients.state, client, self._now_s, *move, yaw, 0, 0, self._out[0]
        )
        self._lines[client].send(self._out, self._length, self._target, 1)
        if self._length[0] and len(self._sent) < KEPT:
            self._sent.append(self._out[0, : self._length[0]].tobytes())

    def _listen(self, client: int) -> None:
        line = self._lines[client]
        for row in range(line.drain()):
            client_receive(
                self._clients.state, client, line.inbox.data[row], int(line.inbox.length[row]), self._now_s
            )


def _token(config: MatchConfig, player: RosterPlayer, server: Transport) -> bytes:
    return connect_token.seal(
        FLEET_KEY,
        match_id=config.match_id,
        player_id=player.player_id,
        entity=player.entity,
        team=player.team,
        address=server.host,
        port=server.port,
        issued_at=START_S,
        expires_at=START_S + 3_600.0,
    )


@contextlib.asynccontextmanager
async def _open_rig(players: int, radius_m: float, seed: int) -> AsyncIterator[_Rig]:
    async with contextlib.AsyncExitStack() as stack:

        async def opened(capacity: int) -> Transport:
            transport = await open_transport(HOST, 0, capacity=capacity)
            stack.push_async_callback(transport.close)
            return transport

        server = await opened(DEFAULT_CAPACITY)
        clients = [await opened(CLIENT_CAPACITY) for _ in range(players)]
        strangers = [await opened(CLIENT_CAPACITY) for _ in range(STRANGERS)]
        yield _Rig(server, clients, strangers, radius_m, seed)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
