"""``jitter``: how evenly others see a player run whose inputs come unevenly, in emulated time.

The real engine and the compiled clients play over the emulated links of the bots. Everybody runs straight
east at full speed, so each frame should show everybody else a sixtieth of a second's run further on. Nothing
reads a clock: the same seed gives the same figures on every machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.client.view import new_view, view_frame, view_received, view_sent
from dedicated_server.protocol.entities import x_array, y_array
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.movement import movement_of
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.world import APPLIED_INPUT, PLAYED_TICKS, REFUSED_INPUTS
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from loadtest.bench.harness.game_server import FLEET_KEY, match_of, tokens_of
from loadtest.bench.harness.movement import FULL_SPEED
from loadtest.bench.harness.run_config import Layout, RunConfig, bench_mode
from loadtest.bots.links import LinkQueue, link_pop, link_push, link_queue
from loadtest.bots.udp import DATAGRAM_BYTES
from loadtest.errors import BenchError

RUNNERS: Final = 4
SETTLE_S: Final = 5.0  # of running, until baselines, clocks and reserves are what the line makes them
START_S: Final = 1_700_000_000.0
STEPS_PER_FRAME: Final = 8  # links deliver to 2 ms
IN_FLIGHT: Final = 256  # of each runner's datagrams
CLIENT_HOST: Final = "198.51.100.1"
FIRST_PORT: Final = 20_000  # of client 0

MOST_UNEVEN: Final = 0.01  # share of ticks, with 5 ms of jitter
MOST_DEVIATION: Final = 0.10  # of the mean step, likewise
MOST_STEP: Final = 1.5  # of a sixtieth of a second's run, where inputs come four at once


@dataclass(frozen=True, slots=True)
class Line:
    """What lies between every client and the server; both directions are alike."""

    rtt_ms: float  # on average
    jitter_ms: float  # of each way: standard deviation, and mean, of what queues add to it
    held: int = 1  # how many frames' inputs a client sends at once

    def link_fields(self) -> dict[str, float]:
        """Return the fields of ``links.LINK_DTYPE`` of one direction."""
        return {"delay_s": (self.rtt_ms / 2 - self.jitter_ms) / 1e3, "jitter_s": self.jitter_ms / 1e3}


LINES: Final = {
    "jitter_5_ms": Line(40.0, 5.0),
    "jitter_14_ms": Line(100.0, 14.0),
    "bursts_of_four": Line(40.0, 1.0, held=4),
}


def run(seconds: float = 40.0, *, seed: int = 1, engine: type[Engine] = Engine) -> dict[str, Any]:
    """Run over each of `LINES`.

    ``engine``: what serves the match. ``seconds``: that are measured of each.

    Returns:
        What is printed. Of each line: ``empty_or_double_share``, of all ticks and players those in which not
        exactly one input was played; ``step_deviation``, the standard deviation of how far others are shown
        to move in a frame, as a share of its mean; ``max_step_m``, the longest such step, and
        ``longest_step`` in full steps. Above them the three that are bounded, and ``within``, whether they
        keep their bounds.
    """
    lines = {name: Run(line, seed, engine).measure(seconds) for name, line in LINES.items()}
    uneven = lines["jitter_5_ms"]["empty_or_double_share"]
    deviation = lines["jitter_5_ms"]["step_deviation"]
    longest = lines["bursts_of_four"]["longest_step"]
    return {
        "bench": "jitter",
        "players": RUNNERS,
        "seconds": seconds,
        "empty_or_double_share": uneven,
        "step_deviation": deviation,
        "max_step_m": lines["bursts_of_four"]["max_step_m"],
        "within": uneven <= MOST_UNEVEN and deviation <= MOST_DEVIATION and longest <= MOST_STEP,
        "lines": lines,
    }


class Run:
    """One match of runners, client index = entity, over links that are all like ``line``."""

    def __init__(self, line: Line, seed: int, engine: type[Engine]) -> None:
        config = RunConfig(RUNNERS, Layout("lanes", 20.0), seed=seed)
        mode = bench_mode()
        self.line = line
        self.transport = MemoryTransport()
        self.engine = engine(
            match_of(config, mode.card),
            FLEET_KEY,
            self.transport,
            secret=bytes(SECRET_BYTES),
            mode=mode,
            clock_ns=lambda: 0,
        )
        self.clients = ClientSessions(RUNNERS, RUNNERS)
        movement = movement_of(mode.card)
        self.full_step_m = movement.step_m
        self.view = new_view(RUNNERS, RUNNERS, movement)
        up, down = np.random.SeedSequence(seed).spawn(2)
        self.up, self.down = _links(line, up), _links(line, down)
        self.now_s = START_S
        self._steps = 0
        self._out = np.zeros(DATAGRAM_BYTES, np.uint8)
        self._shown_m: list[npt.NDArray[np.float64]] = []  # [2, RUNNERS, RUNNERS], of each tick
        self._played: list[npt.NDArray[np.int32]] = []
        for token in tokens_of(self.engine, self.transport):
            self.clients.add(token)

    def measure(self, seconds: float) -> dict[str, Any]:
        """Play for as long as it takes to settle, and then so long.

        Raises BenchError where not everybody gets in.
        """
        self.play(SETTLE_S)
        if (self.clients.sessions["state"] != CLIENT_CONNECTED).any():
            raise BenchError("not all runners have connected: the benchmark says nothing")
        self._shown_m.clear()
        self._played.clear()
        refused = int(self.engine.match.world.status[REFUSED_INPUTS].sum())
        self.play(seconds)
        others = ~np.eye(RUNNERS, dtype=bool)
        moved_m = np.diff(np.array(self._shown_m), axis=0)
        steps_m = np.hypot(moved_m[:, 0], moved_m[:, 1])[:, others]
        played = np.diff(np.array(self._played), axis=0)
        status = self.engine.match.world.status
        return {
            **asdict(self.line),
            "empty_or_double_share": round(float((played != 1).mean()), 5),
            "step_deviation": round(float(steps_m.std() / steps_m.mean()), 4),
            "max_step_m": round(float(steps_m.max()), 4),
            "longest_step": round(float(steps_m.max() / self.full_step_m), 3),
            "mean_step_m": round(float(steps_m.mean()), 4),
            "in_reserve": round(float((self.engine.wire.input_newest - status[APPLIED_INPUT]).mean()), 2),
            "refused": int(status[REFUSED_INPUTS].sum()) - refused,
        }

    def play(self, seconds: float) -> None:
        """Go on for so long."""
        for _ in range(round(seconds * TICK_HZ)):
            for turn in range(STEPS_PER_FRAME):
                self._steps += 1
                self.now_s = START_S + self._steps / (STEPS_PER_FRAME * TICK_HZ)
                self._deliver()
                for client in range(turn, RUNNERS, STEPS_PER_FRAME):
                    self._speak(client)
            self._serve()
            shown = self.view.shown
            self._shown_m.append(np.array([x_array(shown), y_array(shown)]))
            self._played.append(self.engine.match.world.status[PLAYED_TICKS].copy())

    def _deliver(self) -> None:
        while (slot := link_pop(self.up, self.now_s)) >= 0:
            datagram = self.up.slots[slot]
            data = self.up.payload[slot, : datagram["length"]].tobytes()
            self.transport.deliver(data, (CLIENT_HOST, FIRST_PORT + int(datagram["link"])))
        state = self.clients.state
        while (slot := link_pop(self.down, self.now_s)) >= 0:
            client, length = int(self.down.slots[slot]["link"]), int(self.down.slots[slot]["length"])
            if (
                client_receive(state, client, self.down.payload[slot], length, self.now_s)
                == RECEIVED_SNAPSHOT
            ):
                view_received(self.view, state, client, self.now_s)

    def _speak(self, client: int) -> None:
        """Show a frame, and run on. What is held back goes with a later datagram, which repeats it."""
        state, out = self.clients.state, self._out
        view_tick = view_frame(self.view, state, client, self.now_s)
        length = client_transmit(state, client, self.now_s, FULL_SPEED, 0, 0, 0, view_tick, out)
        view_sent(self.view, state, client)
        held = self.clients.sessions["input_tick"][client] % self.line.held
        if length > 0 and held == 0:
            link_push(self.up, client, out, length, self.now_s)

    def _serve(self) -> None:
        self.engine.tick(self.now_s)
        self.engine.drain_events()
        sent, self.transport.sent = self.transport.sent, []
        for data, (_, port) in sent:
            self._out[: len(data)] = np.frombuffer(data, np.uint8)
            link_push(self.down, port - FIRST_PORT, self._out, len(data), self.now_s)


def _links(line: Line, seed: np.random.SeedSequence) -> LinkQueue:
    drawn = np.asarray(seed.generate_state(RUNNERS, np.uint64), np.uint64)
    queue = link_queue(drawn, IN_FLIGHT * RUNNERS, DATAGRAM_BYTES)
    for name, value in line.link_fields().items():
        queue.links[name] = value
    return queue
