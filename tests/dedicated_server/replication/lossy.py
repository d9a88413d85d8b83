"""A match over bad lines, in virtual time: delay, jitter and loss in bursts, seeded, without a wall clock or
a socket.

Loss is a Gilbert–Elliott chain for each direction of each line: a good state that loses nothing and a bad one
that loses everything. Datagrams may overtake each other.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.client.view import new_view, view_frame, view_received, view_sent
from dedicated_server.protocol.movement import movement_of
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.recording.recorder import Recorder
from dedicated_server.simulation.world import HIT_COUNT, Y_M
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from launchday.clock import SystemClock
from tests.dedicated_server.tick.swarm import FLEET_KEY, START_S, Intent, config, token_for

STEPS_PER_TICK = 4  # clients' frames are spread over the tick
STEP_S = 1 / 60 / STEPS_PER_TICK


@dataclass(frozen=True)
class Weather:
    """What a line does to datagrams, each way."""

    delay_s: float = 0.050
    jitter_s: float = 0.020 / 2**0.5  # normal, each way: 20 ms of the round trip
    least_s: float = 0.005
    loss: float = 0.05
    burst: float = 4.0  # datagrams lost in a row, on average


class Line:
    """One direction of one line."""

    def __init__(self, weather: Weather, seed: np.random.SeedSequence) -> None:
        self._weather = weather
        self._random = np.random.default_rng(seed)
        self._bad = False
        self._recovery = 1.0 / weather.burst
        self._decay = self._recovery * weather.loss / (1.0 - weather.loss)
        self.sent = self.lost = 0

    def arrival_s(self, now_s: float) -> float | None:
        """When a datagram sent now arrives; None: never."""
        change = self._random.random() < (self._recovery if self._bad else self._decay)
        self._bad ^= change
        weather = self._weather
        delay_s = max(self._random.normal(weather.delay_s, weather.jitter_s), weather.least_s)
        self.sent += 1
        self.lost += self._bad
        return None if self._bad else now_s + delay_s


Policy = Callable[["LossyTable", int], Intent]


class LossyTable:
    """An engine and its clients, with a view each; client index = entity.

    Everything that happens follows from ``seed``.
    """

    def __init__(
        self,
        players: int,
        policy: Policy,
        /,
        *,
        seed: int = 1,
        weather: Weather | None = None,
        record_to: Path | None = None,
        return_s: float = math.inf,
        **changes: Any,
    ) -> None:
        self.transport = MemoryTransport()
        match = replace(config(players), **changes)
        self.recorder = None if record_to is None else Recorder(record_to, match, SystemClock())
        self.engine = Engine(
            match,
            FLEET_KEY,
            self.transport,
            return_s=return_s,
            recorder=self.recorder,
            clock_ns=lambda: 0,
            secret=bytes(SECRET_BYTES),
        )
        self.policy = policy
        entities = players + match.card.objects_count
        self.clients = ClientSessions(players, entities)
        self.state, self.sessions = self.clients.state, self.clients.sessions
        self.view = new_view(players, entities, movement_of(self.engine.config.card))
        self.now_s = START_S
        weather = weather or Weather()
        up, down, self.seed = np.random.SeedSequence(seed).spawn(3)
        self.up = [Line(weather, child) for child in up.spawn(players)]
        self.down = [Line(weather, child) for child in down.spawn(players)]
        self.random = np.random.default_rng(self.seed)
        self.hits: list[list[tuple[int, int]]] = [
            [] for _ in range(players)
        ]  # what the server told each of its hits
        self.heard: list[list[tuple[int, int, int]]] = [[] for _ in range(players)]  # reliable messages
        self.truth: dict[int, npt.NDArray[np.float64]] = {}  # [2, N] metres by tick
        self.view_ticks = np.zeros(players)
        self._air: list[tuple[float, int, int, bytes]] = []  # arrival, order, client (−1 − c: upwards), bytes
        self._order = 0
        self._in = np.zeros(1_216, np.uint8)
        self._out = np.zeros(1_216, np.uint8)
        for entity in range(players):
            assert self.clients.add(token_for(self.engine, entity)) == entity

    def play(self, ticks: int, watch: Callable[[int], None] = lambda client: None) -> None:
        """Go on for so many ticks, or until the engine has finished.

        ``watch`` is called for each client and frame that it is shown.
        """
        for _ in range(ticks):
            for step in range(STEPS_PER_TICK):
                self.now_s += STEP_S
                self._deliver()
                for client in range(step, len(self.up), STEPS_PER_TICK):
                    self._speak(client, watch)
            self._serve()
            if self.engine.finished:
                return

    def _serve(self) -> None:
        self.engine.tick(self.now_s)
        self.engine.drain_events()
        world = self.engine.match.world
        self.truth[self.engine.tick_number] = world.body[: Y_M + 1].copy()
        for actor, victim, points, _, tick in world.hits[:, : world.counters[HIT_COUNT]].T.tolist():
            self.hits[actor].append((victim, points, tick))
        sent, self.transport.sent = self.transport.sent, []
        for datagram, (_, port) in sent:
            self._send(self.down[port - 40_000], port - 40_000, datagram)

    def _speak(self, client: int, watch: Callable[[int], None]) -> None:
        view_tick = view_frame(self.view, self.state, client, self.now_s)
        self.view_ticks[client] = self.view.clocks[client]["view_tick"]
        watch(client)
        intent = self.policy(self, client)
        length = client_transmit(self.state, client, self.now_s, *intent, view_tick, self._out)
        view_sent(self.view, self.state, client)
        if length:
            self._send(self.up[client], -1 - client, self._out[:length].tobytes())

    def _send(self, line: Line, target: int, datagram: bytes) -> None:
        arrival_s = line.arrival_s(self.now_s)
        if arrival_s is not None:
            self._order += 1
            heapq.heappush(self._air, (arrival_s, self._order, target, datagram))

    def _deliver(self) -> None:
        while self._air and self._air[0][0] <= self.now_s:
            _, _, target, datagram = heapq.heappop(self._air)
            if target < 0:
                self.transport.deliver(datagram, ("198.51.100.1", 40_000 + (-1 - target)))
            else:
                self._receive(target, datagram)

    def _receive(self, client: int, datagram: bytes) -> None:
        self._in[: len(datagram)] = np.frombuffer(datagram, np.uint8)
        known = int(self.sessions[client]["events_count"])
        if client_receive(self.state, client, self._in, len(datagram), self.now_s) == RECEIVED_SNAPSHOT:
            view_received(self.view, self.state, client, self.now_s)
        ring = self.state.events.shape[1]
        for number in range(known, int(self.sessions[client]["events_count"])):
            self.heard[client].append(tuple(self.state.events[client, number % ring].tolist()))

    def truth_at(self, tick: float) -> npt.NDArray[np.float64]:
        """Where everybody was at a tick with fraction: [2, N] metres."""
        before = int(tick)
        after = min(before + 1, self.engine.tick_number)
        return self.truth[before] + (tick - before) * (self.truth[after] - self.truth[before])
