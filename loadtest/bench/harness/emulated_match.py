"""A match in emulated time: the real engine and the compiled clients, emulated links in place of sockets.

Nothing reads a clock, so a minute of a match takes some seconds, and the same seed gives the same match on
every machine, however busy it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.view import new_view
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.movement import movement_of
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.world import Y_M
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from loadtest.bench.harness.game_server import FLEET_KEY, match_of, tokens_of
from loadtest.bench.harness.lossy_clients import (
    ERROR_BINS,
    STEPS_PER_FRAME,
    LossyClients,
    deliver_to_clients,
    step,
)
from loadtest.bench.harness.movement import new_walkers
from loadtest.bench.harness.run_config import RunConfig, bench_mode
from loadtest.bench.harness.shared_state import POSITION_TICKS
from loadtest.bots.links import LinkQueue, link_pop, link_push, link_queue
from loadtest.bots.udp import DATAGRAM_BYTES, UNUSED

START_S: Final = 1_700_000_000.0
CLIENT_HOST: Final = "198.51.100.1"
FIRST_PORT: Final = 20_000  # of client 0
IN_FLIGHT_PER_PLAYER: Final = 512  # eight seconds of snapshots


class EmulatedMatch:
    """One match. Client and entity have the same index.

    Args:
        config: players, layout and seed; its ``link`` is not looked at.
        engine: the kind of engine.
        up, down: fields of ``links.LINK_DTYPE`` by name, of all links in that direction. One link is changed
            through ``clients.up.links`` and ``clients.down.links``.

    Attributes:
        now_s: the time of the match.
        clients: their state, views and links.
        sent_bytes: int64[N], sent to each client, headers of IP and UDP included.
    """

    def __init__(
        self,
        config: RunConfig,
        up: Mapping[str, float],
        down: Mapping[str, float],
        *,
        engine: type[Engine] = Engine,
    ) -> None:
        count = config.players
        self.now_s = START_S
        self._half_m = config.layout.half_m
        self._transport = MemoryTransport(capacity=max(1_024, 4 * count))
        mode = bench_mode()
        self.engine = engine(
            match_of(config, mode.card),
            FLEET_KEY,
            self._transport,
            secret=bytes(SECRET_BYTES),
            mode=mode,
            clock_ns=lambda: 0,
        )
        sessions = ClientSessions(count, count)
        seeds = np.random.SeedSequence(config.seed).spawn(5)
        random = np.random.default_rng(seeds[4]).bytes
        for token in tokens_of(self.engine, self._transport, now_s=START_S, random=random):
            sessions.add(token)
        self.clients = LossyClients(
            state=sessions.state,
            views=new_view(count, count, movement_of(mode.card)),
            up=_links(seeds[2], count, up),
            down=_links(seeds[3], count, down),
            descriptors=np.full(count, UNUSED, np.int32),
            walkers=new_walkers(count, np.random.default_rng(seeds[0])),
            streams=np.asarray(seeds[1].generate_state(count, np.uint64), np.uint64),
            position_history=np.zeros((POSITION_TICKS, 2, count)),
            position_history_tick=np.zeros(POSITION_TICKS, np.int64),
            errors=np.zeros(ERROR_BINS, np.int64),
            behind=np.zeros(2),
            scratch=np.zeros((2, DATAGRAM_BYTES), np.uint8),
        )
        self.sent_bytes = self.engine.sent_bytes
        self._steps = 0

    def play(self, seconds: float, watch: Callable[[], None] | None = None, *, counts: bool = False) -> None:
        """Go on for so long; ``watch`` is called behind each tick.

        ``counts``: whether the errors of what is shown are added up.
        """
        for _ in range(round(seconds * TICK_HZ)):
            for _ in range(STEPS_PER_FRAME):
                self._steps += 1
                self.now_s = START_S + self._steps / (STEPS_PER_FRAME * TICK_HZ)
                self._deliver_to_server()
                deliver_to_clients(self.clients, self.now_s)
                step(self.clients, self._steps, self.now_s, self._half_m, counts)
            self._tick()
            if watch is not None:
                watch()

    def behind_ms(self) -> npt.NDArray[np.float64]:
        """How old what each client shows is: float64[N]; not a number where it shows nothing.

        What is shown beyond the newest snapshot is a guess, and as old as that snapshot.
        """
        clocks = self.clients.views.clocks
        known_tick = np.minimum(clocks["view_tick"], clocks["snapshot_tick"])
        return np.where(known_tick > 0.0, (self.engine.tick_number - known_tick) * (1e3 / TICK_HZ), np.nan)

    def queued_ms(self) -> npt.NDArray[np.float64]:
        """How long a datagram that is sent now waits for the bottleneck of each client's link: float64[N]."""
        return np.maximum(self.clients.down.states["busy_until_s"] - self.now_s, 0.0) * 1e3

    def _tick(self) -> None:
        engine, clients = self.engine, self.clients
        engine.tick(self.now_s)
        engine.drain_events()
        row = engine.tick_number % POSITION_TICKS
        clients.position_history[row] = engine.match.world.body[: Y_M + 1]
        clients.position_history_tick[row] = engine.tick_number
        sent, self._transport.sent = self._transport.sent, []
        datagram = clients.scratch[0]
        for data, (_, port) in sent:
            datagram[: len(data)] = np.frombuffer(data, np.uint8)
            link_push(clients.down, port - FIRST_PORT, datagram, len(data), self.now_s)

    def _deliver_to_server(self) -> None:
        up = self.clients.up
        while (slot := link_pop(up, self.now_s)) >= 0:
            record = up.slots[slot]
            datagram = up.payload[slot, : record["length"]].tobytes()
            self._transport.deliver(datagram, (CLIENT_HOST, FIRST_PORT + int(record["link"])))


def _links(seed: np.random.SeedSequence, count: int, fields: Mapping[str, float]) -> LinkQueue:
    drawn = np.asarray(seed.generate_state(count, np.uint64), np.uint64)
    queue = link_queue(drawn, IN_FLIGHT_PER_PLAYER * count, DATAGRAM_BYTES)
    for name, value in fields.items():
        queue.links[name] = value
    return queue
